//! Kept connections that the service closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use super::sandbox::{OK, Sandbox, answering, eventually, service};

/// A service whose first connection is closed the moment its second request comes; later ones work.
async fn closing_at_second_request(requests: Arc<AtomicUsize>) -> std::net::SocketAddr {
    service(move |mut wire, number| {
        let requests = Arc::clone(&requests);
        async move {
            while let Some(head) = wire.head().await {
                let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
                wire.discard(length).await;
                let seen = requests.fetch_add(1, Ordering::SeqCst) + 1;
                if number == 0 && seen == 2 {
                    return;
                }
                wire.send(OK).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_stale_connection_is_replaced_for_what_can_be_repeated() {
    for method in ["GET", "HEAD", "OPTIONS"] {
        let requests = Arc::new(AtomicUsize::new(0));
        let service = closing_at_second_request(Arc::clone(&requests)).await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.message("GET").await.body, b"ok");
        client.send(format!("{method} /second HTTP/1.1\r\nHost: a\r\nX-Kept: yes\r\n\r\n")).await;
        assert_eq!(client.head().await.unwrap().status(), Some(200));
        assert_eq!(requests.load(Ordering::SeqCst), 3);
        let counted = sandbox.proxy.counters().snapshot();
        assert_eq!((counted.upstream_connections, counted.upstream_retries), (2, 1));
        for path in ["/first", "/second"] {
            let row = sandbox.row().await;
            assert_eq!((row.path.as_str(), row.error), (path, None));
        }
        sandbox.end().await;
    }
}

#[tokio::test]
async fn what_may_have_been_done_is_not_repeated() {
    for request in
        ["POST /second HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi", "DELETE /2 HTTP/1.1\r\nHost: a\r\n\r\n"]
    {
        let requests = Arc::new(AtomicUsize::new(0));
        let service = closing_at_second_request(Arc::clone(&requests)).await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.message("GET").await.body, b"ok");
        assert_eq!(sandbox.row().await.error, None);
        client.send(request).await;
        assert_eq!(client.message("POST").await.head.get("x-ridealong-error"), Some("upstream_reset"));
        assert_eq!(requests.load(Ordering::SeqCst), 2);
        assert_eq!(sandbox.row().await.error, Some("upstream_reset"));
        sandbox.end().await;
    }
}

#[tokio::test]
async fn a_connection_that_the_service_closed_while_idle_is_not_used() {
    let closed = Arc::new(Notify::new());
    let service = service({
        let closed = Arc::clone(&closed);
        move |mut wire, number| {
            let closed = Arc::clone(&closed);
            async move {
                while let Some(head) = wire.head().await {
                    let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
                    wire.discard(length).await;
                    wire.send(OK).await;
                    if number == 0 {
                        drop(wire);
                        closed.notify_one();
                        return;
                    }
                }
            }
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    closed.notified().await;
    // Not repeatable, so it must not have been tried over the closed connection.
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.message("POST").await.body, b"ok");
    for _ in 0..2 {
        assert_eq!(sandbox.row().await.error, None);
    }
    sandbox.end().await;
}

#[tokio::test]
async fn idle_connections_are_closed_before_the_service_would() {
    let closed = Arc::new(AtomicUsize::new(0));
    let service = service({
        let closed = Arc::clone(&closed);
        move |mut wire, _| {
            let closed = Arc::clone(&closed);
            async move {
                while wire.head().await.is_some() {
                    wire.send(OK).await;
                }
                closed.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut sandbox =
        Sandbox::start_with(service, |options| options.limits.upstream_idle_timeout = Duration::from_millis(100));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.message("GET").await;
    sandbox.row().await;
    eventually(|| closed.load(Ordering::SeqCst) == 1).await;
    sandbox.end().await;
}

#[tokio::test]
async fn a_broken_response_is_not_followed_by_another_on_its_connection() {
    let (service, heard) = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more than that").await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    for _ in 0..3 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.message("GET").await.body, b"ok");
        assert_eq!(sandbox.row().await.error, None);
    }
    assert_eq!(heard.connections(), 3);
    sandbox.end().await;
}
