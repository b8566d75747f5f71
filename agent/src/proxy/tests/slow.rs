//! Time and number: what takes too long, what comes too often, and limits that change under way.

use std::time::Duration;

use tokio::sync::Notify;

use super::sandbox::{OK, Sandbox, answering, service};
use super::wire::Wire;

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_body_that_trickles() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.client_rate_window = SHORT);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx").await;
    let answer = client.message("POST").await;
    assert_eq!(answer.head.get("x-ridealong-error"), Some("request_body_timeout"));
    assert_eq!(answer.head.status(), Some(408));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error, row.request_complete_us), (Some(408), Some("request_body_timeout"), None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_body_that_is_fast_enough_may_take_its_time() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.client_rate_window = SHORT);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n").await;
    for _ in 0..30 {
        client.send([7; 100]).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.message("POST").await.body, b"ok");
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}

#[tokio::test]
async fn a_response_that_is_not_taken() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        use tokio::io::AsyncWriteExt;
        while wire.stream.write_all(&[7; 65536]).await.is_ok() {}
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.client_rate_window = SHORT);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(200), Some("client_timeout")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_response_that_stops_in_its_middle() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
        wire.until_lost().await;
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.response_idle_timeout = Some(SHORT));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let (_, was_reset) = client.until_lost().await;
    assert!(was_reset, "the end of the connection looks like the end of the response");
    let row = sandbox.row().await;
    assert_eq!((row.error, row.response_bytes, row.response_complete_us), (Some("response_idle_timeout"), 5, None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_request_that_takes_too_long_in_all() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.until_lost().await;
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.request_timeout = Some(SHORT));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.message("GET").await;
    assert_eq!((answer.head.status(), answer.head.get("x-ridealong-error")), (Some(504), Some("request_timeout")));
    assert_eq!(sandbox.row().await.error, Some("request_timeout"));
    sandbox.end().await;
}

#[tokio::test]
async fn one_request_too_many() {
    let go = std::sync::Arc::new(Notify::new());
    let come = std::sync::Arc::new(Notify::new());
    let service = service({
        let (go, come) = (go.clone(), come.clone());
        move |mut wire: Wire, _| {
            let (go, come) = (go.clone(), come.clone());
            async move {
                wire.head().await;
                come.notify_one();
                go.notified().await;
                wire.send(OK).await;
                wire.head().await;
            }
        }
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.requests_max = 1);
    let (mut first, mut second) = (sandbox.client().await, sandbox.client().await);
    first.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    come.notified().await;
    second.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = second.message("GET").await;
    assert_eq!((answer.head.status(), answer.head.get("retry-after")), (Some(503), Some("1")));
    assert_eq!(sandbox.row().await.error, Some("overloaded"));
    go.notify_one();
    assert_eq!(first.message("GET").await.body, b"ok");
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}

#[tokio::test]
async fn a_connection_of_age_ends_with_the_response_at_hand() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.limits.connection_age_max = Some(SHORT));
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    sandbox.row().await;
    assert!(client.is_lost().await);
    sandbox.end().await;
}

/// Limits change, connections do not.
#[tokio::test]
async fn limits_change_while_connections_live() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(2000));
    client.send(&long).await;
    assert_eq!(client.message("GET").await.body, b"ok");
    sandbox.row().await;
    sandbox.proxy.limits().send_modify(|limits| limits.target_bytes_max = 1000);
    // Each thread looks with its next tick.
    tokio::time::sleep(SHORT).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    sandbox.row().await;
    client.send(&long).await;
    assert_eq!(client.head().await.unwrap().status(), Some(414));
    sandbox.end().await;
}
