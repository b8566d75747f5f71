//! The clock starts at a request's first byte and stops when the response's last byte is handed over.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::sandbox::{OK, Sandbox, answering};

/// The pause is what is measured here, so it cannot be awaited.
const PAUSE: Duration = Duration::from_millis(300);
/// A busy machine lets the proxy see the first byte late, and then the pause looks shorter.
const PAUSE_SEEN_US: u64 = 150_000;

#[tokio::test]
async fn a_head_that_comes_slowly_counts_from_its_first_byte() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    // The time before the first byte does not count, neither on a new connection nor on a kept one.
    for _ in 0..2 {
        tokio::time::sleep(PAUSE).await;
        let started = Instant::now();
        client.send("G").await;
        tokio::time::sleep(PAUSE).await;
        client.send("ET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        client.message("GET").await;
        // The client may have its answer before the proxy has looked at the clock again: wait for the row.
        let row = sandbox.row().await;
        let elapsed_us = started.elapsed().as_micros() as u64;
        assert!((PAUSE_SEEN_US..=elapsed_us).contains(&row.duration_us), "{row:?}");
        assert!((PAUSE_SEEN_US..=row.duration_us).contains(&row.ttfb_us.unwrap()), "{row:?}");
    }
    sandbox.end().await;
}

#[tokio::test]
async fn a_body_does_not_start_the_clock_of_the_next_request() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo").await;
    tokio::time::sleep(PAUSE).await;
    client.send("dy").await;
    client.message("POST").await;
    let row = sandbox.row().await;
    assert!(row.request_complete_us.unwrap() >= PAUSE_SEEN_US, "{row:?}");
    tokio::time::sleep(PAUSE).await;
    let started = Instant::now();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.message("GET").await;
    let row = sandbox.row().await;
    assert!(row.duration_us <= started.elapsed().as_micros() as u64, "{row:?}");
    sandbox.end().await;
}

#[tokio::test]
async fn the_wall_clock_is_that_of_the_first_byte() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    let wall_us = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64;
    let before = wall_us();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.message("GET").await;
    let after = wall_us();
    let row = sandbox.row().await;
    // The two clocks are compared by two readings, a moment apart.
    let tolerance_us = 5_000;
    assert!((before - tolerance_us..=after + tolerance_us).contains(&row.started_at_us), "{row:?}");
    assert_eq!(row.event_id.as_u128() >> 80, u128::try_from(row.started_at_us / 1000).unwrap());
    sandbox.end().await;
}
