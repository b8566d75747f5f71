//! Bodies on their way: both at once, larger than any window, and held back by whoever does not read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::super::sandbox::eventually;
use super::peers::{Caller, before_http2, echo, get, grpc, http2_service, patiently, read, send};

#[tokio::test]
async fn both_directions_run_at_once() {
    let service = http2_service(|request, mut respond| async move {
        let mut body = request.into_body();
        let mut sending = respond.send_response(Response::new(()), false).unwrap();
        while let Some(piece) = body.data().await {
            let piece = piece.unwrap();
            body.flow_control().release_capacity(piece.len()).unwrap();
            send(&mut sending, &piece, false).await.unwrap();
        }
        sending.send_data(Bytes::new(), true).unwrap();
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, mut sending) = caller.begin(grpc("/talk"), false).await;
    let mut body = patiently(response).await.unwrap().into_body();
    for said in [&b"one"[..], b"two", b"three"] {
        send(&mut sending, said, false).await.unwrap();
        let heard = patiently(body.data()).await.unwrap().unwrap();
        assert_eq!(heard, said);
        body.flow_control().release_capacity(heard.len()).unwrap();
    }
    sending.send_data(Bytes::new(), true).unwrap();
    assert!(read(&mut body).await.unwrap().0.is_empty());
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (11, 11, None));
    assert!(row.ttfb_us.unwrap() <= row.request_complete_us.unwrap());
    sandbox.end().await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    const LENGTH: usize = 5_000_000;
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let body: Vec<u8> = (0..LENGTH).map(|at| (at / 7) as u8).collect();
    let answer = caller.call(grpc("/echo"), &body).await.unwrap();
    assert!(answer.body == body);
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (LENGTH as u64, LENGTH as u64, None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_service_and_nobody_else() {
    let sent = Arc::new(AtomicUsize::new(0));
    let service = http2_service({
        let sent = Arc::clone(&sent);
        move |request, mut respond| {
            let sent = Arc::clone(&sent);
            async move {
                let mut sending = respond.send_response(Response::new(()), false).unwrap();
                if request.uri().path() == "/small" {
                    return sending.send_data(Bytes::from_static(b"ok"), true).unwrap();
                }
                while send(&mut sending, &[0; 16 * 1024], false).await.is_ok() {
                    sent.fetch_add(16 * 1024, Ordering::Relaxed);
                }
            }
        }
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, sending) = caller.begin(get("/endless"), true).await;
    drop(sending);
    let endless = patiently(response).await.unwrap();
    // It comes to rest, with no more on its way than the windows hold.
    let mut before = usize::MAX;
    while sent.load(Ordering::Relaxed) != before {
        before = sent.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(before <= 512 * 1024, "{before} bytes for a client that reads none");
    let other = Caller::connect(sandbox.proxy.local_addr()).await;
    assert_eq!(other.call(get("/small"), b"").await.unwrap().body, b"ok");
    assert_eq!(sandbox.row().await.error, None);
    drop(endless);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(200), Some("client_disconnect")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_client() {
    let service = http2_service(|request, respond| async move {
        let _held = (request.into_body(), respond);
        std::future::pending::<()>().await;
    });
    let sandbox = before_http2(service.await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (_response, mut sending) = caller.begin(grpc("/sink"), false).await;
    let sent = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&sent);
    let sender = tokio::spawn(async move {
        loop {
            sending.reserve_capacity(16 * 1024);
            let room = std::future::poll_fn(|context| sending.poll_capacity(context)).await;
            let Some(Ok(room)) = room else { return };
            sending.send_data(Bytes::from(vec![0; room.min(16 * 1024)]), false).unwrap();
            counting.fetch_add(room.min(16 * 1024), Ordering::Relaxed);
        }
    });
    eventually(|| sent.load(Ordering::Relaxed) >= 64 * 1024).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let came = sent.load(Ordering::Relaxed);
    assert!(came <= 512 * 1024, "{came} bytes for a service that reads none");
    sender.abort();
    drop(sandbox);
}

#[tokio::test]
async fn more_streams_than_may_run_at_once_wait_their_turn() {
    const CALLS: usize = 1_000;
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let calls = (0..CALLS).map(|number| {
        let (requests, connection) = (caller.requests.clone(), tokio::spawn(async { Ok(()) }));
        let caller = Caller { requests, connection };
        tokio::spawn(async move { caller.call(grpc(&format!("/{number}")), b"hello").await.unwrap().body.len() })
    });
    let calls: Vec<_> = calls.collect();
    for call in calls {
        assert_eq!(patiently(call).await.unwrap(), 5);
    }
    for _ in 0..CALLS {
        assert_eq!(sandbox.row().await.error, None);
    }
    let connections = sandbox.proxy.counters().snapshot().upstream_connections;
    assert!((1..=4).contains(&connections), "{connections} connections to the service");
    sandbox.end().await;
}
