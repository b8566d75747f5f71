//! Nothing grows without bound, and nobody holds a place for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;

use super::sandbox::{OK, Sandbox, answering, service};
use super::wire::Wire;

/// Far more than the sockets' buffers on the way hold.
const ENDLESS: usize = 512 * 1024 * 1024;
const BUFFERED_MAX: usize = 64 * 1024 * 1024;
const PIECE: usize = 64 * 1024;
/// A write that waits this long waits for the reader.
const STALLED: Duration = Duration::from_millis(500);

/// Writes until the other side takes no more, and tells how much it took.
async fn write_until_stalled(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let mut written = 0;
    while written < ENDLESS {
        match tokio::time::timeout(STALLED, stream.write(&[7; PIECE])).await {
            Ok(count) => written += count.unwrap(),
            Err(_) => break,
        }
    }
    written
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_service() {
    let (stalled, told) = oneshot::channel();
    let stalled = std::sync::Mutex::new(Some(stalled));
    let service = service(move |mut wire: Wire, _| {
        let stalled = stalled.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n")).await;
            stalled.send(write_until_stalled(&mut wire.stream).await).unwrap();
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    // With a part of the next request behind it, which must not change anything.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET").await;
    let written = told.await.unwrap();
    assert!(written < BUFFERED_MAX, "{written} bytes are somewhere on the way");
    drop(client);
    assert!(matches!(sandbox.row().await.error, Some("client_disconnect" | "upstream_reset")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_does_not_read_stops_the_client() {
    let (done, wait) = oneshot::channel::<()>();
    let wait = std::sync::Mutex::new(Some(wait));
    let service = service(move |mut wire, _| {
        let wait = wait.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            let _ = wait.await;
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {ENDLESS}\r\n\r\n")).await;
    let written = write_until_stalled(&mut client.stream).await;
    assert!(written < BUFFERED_MAX, "{written} bytes are somewhere on the way");
    drop(done);
    assert_eq!(client.message("POST").await.head.get("x-ridealong-error"), Some("upstream_reset"));
    drop(client);
    assert_eq!(sandbox.row().await.error, Some("upstream_reset"));
    sandbox.end().await;
}

#[tokio::test]
async fn beyond_the_limit_connections_wait() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.connections_max = 2);
    let mut first = sandbox.client().await;
    let mut second = sandbox.client().await;
    for client in [&mut first, &mut second] {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.message("GET").await;
        sandbox.row().await;
    }
    let mut third = sandbox.client().await;
    third.send("GET /third HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sandbox.counted(|counted| counted.accept_pauses >= 1).await;
    assert_eq!(sandbox.proxy.counters().snapshot().connections_accepted, 2);
    drop(first);
    assert_eq!(third.message("GET").await.body, b"ok");
    assert_eq!(sandbox.row().await.path, "/third");
    sandbox.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_not_waited_for() {
    let (service, _) = answering(OK).await;
    let sandbox =
        Sandbox::start_with(service, |options| options.limits.header_read_timeout = Duration::from_millis(100));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHos").await;
    assert_eq!(client.head().await.unwrap().status(), Some(408));
    assert!(client.is_lost().await);
    assert_eq!(sandbox.proxy.counters().snapshot().head_timeouts, 1);
    sandbox.end().await;
}

#[tokio::test]
async fn an_idle_client_is_let_go_but_a_busy_one_is_not() {
    let slow = Arc::new(AtomicUsize::new(0));
    let service = service({
        let slow = Arc::clone(&slow);
        move |mut wire, _| {
            let slow = Arc::clone(&slow);
            async move {
                while wire.head().await.is_some() {
                    // Longer than a client may idle and longer than a head may take.
                    tokio::time::sleep(Duration::from_millis(400)).await;
                    slow.fetch_add(1, Ordering::SeqCst);
                    wire.send(OK).await;
                }
            }
        }
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| {
        options.limits.client_idle_timeout = Duration::from_millis(150);
        options.limits.header_read_timeout = Duration::from_millis(150);
    });
    let mut silent = sandbox.client().await;
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(silent.is_lost().await);
    assert_eq!(client.message("GET").await.body, b"ok");
    assert!(client.is_lost().await);
    assert_eq!(slow.load(Ordering::SeqCst), 1);
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}
