//! The inline HTTP proxy: takes requests, times them, passes them to the service beside it, and hands one
//! [`Exchange`](crate::exchange::Exchange) for each to a recorder.
//!
//! Each thread is a proxy of its own: a single-threaded runtime, a listener on the shared address (`SO_REUSEPORT`), a pool
//! of upstream connections, a recorder. Threads share nothing but counters, so a request takes no lock. One task drives
//! both sockets of an exchange, and passes HTTP/1 on as the bytes that it is; HTTP/2 is taken apart
//! and put together by the h2 crate.
//!
//! Deliberately unknown here: sampling, routes, privacy, the spool, configuration's text.

mod fault;
mod options;

mod counters;
mod listener;
mod worker;

mod stamps;

mod connection;
mod event_ids;
mod open;
mod stream;
mod upstream;

mod http1;
mod http2;

#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::{oneshot, watch};

use crate::exchange::Record;
use worker::{Orders, Seat};

pub use counters::{Counters, CountersSnapshot};
pub use fault::Fault;
pub use options::{Limits, ProxyOptions, Trusted, UpstreamAddress};

/// Starts proxies.
pub struct Proxy;

/// A proxy that accepts. Dropping it stops its threads at once; [`RunningProxy::drain`] is the polite way.
pub struct RunningProxy {
    local_addr: SocketAddr,
    orders: watch::Sender<Orders>,
    limits: watch::Sender<Limits>,
    counters: Arc<Counters>,
    threads: Vec<ProxyThread>,
}

/// What a drain came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were still busy at the deadline and were cut off.
    pub connections_forced: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("could not start proxy thread {index}")]
    Thread { index: usize, source: io::Error },
}

struct ProxyThread {
    handle: JoinHandle<()>,
    ended: oneshot::Receiver<()>,
}

impl Proxy {
    /// Listens, and returns once every thread accepts. `recorder` is called once on each thread, with its index.
    pub fn start(
        options: ProxyOptions,
        recorder: impl Fn(usize) -> Box<dyn Record> + Send + Sync + 'static,
    ) -> Result<RunningProxy, StartError> {
        let listeners = listener::bind(options.listen, options.threads.get())
            .map_err(|source| StartError::Listen { address: options.listen, source })?;
        let (orders, _) = watch::channel(Orders::Serve);
        let (limits, _) = watch::channel(options.limits);
        let mut proxy = RunningProxy {
            local_addr: listeners.address,
            orders,
            limits,
            counters: Arc::new(Counters::default()),
            threads: Vec::with_capacity(options.threads.get()),
        };
        let (options, recorder) = (Arc::new(options), Arc::new(recorder));
        for (index, listener) in listeners.sockets.into_iter().enumerate() {
            let recorder = Arc::clone(&recorder);
            let seat = Seat {
                listener,
                options: Arc::clone(&options),
                orders: proxy.orders.subscribe(),
                limits: proxy.limits.subscribe(),
                counters: Arc::clone(&proxy.counters),
                recorder: Box::new(move || recorder(index)),
            };
            let thread = start_thread(index, seat).map_err(|source| StartError::Thread { index, source })?;
            proxy.threads.push(thread);
        }
        Ok(proxy)
    }
}

impl RunningProxy {
    /// Where it listens: the real port when port 0 was asked for.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The limits that hold, to be read and changed while it runs; connections go on.
    pub fn limits(&self) -> watch::Sender<Limits> {
        self.limits.clone()
    }

    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Stops accepting, lets running requests finish, and after `deadline` cuts off what is left. Every request has been
    /// recorded and every recorder flushed when this returns. Cancelling it cuts everything off at once.
    pub async fn drain(self, deadline: Duration) -> Drained {
        let forced_before = self.counters.snapshot().connections_forced;
        self.orders.send_replace(Orders::Drain { until: Instant::now() + deadline });
        for thread in self.threads {
            // An error means that the thread has ended without a word, which is an end too.
            let _ = thread.ended.await;
            if thread.handle.join().is_err() {
                tracing::error!("a proxy thread panicked");
            }
        }
        Drained { connections_forced: self.counters.snapshot().connections_forced - forced_before }
    }
}

fn start_thread(index: usize, seat: Seat) -> io::Result<ProxyThread> {
    let (started, start) = mpsc::sync_channel(1);
    let (end, ended) = oneshot::channel();
    let handle = thread::Builder::new().name(format!("proxy-{index}")).spawn(move || {
        worker::run(seat, started);
        let _ = end.send(());
    })?;
    start.recv().unwrap_or_else(|_| Err(io::Error::other("the thread ended before it accepted")))?;
    Ok(ProxyThread { handle, ended })
}
