//! The settings of the agent, and the checked configuration that runs.

mod proxy;
mod recording;

use std::fmt::Write;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ridealong_common::settings::{ByteSize, Faults, Layered, Reader, Setting};
use url::Url;

use crate::pattern::Pattern;
use crate::privacy::PrivacySettings;
use crate::proxy::{Limits, Trusted, UpstreamAddress};
use crate::sampling::Sampling;

pub const PREFIX: &str = "RIDEALONG_AGENT_";

pub const SETTINGS: &[Setting] = &[
    Setting::new("service", "NAME", "Name of the service beside this agent"),
    Setting::new("upstream", "URL", "Where the service listens: http://HOST:PORT, h2c://HOST:PORT or unix:/PATH"),
    Setting::new("listen", "ADDR", "Where the proxy listens").default("127.0.0.1:8080"),
    Setting::new("aggregator", "URL", "Where to deliver").default("http://127.0.0.1:8600"),
    Setting::new("environment", "NAME", "Environment of the service, for example production"),
    Setting::new("service-version", "V", "Version of the service"),
    Setting::new("api-listen", "ADDR", "Where the agent's own API listens; loopback only").default("127.0.0.1:8601"),
    Setting::new("spool", "DIR", "Folder for what is not yet delivered").default("./ridealong-spool"),
    Setting::new("spool-max", "SIZE", "Bytes the spool may take on disk; past it the oldest requests go")
        .default("256MiB"),
    Setting::new(
        "sample",
        "RATE",
        "Share of ordinary requests that become rows, 0 to 1; counts stay exact at any rate",
    )
    .default("1.0")
    .live(),
    Setting::new("slow", "DURATION", "Requests that take longer always become rows, as errors do").default("1s").live(),
    Setting::new("route", "PATTERN", "Route to count requests under, before any is learned: /users/{id}, /static/*")
        .many(),
    Setting::new("redact", "PATTERN", "Path whose {name} segments are stored as their names, deeper paths included")
        .many(),
    Setting::new("record-query", "NAMES", "Query parameters to keep; without it the query is not kept").many(),
    Setting::new("record-headers", "NAMES", "Request headers to keep; never those with credentials")
        .default("user-agent")
        .many(),
    Setting::new("client-address", "FORM", "How clients' addresses are kept: off, truncated, hashed or full")
        .default("truncated"),
    Setting::new("host-interval", "DURATION", "Between two samples of the host").default("10s"),
    Setting::new("threads", "N", "Threads of the proxy; 0 means one a processor, two at most").default("0"),
    Setting::new("connections-max", "N", "Client connections at once; more wait to be accepted")
        .default("10000")
        .live(),
    Setting::new("requests-max", "N", "Requests under way at once; one more is answered 503").default("10000").live(),
    Setting::new("header-bytes-max", "SIZE", "Of a request's head; then 431").default("64KiB").live(),
    Setting::new("headers-max", "N", "Headers of a request, 256 at most; then 431").default("100").live(),
    Setting::new("uri-bytes-max", "SIZE", "Of a request's target; then 414").default("32KiB").live(),
    Setting::new("header-timeout", "DURATION", "From a request's first byte to the end of its head; then 408")
        .default("10s")
        .live(),
    Setting::new("client-idle", "DURATION", "A client's connection may idle this long between requests")
        .default("75s")
        .live(),
    Setting::new(
        "client-rate-min",
        "N",
        "Bytes a second, over 10 s, that a client must send or take while it is waited for; 0 means any",
    )
    .default("240")
    .live(),
    Setting::new(
        "half-close-timeout",
        "DURATION",
        "A client that has ended its sending side is still answered for this long; 0s means not at all",
    )
    .default("5s")
    .live(),
    Setting::new("connection-age-max", "DURATION", "A client's connection ends after this; 0s means never")
        .default("0s")
        .live(),
    Setting::new("connect-timeout", "DURATION", "For a connection to the service; then 504").default("5s").live(),
    Setting::new("response-timeout", "DURATION", "For the head of the service's response; then 504; 0s means none")
        .default("60s")
        .live(),
    Setting::new("response-idle", "DURATION", "Between two pieces of a response's body; 0s means any time")
        .default("5m")
        .live(),
    Setting::new("request-timeout", "DURATION", "For a request and its response in all; then 504; 0s means none")
        .default("0s")
        .live(),
    Setting::new(
        "upstream-idle",
        "DURATION",
        "Idle connections to the service are kept this long; keep it below the service's own",
    )
    .default("1s")
    .live(),
    Setting::new("tunnel-idle", "DURATION", "A tunnel (WebSocket and others) may be silent this long; 0s means ever")
        .default("1h")
        .live(),
    Setting::new(
        "trusted-proxies",
        "NETWORKS",
        "Whose X-Forwarded-* are believed: networks such as 10.0.0.0/8, separated by commas; private; or none",
    )
    .default("private"),
    Setting::new("allow-connect", "", "Pass CONNECT on to the service, and open its tunnel").switch(),
    Setting::new("drain-timeout", "DURATION", "A stop waits this long for requests under way, then cuts them")
        .default("3s"),
    Setting::new("log-level", "LEVEL", "error, warn, info, debug or trace; or a filter").default("info"),
    Setting::new("log-format", "FORMAT", "text or json").default("text"),
];

/// The smallest limit that the spool can keep.
const SPOOL_MIN: ByteSize = ByteSize::mebibytes(16);

#[derive(Clone, Debug)]
pub struct Config {
    pub service: String,
    pub upstream: UpstreamAddress,
    pub listen: SocketAddr,
    pub aggregator: Url,
    pub environment: Option<String>,
    pub service_version: Option<String>,
    pub api_listen: SocketAddr,
    pub spool: PathBuf,
    pub spool_max: ByteSize,
    pub sampling: Sampling,
    pub routes: Vec<Pattern>,
    pub privacy: PrivacySettings,
    pub host_interval: Duration,
    pub threads: Option<NonZeroUsize>,
    pub limits: Limits,
    pub trusted: Trusted,
    pub allow_connect: bool,
    pub drain_timeout: Duration,
    pub log_level: String,
    pub log_json: bool,
}

impl Config {
    /// Pure: every fault at once.
    pub fn check(layered: &Layered) -> Result<Self, Faults> {
        let mut read = Reader::new(layered);
        let unspecified = SocketAddr::from(([127, 0, 0, 1], 0));
        let upstream = proxy::upstream(&mut read);
        let aggregator = aggregator(&mut read);
        let api_listen = read.optional("api-listen").unwrap_or(unspecified);
        if !api_listen.ip().is_loopback() {
            read.fault("api-listen", "must be a loopback address, for example 127.0.0.1:8601");
        }
        let spool_max: ByteSize = read.required("spool-max");
        if spool_max < SPOOL_MIN {
            read.fault("spool-max", "must be at least 16MiB");
        }
        let host_interval: Duration = read.required("host-interval");
        if host_interval < Duration::from_secs(1) {
            read.fault("host-interval", "must be at least 1s");
        }
        let log_format: String = read.required("log-format");
        if !["text", "json"].contains(&log_format.as_str()) {
            read.fault("log-format", "must be text or json");
        }
        let limits = proxy::limits(&mut read);
        let trusted = proxy::trusted(&mut read);
        let config = Self {
            service: read.required("service"),
            upstream,
            listen: read.optional("listen").unwrap_or(unspecified),
            aggregator,
            environment: read.optional("environment"),
            service_version: read.optional("service-version"),
            api_listen,
            spool: read.required("spool"),
            spool_max,
            sampling: recording::sampling(&mut read),
            routes: recording::patterns(&mut read, "route"),
            privacy: recording::privacy(&mut read),
            host_interval,
            threads: NonZeroUsize::new(read.required::<u64>("threads") as usize),
            limits,
            trusted,
            allow_connect: read.required("allow-connect"),
            drain_timeout: read.required("drain-timeout"),
            log_level: read.required("log-level"),
            log_json: log_format == "json",
        };
        read.finish()?;
        Ok(config)
    }
}

fn aggregator(read: &mut Reader<'_>) -> Url {
    let text: String = read.required("aggregator");
    match Url::parse(&text) {
        Ok(url) if ["http", "https"].contains(&url.scheme()) && url.has_host() => url,
        _ => {
            read.fault("aggregator", "must be http://HOST:PORT or https://HOST:PORT");
            Url::from_directory_path("/").unwrap_or_else(|()| unreachable!("the root folder is absolute"))
        }
    }
}

/// Every setting with its value and origin, aligned.
pub fn shown(layered: &Layered) -> String {
    let mut text = String::new();
    for (key, value, origin) in layered.iter() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key:<18} {value:<28} {origin}");
    }
    text
}

#[cfg(test)]
mod tests;
