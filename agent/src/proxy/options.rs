//! What a proxy is told. Checked values only: text and units are the configuration's business.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use ipnet::IpNet;

use crate::exchange::Capture;

/// Fixed from the start on. Each default has its reason beside it in [`ProxyOptions::new`].
#[derive(Clone, Debug)]
pub struct ProxyOptions {
    pub listen: SocketAddr,
    pub upstream: UpstreamAddress,
    pub threads: NonZeroUsize,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted: Trusted,
    /// Whether CONNECT is passed on and its tunnel opened.
    pub allow_connect: bool,
    /// What exchanges carry beyond their path.
    pub capture: Capture,
    pub limits: Limits,
}

/// What may change while the proxy runs. Connections keep going; each takes the new values at its next step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Over all threads; each takes an equal share, and stops accepting while its share is in use.
    pub connections_max: usize,
    /// Requests under way, over all threads likewise; one more is answered 503.
    pub requests_max: usize,
    /// Of a request's head: its line and all headers.
    pub header_bytes_max: usize,
    pub headers_max: usize,
    pub target_bytes_max: usize,
    /// From a request's first byte to the end of its head.
    pub header_read_timeout: Duration,
    /// How long a client's connection may idle between requests, or before its first one.
    pub client_idle_timeout: Duration,
    /// Bytes a second that a client must send of a body, and take of a response, while the proxy waits for it.
    pub client_rate_min: u64,
    /// Over which that is measured.
    pub client_rate_window: Duration,
    /// How long a client that has shut down its sending side is still served. None: not at all.
    pub half_close_timeout: Option<Duration>,
    /// After which a client's connection is ended with the response at hand.
    pub connection_age_max: Option<Duration>,
    pub connect_timeout: Duration,
    /// From the request's last byte sent upstream to the response's head.
    pub response_timeout: Option<Duration>,
    /// Between two pieces of a response's body.
    pub response_idle_timeout: Option<Duration>,
    /// From a request's first byte to its response's last.
    pub request_timeout: Option<Duration>,
    /// How long a kept upstream connection may idle before it is closed.
    pub upstream_idle_timeout: Duration,
    /// How long a tunnel may be silent in both directions.
    pub tunnel_idle_timeout: Option<Duration>,
}

/// Where the service listens, and what it speaks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpstreamAddress {
    /// HTTP/1 over TCP. The host is a name, or an IP address without brackets.
    Http { host: String, port: u16 },
    /// HTTP/2 over TCP, without asking first.
    H2c { host: String, port: u16 },
    /// HTTP/1 over a unix socket.
    Unix { path: PathBuf },
}

/// Networks whose proxies tell the truth about their clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trusted(pub Vec<IpNet>);

impl Trusted {
    /// Loopback, private and link-local networks. A sidecar's clients there are balancers and other services of its
    /// owner: not to believe a balancer's `X-Forwarded-Proto` would send its users round in redirects.
    pub fn private() -> Self {
        const NETWORKS: [&str; 8] = [
            "127.0.0.0/8",
            "10.0.0.0/8",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "169.254.0.0/16",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
        ];
        Self(NETWORKS.into_iter().filter_map(|network| network.parse().ok()).collect())
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl ProxyOptions {
    pub fn new(listen: SocketAddr, upstream: UpstreamAddress) -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            listen,
            upstream,
            // A sidecar is a guest on its host: two threads carry over 100,000 requests a second.
            threads: NonZeroUsize::new(cores.min(2)).unwrap_or(NonZeroUsize::MIN),
            trusted: Trusted::private(),
            // A sidecar that opens tunnels for anyone is a way into the network.
            allow_connect: false,
            capture: Capture::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            // As many as connections: only HTTP/2 brings more.
            requests_max: 10_000,
            // Above what common servers take (node 16 KiB, nginx 32 KiB), so that the service decides.
            header_bytes_max: 64 * 1024,
            // As Apache and hyper.
            headers_max: 100,
            // Common servers take 8 to 16 KiB.
            target_bytes_max: 32 * 1024,
            // A head comes in one packet, or someone is holding it back.
            header_read_timeout: Duration::from_secs(10),
            // As nginx.
            client_idle_timeout: Duration::from_secs(75),
            // As Kestrel: slower than any modem.
            client_rate_min: 240,
            // Longer than the common hiccups of a mobile network.
            client_rate_window: Duration::from_secs(10),
            // A client that left looks the same as one that only has nothing more to say.
            half_close_timeout: Some(Duration::from_secs(5)),
            // Long streams are rather the rule beside a service; balancers in front rebalance by themselves.
            connection_age_max: None,
            connect_timeout: Duration::from_secs(5),
            // As nginx and HAProxy in their documented examples.
            response_timeout: Some(Duration::from_secs(60)),
            // As Envoy's idle timeout of streams: an event stream with a sign of life now and then lives on.
            response_idle_timeout: Some(Duration::from_secs(300)),
            // How long a request may take is the service's business.
            request_timeout: None,
            // Below the idle timeout of common servers (gunicorn: 2 s, node and uvicorn: 5 s), so that we close first.
            upstream_idle_timeout: Duration::from_secs(1),
            // WebSockets are silent for long, but a peer that vanished is silent for ever.
            tunnel_idle_timeout: Some(Duration::from_secs(3600)),
        }
    }
}

impl UpstreamAddress {
    pub fn http(host: impl Into<String>, port: u16) -> Self {
        Self::Http { host: host.into(), port }
    }

    /// As in `Host`, for requests that came without one.
    pub(super) fn authority(&self) -> String {
        match self {
            Self::Http { host, port } | Self::H2c { host, port } if host.contains(':') => format!("[{host}]:{port}"),
            Self::Http { host, port } | Self::H2c { host, port } => format!("{host}:{port}"),
            Self::Unix { .. } => "localhost".to_owned(),
        }
    }
}

impl fmt::Display for UpstreamAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { .. } => write!(out, "http://{}", self.authority()),
            Self::H2c { .. } => write!(out, "h2c://{}", self.authority()),
            Self::Unix { path } => write!(out, "unix:{}", path.display()),
        }
    }
}
