//! Serving the agent's own API over HTTP/1, with the limits that a port needs even on loopback.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The service beside the agent, and those who look after it.
const CONNECTIONS_MAX: usize = 256;
/// From a connection's start, or the last answer, to the end of a head; so it ends idle connections too.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Out of descriptors: accepting again at once would only spin.
const ACCEPT_ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Answers under way when the agent stops.
const FINISH: Duration = Duration::from_millis(500);

/// Serves until told to stop, then lets answers under way go out. Cancelling it ends every connection.
pub async fn serve(listener: TcpListener, router: Router, stop: CancellationToken) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let open = GracefulShutdown::new();
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = async { (Arc::clone(&free).acquire_owned().await, listener.accept().await) } => accepted,
        };
        let (Ok(seat), Ok((stream, _))) = accepted else {
            tokio::time::sleep(ACCEPT_ERROR_PAUSE).await;
            continue;
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router.clone()));
        let connection = open.watch(connection);
        tasks.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to the agent's own API ended");
            }
            drop(seat);
        });
    }
    drop(listener);
    // What is not done by then is cut with the tasks.
    let _ = tokio::time::timeout(FINISH, open.shutdown()).await;
}
