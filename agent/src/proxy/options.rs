//! What a proxy is told when it starts. Checked values only: text and units are the configuration's business.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;

/// Each default has its reason beside it in [`ProxyOptions::new`].
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    pub listen: SocketAddr,
    pub upstream: UpstreamAddress,
    pub threads: NonZeroUsize,
    /// Over all threads; each takes an equal share, and stops accepting while its share is in use.
    pub connections_max: usize,
    pub connect_timeout: Duration,
    /// From the request's last byte sent upstream to the response's head.
    pub response_timeout: Option<Duration>,
    /// How long a kept upstream connection may idle before it is closed.
    pub upstream_idle_timeout: Duration,
    /// From a request's first byte to the end of its head.
    pub header_read_timeout: Duration,
    /// How long a client's connection may idle between requests, or before its first one.
    pub client_idle_timeout: Duration,
    /// Whether a client that has shut down its sending side still gets its answer. Off: it counts as gone.
    pub half_close: bool,
    /// Whether names of headers keep their capitals on the way through; if not, each word gets one.
    pub preserve_header_case: bool,
}

/// Where the service listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamAddress {
    /// A name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

impl ProxyOptions {
    pub fn new(listen: SocketAddr, upstream: UpstreamAddress) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            listen,
            upstream,
            // A sidecar is a guest on its host: two threads carry over 100,000 requests a second.
            threads: NonZeroUsize::new(cores.min(2)).unwrap_or(NonZeroUsize::MIN),
            connections_max: 10_000,
            connect_timeout: Duration::from_secs(5),
            // As nginx and HAProxy in their documented examples.
            response_timeout: Some(Duration::from_secs(60)),
            // Below the idle timeout of common servers (node: 5 s), so that we close first and never race a close.
            upstream_idle_timeout: Duration::from_secs(2),
            header_read_timeout: Duration::from_secs(10),
            // As nginx.
            client_idle_timeout: Duration::from_secs(75),
            // A client that leaves closes both sides, and looks the same until we write to it: nginx and Envoy, too,
            // rather stop the service's work than answer the few who only half close.
            half_close: false,
            // A tenth of the proxy's CPU; but services exist that compare names byte by byte.
            preserve_header_case: true,
        }
    }
}

impl UpstreamAddress {
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

/// As in `Host`: an IPv6 address is bracketed.
impl fmt::Display for UpstreamAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(out, "[{}]:{}", self.host, self.port)
        } else {
            write!(out, "{}:{}", self.host, self.port)
        }
    }
}
