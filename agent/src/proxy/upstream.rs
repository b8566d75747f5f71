//! The service's side: a thread's pool of connections to it.
//!
//! A kept connection may be closed by the service just when we use it. Against that stand, in this order: we close idle
//! ones before common servers would, or before the service's own `Keep-Alive: timeout`; we look before we use one, and ask
//! the kernel before anything that cannot be repeated; and what can be repeated is (see `exchanges.rs`).

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpStream, UnixStream};

use super::counters::{Counters, count};
use super::fault::Fault;
use super::options::UpstreamAddress;
use super::stream::Stream;

/// Kept connections of one thread.
const IDLE_CONNECTIONS_MAX: usize = 1024;

pub(super) struct Upstream {
    address: UpstreamAddress,
    counters: Arc<Counters>,
    /// The last used is at the end, and the next used: a few connections are kept warm, the rest time out.
    idle: RefCell<Vec<Idle>>,
}

struct Idle {
    stream: Stream,
    until: Instant,
}

impl Upstream {
    pub(super) fn new(address: UpstreamAddress, counters: Arc<Counters>) -> Self {
        Self { address, counters, idle: RefCell::new(Vec::new()) }
    }

    pub(super) fn close_idle(&self, now: Instant) {
        self.idle.borrow_mut().retain(|idle| idle.until > now && idle.stream.is_quiet(false));
    }

    /// Keeps a connection whose response was read to its end.
    pub(super) fn give_back(&self, stream: Stream, until: Instant) {
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_CONNECTIONS_MAX {
            idle.push(Idle { stream, until });
        }
    }

    /// A kept connection, if there is one that still seems good; `ask` looks closer.
    pub(super) fn take(&self, now: Instant, ask: bool) -> Option<Stream> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { stream, until }) = idle.pop() {
            if until > now && stream.is_quiet(ask) {
                return Some(stream);
            }
        }
        None
    }

    pub(super) async fn connect(&self, timeout: Duration) -> Result<Stream, Fault> {
        let stream = match tokio::time::timeout(timeout, self.connect_now()).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(connect_fault(&error)),
            Err(_) => return Err(Fault::UpstreamConnectTimeout),
        };
        count(&self.counters.upstream_connections);
        Ok(stream)
    }

    async fn connect_now(&self) -> io::Result<Stream> {
        match &self.address {
            UpstreamAddress::Http { host, port } | UpstreamAddress::H2c { host, port } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream::Tcp(stream))
            }
            UpstreamAddress::Unix { path } => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        }
    }
}

fn connect_fault(error: &io::Error) -> Fault {
    match error.kind() {
        // A unix socket without a listener, or none at all.
        io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound => Fault::UpstreamConnectRefused,
        io::ErrorKind::TimedOut => Fault::UpstreamConnectTimeout,
        _ => Fault::UpstreamConnectFailed,
    }
}
