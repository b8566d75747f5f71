//! Stopping: what runs is finished, what idles is closed, what takes too long is cut off, and every request has its row.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::sandbox::{OK, Sandbox, answering, service};
use super::wire::Wire;

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_running_request_is_finished_and_then_nothing_is_accepted() {
    let (come, came) = oneshot::channel();
    let (go, gone) = oneshot::channel();
    let signals = std::sync::Mutex::new(Some((come, gone)));
    let service = service(move |mut wire, _| {
        let (come, gone) = signals.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            come.send(()).unwrap();
            gone.await.unwrap();
            wire.send(OK).await;
            wire.head().await;
        }
    })
    .await;
    let Sandbox { proxy, mut rows } = Sandbox::start(service);
    let address = proxy.local_addr();
    let mut idle = Wire::connect(address).await;
    let mut client = Wire::connect(address).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    came.await.unwrap();
    let started = Instant::now();
    let draining = tokio::spawn(proxy.drain(LONG));
    assert!(idle.is_lost().await);
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!draining.is_finished());
    go.send(()).unwrap();
    let response = client.message("GET").await;
    assert_eq!((response.head.get("connection"), &response.body[..]), (Some("close"), &b"ok"[..]));
    assert!(client.is_lost().await);
    assert_eq!(draining.await.unwrap().connections_forced, 0);
    assert!(started.elapsed() < LONG);
    assert_eq!(rows.next().await.error, None);
    rows.none_left();
    assert!(rows.ticks.load(Ordering::Relaxed) >= 1);
}

#[tokio::test]
async fn a_request_whose_head_is_coming_is_let_in() {
    let (service, _) = answering(OK).await;
    let Sandbox { proxy, mut rows } = Sandbox::start(service);
    let mut client = Wire::connect(proxy.local_addr()).await;
    let mut idle = Wire::connect(proxy.local_addr()).await;
    for wire in [&mut client, &mut idle] {
        wire.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        wire.message("GET").await;
        rows.next().await;
    }
    client.send("GET /2 HT").await;
    // The proxy has read that when it has answered something that was sent later.
    idle.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.message("GET").await;
    rows.next().await;
    let draining = tokio::spawn(proxy.drain(LONG));
    assert!(idle.is_lost().await);
    client.send("TP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    assert!(client.is_lost().await);
    assert_eq!(draining.await.unwrap().connections_forced, 0);
    assert_eq!(rows.next().await.path, "/2");
    rows.none_left();
}

#[tokio::test]
async fn what_is_not_done_by_the_deadline_is_cut_off() {
    let (come, came) = oneshot::channel();
    let come = std::sync::Mutex::new(Some(come));
    let service = service(move |mut wire, _| {
        let come = come.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            come.send(()).unwrap();
            wire.until_lost().await;
        }
    })
    .await;
    let Sandbox { proxy, mut rows } = Sandbox::start(service);
    let mut client = Wire::connect(proxy.local_addr()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    came.await.unwrap();
    assert_eq!(proxy.drain(Duration::from_millis(50)).await.connections_forced, 1);
    assert!(client.is_lost().await);
    let row = rows.next().await;
    assert_eq!((row.status, row.error), (None, Some("shutdown")));
    rows.none_left();
}

#[tokio::test]
async fn dropping_the_proxy_ends_it() {
    let (service, _) = answering(OK).await;
    let Sandbox { proxy, mut rows } = Sandbox::start(service);
    let mut client = Wire::connect(proxy.local_addr()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.message("GET").await;
    rows.next().await;
    drop(proxy);
    assert!(client.is_lost().await);
    rows.none_left();
}
