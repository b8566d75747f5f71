//! A proxy on loopback with a recorder that keeps everything, and services to put behind it.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::timeout;

use super::wire::{Head, PATIENCE, Wire};
use crate::exchange::{Exchange, Record};
use crate::proxy::{CountersSnapshot, Drained, Proxy, ProxyOptions, RunningProxy, UpstreamAddress};

const ROWS_MAX: usize = 1024;

pub struct Sandbox {
    pub proxy: RunningProxy,
    pub rows: Rows,
}

pub struct Rows {
    received: mpsc::Receiver<Exchange>,
    pub ticks: Arc<AtomicU64>,
}

struct Recorder {
    rows: mpsc::Sender<Exchange>,
    ticks: Arc<AtomicU64>,
}

impl Record for Recorder {
    fn record(&self, exchange: Exchange) {
        if let Err(TrySendError::Full(exchange)) = self.rows.try_send(exchange) {
            panic!("more than {ROWS_MAX} rows, the last one {exchange:?}");
        }
    }

    fn tick(&self) {
        self.ticks.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sandbox {
    pub fn start(upstream: SocketAddr) -> Self {
        Self::start_with(upstream, |_| {})
    }

    /// One thread, so that connections meet in one pool, unless `change` says otherwise.
    pub fn start_with(upstream: SocketAddr, change: impl FnOnce(&mut ProxyOptions)) -> Self {
        let upstream = UpstreamAddress::http(upstream.ip().to_string(), upstream.port());
        let mut options = ProxyOptions::new(loopback(), upstream);
        options.threads = NonZeroUsize::MIN;
        change(&mut options);
        let (rows, received) = mpsc::channel(ROWS_MAX);
        let ticks = Arc::new(AtomicU64::new(0));
        let recorder = {
            let ticks = Arc::clone(&ticks);
            move |_| Box::new(Recorder { rows: rows.clone(), ticks: Arc::clone(&ticks) }) as Box<dyn Record>
        };
        let proxy = Proxy::start(options, recorder).unwrap();
        Self { proxy, rows: Rows { received, ticks } }
    }

    pub async fn client(&self) -> Wire {
        Wire::connect(self.proxy.local_addr()).await
    }

    pub async fn row(&mut self) -> Exchange {
        self.rows.next().await
    }

    /// Waits until the counters say so.
    pub async fn counted(&self, is_so: impl Fn(CountersSnapshot) -> bool) {
        eventually(|| is_so(self.proxy.counters().snapshot())).await;
    }

    /// Ends it and asserts that no row is left that the test did not take.
    pub async fn end(mut self) -> Drained {
        let drained = self.proxy.drain(Duration::ZERO).await;
        self.rows.none_left();
        drained
    }
}

impl Rows {
    pub async fn next(&mut self) -> Exchange {
        timeout(PATIENCE, self.received.recv()).await.expect("a row").expect("a proxy that runs")
    }

    /// One that is there already.
    pub fn try_next(&mut self) -> Option<Exchange> {
        self.received.try_recv().ok()
    }

    /// After a drain: each request made one row, and no second one.
    pub fn none_left(&mut self) {
        if let Ok(row) = self.received.try_recv() {
            panic!("one row too many: {row:?}");
        }
    }
}

/// A service that runs `serve` for each connection, with its number.
pub async fn service<F>(serve: impl Fn(Wire, usize) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(loopback()).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for number in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(serve(Wire::new(stream), number));
        }
    });
    address
}

/// A service that keeps connections, answers everything with `response`, and shows what it got.
pub async fn answering(response: impl Into<String>) -> (SocketAddr, Heard) {
    let response: Arc<str> = Arc::from(response.into());
    let heard = Heard::default();
    let address = service({
        let heard = heard.clone();
        move |mut wire, number| {
            let (response, heard) = (Arc::clone(&response), heard.clone());
            async move {
                while let Some(head) = wire.head().await {
                    let length = head.get("content-length").map_or(0, |length| length.parse().unwrap());
                    wire.discard(length).await;
                    heard.requests.lock().unwrap().push((number, head));
                    wire.send(response.as_bytes()).await;
                }
            }
        }
    });
    (address.await, heard)
}

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Clone, Default)]
pub struct Heard {
    requests: Arc<Mutex<Vec<(usize, Head)>>>,
}

impl Heard {
    pub fn last(&self) -> Head {
        self.requests.lock().unwrap().last().expect("a request").1.clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        let numbers = self.requests.lock().unwrap().iter().map(|(number, _)| *number).collect::<Vec<_>>();
        numbers.iter().collect::<std::collections::BTreeSet<_>>().len()
    }
}

pub fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// For what can only be looked at.
pub async fn eventually(mut is_so: impl FnMut() -> bool) {
    let waiting = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("it to become so");
}
