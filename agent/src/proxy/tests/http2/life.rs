//! A connection's life: how it begins, how long it may idle, how much it may ask for, how it ends.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Response;
use tokio::sync::mpsc;

use super::super::sandbox::{OK, Sandbox, answering};
use super::super::wire::Wire;
use super::peers::{Caller, before_http2, echo, get, grpc, http2_service, patiently, read};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn nonsense_after_the_preface_ends_the_connection_without_a_row() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    for nonsense in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "\0\0\0\0\0\0\0\0\0", "\0\0\u{8}\u{6}\0\0\0\0\u{1}12345678"] {
        let mut client = sandbox.client().await;
        client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(nonsense).await;
        // Settings and a GOAWAY.
        assert!(!client.until_lost().await.0.is_empty());
    }
    // A preface that comes in pieces is one, and HTTP/1 goes on beside it.
    let mut client = sandbox.client().await;
    client.send("PRI * HT").await;
    client.send("TP/1.1\r\n\r\n").await;
    assert!(client.until_lost().await.0.starts_with(b"HTTP/1.1 4"));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    sandbox.row().await;
    sandbox.end().await;
}

#[tokio::test]
async fn an_idle_connection_is_let_go_and_a_busy_one_is_not() {
    let service = http2_service(|_, mut respond| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        respond.send_response(Response::new(()), true).unwrap();
    });
    let mut sandbox = before_http2(service.await, |options| {
        options.limits.client_idle_timeout = Duration::from_millis(100);
    });
    let idle = Caller::connect(sandbox.proxy.local_addr()).await;
    let busy = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, _) = busy.begin(get("/"), true).await;
    patiently(idle.connection).await.unwrap().unwrap();
    assert_eq!(patiently(response).await.unwrap().status(), 200);
    patiently(busy.connection).await.unwrap().unwrap();
    sandbox.row().await;
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_says_nothing_after_the_preface_is_let_go() {
    let (service, _) = answering(OK).await;
    let sandbox = Sandbox::start_with(service, |options| {
        options.limits.client_idle_timeout = Duration::from_millis(50);
    });
    let mut silent = sandbox.client().await;
    silent.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    silent.until_lost().await;
    sandbox.end().await;
}

#[tokio::test]
async fn too_many_requests_are_refused_one_by_one() {
    let (tell, mut told) = mpsc::channel(1);
    let service = http2_service(move |_, mut respond| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.unwrap();
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        }
    });
    let mut sandbox = before_http2(service.await, |options| options.limits.requests_max = 1);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (held, mut sending) = caller.begin(get("/held"), true).await;
    patiently(told.recv()).await.unwrap();
    let answer = caller.call(grpc("/more"), b"").await.unwrap();
    assert_eq!((answer.head.status().as_u16(), &answer.head.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(answer.head.headers()["grpc-status"], "14");
    assert_eq!(sandbox.row().await.error, Some("overloaded"));
    sending.send_reset(Reason::CANCEL);
    drop(held);
    assert_eq!(sandbox.row().await.error, Some("client_disconnect"));
    sandbox.end().await;
}

#[tokio::test]
async fn what_runs_is_finished_before_the_proxy_stops() {
    let (tell, mut told) = mpsc::channel(1);
    let service = http2_service(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let mut sending = respond.send_response(Response::new(()), false).unwrap();
            tell.send(()).await.unwrap();
            read(&mut request.into_body()).await.unwrap();
            sending.send_data(Bytes::from_static(b"done"), true).unwrap();
        }
    });
    let Sandbox { proxy, mut rows } = before_http2(service.await, |_| {});
    let idle = Caller::connect(proxy.local_addr()).await;
    let caller = Caller::connect(proxy.local_addr()).await;
    let (response, mut sending) = caller.begin(grpc("/"), false).await;
    patiently(told.recv()).await.unwrap();
    let draining = tokio::spawn(proxy.drain(LONG));
    patiently(idle.connection).await.unwrap().unwrap();
    assert!(!draining.is_finished());
    sending.send_data(Bytes::new(), true).unwrap();
    let mut body = patiently(response).await.unwrap().into_body();
    assert_eq!(read(&mut body).await.unwrap().0, b"done");
    assert_eq!(patiently(draining).await.unwrap().connections_forced, 0);
    assert_eq!(rows.next().await.error, None);
    rows.none_left();
}

#[tokio::test]
async fn what_is_not_done_by_the_deadline_is_cut_off() {
    let (tell, mut told) = mpsc::channel(2);
    let service = http2_service(move |_, mut respond| {
        let tell = tell.clone();
        async move {
            tell.send(()).await.unwrap();
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        }
    });
    let Sandbox { proxy, mut rows } = before_http2(service.await, |_| {});
    let caller = Caller::connect(proxy.local_addr()).await;
    let _held = (caller.begin(grpc("/"), false).await, caller.begin(get("/"), true).await);
    let mut old = Wire::connect(proxy.local_addr()).await;
    old.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    for _ in 0..3 {
        patiently(told.recv()).await.unwrap();
    }
    assert_eq!(proxy.drain(Duration::from_millis(50)).await.connections_forced, 2);
    for _ in 0..3 {
        let row = rows.next().await;
        assert_eq!((row.status, row.error), (None, Some("shutdown")));
    }
    rows.none_left();
}

#[tokio::test]
async fn dropping_the_proxy_records_what_ran() {
    let service = http2_service(|_, mut respond| async move {
        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
    });
    let Sandbox { proxy, mut rows } = before_http2(service.await, |_| {});
    let caller = Caller::connect(proxy.local_addr()).await;
    let _held = caller.begin(grpc("/"), false).await;
    let counters = proxy.counters();
    super::super::sandbox::eventually(|| counters.snapshot().upstream_connections == 1).await;
    drop(proxy);
    assert_eq!(rows.next().await.error, Some("shutdown"));
    rows.none_left();
}

#[tokio::test]
async fn an_old_connection_is_ended_in_order() {
    let mut sandbox = before_http2(http2_service(echo).await, |options| {
        options.limits.connection_age_max = Some(Duration::from_millis(100));
    });
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    caller.call(grpc("/"), b"a").await.unwrap();
    patiently(caller.connection).await.unwrap().unwrap();
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_only_cancels_is_told_to_calm_down() {
    let service = http2_service(|_, mut respond| async move {
        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let mut count = 0;
    for _ in 0..3_000 {
        let Ok(mut requests) = patiently(caller.requests.clone().ready()).await else { break };
        let Ok((_, mut sending)) = requests.send_request(get("/"), true) else { break };
        tokio::task::yield_now().await;
        sending.send_reset(Reason::CANCEL);
        count += 1;
        while sandbox.rows.try_next().is_some() {}
    }
    let error = patiently(caller.connection).await.unwrap().unwrap_err();
    // What is on its way to a socket that has been closed may reset it before that is read.
    assert!(error.reason() == Some(Reason::ENHANCE_YOUR_CALM) || error.is_io(), "{error}");
    assert!(count < 3_000);
    sandbox.proxy.drain(Duration::ZERO).await;
}
