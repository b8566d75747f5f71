//! The proxy's part of the configuration: where it passes requests to, whom it believes, and its limits.

use std::path::PathBuf;
use std::time::Duration;

use ridealong_common::settings::{ByteSize, Reader};
use ridealong_http1::HEADERS_MAX;
use url::Url;

use crate::proxy::{Limits, Trusted, UpstreamAddress};

pub(super) fn upstream(read: &mut Reader<'_>) -> UpstreamAddress {
    let text: String = read.required("upstream");
    let nowhere = UpstreamAddress::http("127.0.0.1", 80);
    if text.is_empty() {
        return nowhere;
    }
    upstream_of(&text).unwrap_or_else(|| {
        read.fault("upstream", "must be http://HOST:PORT or h2c://HOST:PORT without a path, or unix:/PATH");
        nowhere
    })
}

fn upstream_of(text: &str) -> Option<UpstreamAddress> {
    if let Some(path) = text.strip_prefix("unix:") {
        // unix:/path and unix:///path are both common.
        let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
        return path.is_absolute().then_some(UpstreamAddress::Unix { path });
    }
    let url = Url::parse(text).ok().filter(|url| ["", "/"].contains(&url.path()) && url.query().is_none())?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    match url.scheme() {
        "http" => Some(UpstreamAddress::Http { host, port: url.port_or_known_default()? }),
        "h2c" => Some(UpstreamAddress::H2c { host, port: url.port().unwrap_or(80) }),
        _ => None,
    }
}

pub(super) fn trusted(read: &mut Reader<'_>) -> Trusted {
    let text: String = read.required("trusted-proxies");
    match text.trim() {
        "private" => Trusted::private(),
        "none" | "" => Trusted::default(),
        networks => {
            let parsed: Result<Vec<_>, _> = networks.split(',').map(|network| network.trim().parse()).collect();
            parsed.map(Trusted).unwrap_or_else(|_| {
                read.fault("trusted-proxies", "must be networks such as 10.0.0.0/8,fd00::/8, or private, or none");
                Trusted::default()
            })
        }
    }
}

pub(super) fn limits(read: &mut Reader<'_>) -> Limits {
    Limits {
        connections_max: count(read, "connections-max", u32::MAX as usize),
        requests_max: count(read, "requests-max", u32::MAX as usize),
        header_bytes_max: size(read, "header-bytes-max"),
        headers_max: count(read, "headers-max", HEADERS_MAX),
        target_bytes_max: size(read, "uri-bytes-max"),
        header_read_timeout: read.required("header-timeout"),
        client_idle_timeout: read.required("client-idle"),
        client_rate_min: read.required("client-rate-min"),
        client_rate_window: Limits::default().client_rate_window,
        half_close_timeout: unless_zero(read, "half-close-timeout"),
        connection_age_max: unless_zero(read, "connection-age-max"),
        connect_timeout: read.required("connect-timeout"),
        response_timeout: unless_zero(read, "response-timeout"),
        response_idle_timeout: unless_zero(read, "response-idle"),
        request_timeout: unless_zero(read, "request-timeout"),
        upstream_idle_timeout: read.required("upstream-idle"),
        tunnel_idle_timeout: unless_zero(read, "tunnel-idle"),
    }
}

fn unless_zero(read: &mut Reader<'_>, key: &'static str) -> Option<Duration> {
    let duration: Duration = read.required(key);
    (!duration.is_zero()).then_some(duration)
}

fn count(read: &mut Reader<'_>, key: &'static str, max: usize) -> usize {
    let number: u64 = read.required(key);
    match usize::try_from(number) {
        Ok(number) if (1..=max).contains(&number) => number,
        _ => {
            read.fault(key, format!("must be 1 to {max}"));
            1
        }
    }
}

/// Of a head, which is held in memory whole.
fn size(read: &mut Reader<'_>, key: &'static str) -> usize {
    let size: ByteSize = read.required(key);
    if !(1 << 10..=1 << 20).contains(&size.bytes()) {
        read.fault(key, "must be 1KiB to 1MiB");
    }
    size.bytes() as usize
}
