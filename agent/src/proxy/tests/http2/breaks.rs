//! What breaks off: clients that cancel, services that refuse, reset, go away or are not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::super::sandbox::{loopback, service};
use super::peers::{Caller, before_http2, echo, get, grpc, http2_service, patiently, read};

#[tokio::test]
async fn a_client_that_cancels_cancels_at_the_service() {
    let (tell, mut told) = mpsc::channel(1);
    let service = http2_service(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let _body = request.into_body();
            tell.send(None).await.unwrap();
            let reason = std::future::poll_fn(|context| respond.poll_reset(context)).await.unwrap();
            tell.send(Some(reason)).await.unwrap();
        }
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, mut sending) = caller.begin(grpc("/watch"), true).await;
    assert_eq!(patiently(told.recv()).await, Some(None));
    sending.send_reset(Reason::CANCEL);
    assert_eq!(patiently(told.recv()).await, Some(Some(Reason::CANCEL)));
    drop(response);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (None, Some("client_disconnect")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels_all_it_asked_for() {
    let service = http2_service(|request, mut respond| async move {
        let _body = request.into_body();
        let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let _first = caller.begin(grpc("/a"), true).await;
    let _second = caller.begin(grpc("/b"), false).await;
    sandbox.counted(|counters| counters.upstream_connections == 1).await;
    caller.connection.abort();
    for _ in 0..2 {
        assert_eq!(sandbox.row().await.error, Some("client_disconnect"));
    }
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_resets_is_passed_on_as_it_is() {
    let service = http2_service(|request, mut respond| async move {
        if request.uri().path() == "/early" {
            return respond.send_reset(Reason::ENHANCE_YOUR_CALM);
        }
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        sending.send_data(Bytes::from_static(b"half"), false).unwrap();
        tokio::time::sleep(Duration::from_millis(20)).await;
        sending.send_reset(Reason::INTERNAL_ERROR);
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let error = caller.call(get("/early"), b"").await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::ENHANCE_YOUR_CALM)));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (None, Some("upstream_reset")));
    let error = caller.call(get("/late"), b"").await.unwrap_err();
    assert_eq!((error.is_reset(), error.reason()), (true, Some(Reason::INTERNAL_ERROR)));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error, row.response_bytes), (Some(200), Some("upstream_reset"), 4));
    sandbox.end().await;
}

#[tokio::test]
async fn a_refused_request_is_sent_once_more_with_its_body() {
    let asked = Arc::new(AtomicUsize::new(0));
    let service = http2_service({
        let asked = Arc::clone(&asked);
        move |request, mut respond| {
            let asked = Arc::clone(&asked);
            async move {
                let is_first = asked.fetch_add(1, Ordering::Relaxed) == 0;
                if !is_first && request.uri().path() == "/once" {
                    return echo(request, respond).await;
                }
                let mut body = request.into_body();
                let _ = patiently(body.data()).await;
                respond.send_reset(Reason::REFUSED_STREAM);
            }
        }
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let answer = caller.call(grpc("/once"), b"hello").await.unwrap();
    assert_eq!(answer.body, b"hello");
    let row = sandbox.row().await;
    assert_eq!((row.error, row.request_bytes), (None, 5));
    assert_eq!((asked.load(Ordering::Relaxed), sandbox.proxy.counters().snapshot().upstream_retries), (2, 1));
    // Twice is a decision.
    let answer = caller.call(grpc("/never"), b"hello").await.unwrap();
    assert_eq!(answer.head.status(), 502);
    assert_eq!(answer.head.headers()["grpc-status"], "14");
    assert_eq!(sandbox.row().await.error, Some("upstream_reset"));
    assert_eq!(asked.load(Ordering::Relaxed), 4);
    sandbox.end().await;
}

/// The first connection takes one request and says that it goes; what comes later goes elsewhere, what runs is finished.
#[tokio::test]
async fn a_service_that_goes_away_finishes_what_it_has() {
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let service = listener.local_addr().unwrap();
    let (finish, mut finished) = mpsc::channel::<()>(1);
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut first = h2::server::handshake(stream).await.unwrap();
        let (_, mut held) = first.accept().await.unwrap().unwrap();
        first.graceful_shutdown();
        tokio::spawn(async move { while first.accept().await.is_some() {} });
        let (stream, _) = listener.accept().await.unwrap();
        let mut second = h2::server::handshake(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = second.accept().await {
            respond.send_response(Response::new(()), true).unwrap();
            if let Ok(()) = finished.try_recv() {
                held.send_response(Response::new(()), true).unwrap();
            }
        }
    });
    let mut sandbox = before_http2(service, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (held, _) = caller.begin(get("/held"), true).await;
    sandbox.counted(|counters| counters.upstream_connections == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(caller.call(get("/second"), b"").await.unwrap().head.status(), 200);
    finish.send(()).await.unwrap();
    assert_eq!(caller.call(get("/third"), b"").await.unwrap().head.status(), 200);
    assert_eq!(patiently(held).await.unwrap().status(), 200);
    for _ in 0..3 {
        assert_eq!(sandbox.row().await.error, None);
    }
    assert_eq!(sandbox.proxy.counters().snapshot().upstream_connections, 2);
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_is_not_there_is_said_so_in_every_language() {
    let nobody = TcpListener::bind(loopback()).await.unwrap().local_addr().unwrap();
    let mut sandbox = before_http2(nobody, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let answer = caller.call(grpc("/a"), b"hello").await.unwrap();
    let headers = answer.head.headers();
    assert_eq!((answer.head.status().as_u16(), &headers["grpc-status"]), (502, &"14".parse().unwrap()));
    assert_eq!(headers["grpc-message"], "the service refused the connection");
    assert_eq!(headers["x-ridealong-error"], "upstream_connect_refused");
    assert!(answer.body.is_empty());
    let row = sandbox.row().await;
    assert_eq!((row.status, row.grpc_status, row.error), (Some(502), Some(14), Some("upstream_connect_refused")));
    let answer = caller.call(get("/a"), b"").await.unwrap();
    assert_eq!(answer.body, b"the service refused the connection\n");
    assert!(answer.head.headers().contains_key("x-request-id"));
    assert!(!answer.head.headers().contains_key("grpc-status"));
    assert_eq!(sandbox.row().await.response_bytes, 35);
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_does_not_answer() {
    let service = http2_service(|request, respond| async move {
        let _held = (request, respond);
        std::future::pending::<()>().await;
    });
    let mut sandbox = before_http2(service.await, |options| {
        options.limits.response_timeout = Some(Duration::from_millis(100));
    });
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let answer = caller.call(grpc("/a"), b"hello").await.unwrap();
    assert_eq!((answer.head.status().as_u16(), &answer.head.headers()["grpc-status"]), (504, &"4".parse().unwrap()));
    assert_eq!(sandbox.row().await.error, Some("response_timeout"));
    // It may be gone altogether: the next request does not wait for it on the same connection.
    caller.call(grpc("/a"), b"hello").await.unwrap();
    assert_eq!(sandbox.row().await.error, Some("response_timeout"));
    assert_eq!(sandbox.proxy.counters().snapshot().upstream_connections, 2);
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_speaks_something_else() {
    let service = service(|mut wire, _| async move {
        wire.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        wire.until_lost().await;
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let answer = caller.call(grpc("/a"), b"hello").await.unwrap();
    assert_eq!(answer.head.status(), 502);
    let error = sandbox.row().await.error.unwrap();
    assert!(["upstream_invalid", "upstream_reset"].contains(&error), "{error}");
    sandbox.end().await;
}

#[tokio::test]
async fn an_answer_without_a_body_carries_its_status_in_its_head() {
    let service = http2_service(|request, mut respond| async move {
        let _body = request.into_body();
        let response = Response::builder().header("content-type", "application/grpc").header("grpc-status", "12");
        respond.send_response(response.body(()).unwrap(), true).unwrap();
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    // The service answers before it has heard the end: that is not an error, and the client learns that no more is wanted.
    let (response, sending) = caller.begin(grpc("/a"), false).await;
    let response = patiently(response).await.unwrap();
    assert_eq!(response.headers()["grpc-status"], "12");
    assert_eq!(read(&mut response.into_body()).await.unwrap(), (Vec::new(), None::<HeaderMap>));
    drop(sending);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.grpc_status, row.error, row.request_complete_us), (Some(200), Some(12), None, None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_announced() {
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let mut request = grpc("/a");
    request.headers_mut().insert("content-length", "10".parse().unwrap());
    let (response, mut sending) = caller.begin(request, false).await;
    sending.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let error = patiently(response).await.unwrap_err();
    assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    assert_eq!(sandbox.row().await.error, Some("request_body_error"));
    sandbox.end().await;
}

#[tokio::test]
async fn a_conversation_may_pause_but_not_for_ever() {
    let mut sandbox = before_http2(http2_service(echo).await, |options| {
        options.limits.response_idle_timeout = Some(Duration::from_millis(300));
        options.limits.response_timeout = None;
    });
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, mut sending) = caller.begin(grpc("/talk"), false).await;
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        sending.send_data(Bytes::from_static(b"still here"), false).unwrap();
    }
    let head = patiently(response).await.unwrap();
    assert_eq!((head.status().as_u16(), &head.headers()["grpc-status"]), (504, &"4".parse().unwrap()));
    let row = sandbox.row().await;
    assert_eq!((row.error, row.request_bytes), (Some("response_idle_timeout"), 50));
    sandbox.end().await;
}
