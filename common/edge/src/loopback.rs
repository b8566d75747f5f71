//! While no key exists only this machine may call, and `Host` must say so: a page in a browser whose name resolves to
//! 127.0.0.1 (DNS rebinding) sends its own name.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::failure::Failure;

pub async fn require_loopback_host(request: Request, next: Next) -> Response {
    let header = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = header.or_else(|| request.uri().authority().map(|authority| authority.as_str()));
    if host.is_some_and(is_loopback) {
        return next.run(request).await;
    }
    let detail = format!(
        "Host is {:?}; while no API key exists it must name this machine: 127.0.0.1, localhost or [::1]",
        host.unwrap_or_default()
    );
    Failure::new(403, "host-not-loopback", "Host is not loopback", detail).into_response()
}

/// Refuses pages of other hosts. A browser keeps these from reading most answers, but not a WebSocket: it only says where
/// the page is from.
pub fn require_own_origin(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    if origin.to_str().is_ok_and(is_loopback_origin) {
        return Ok(());
    }
    let detail = format!("the page at {origin:?} may not read this: only pages of this machine may");
    Err(Failure::new(403, "foreign-origin", "Origin is not allowed", detail))
}

fn is_loopback_origin(origin: &str) -> bool {
    let host = ["http://", "https://"].iter().find_map(|scheme| origin.strip_prefix(scheme));
    host.is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{is_loopback, is_loopback_origin};

    #[test]
    fn only_pages_of_this_machine_pass() {
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:8600"] {
            assert!(is_loopback_origin(origin), "{origin}");
        }
        for origin in ["", "null", "localhost", "http://evil.example", "file://", "http://127.0.0.1.evil.example:80"] {
            assert!(!is_loopback_origin(origin), "{origin}");
        }
    }

    #[test]
    fn only_names_of_this_machine_pass() {
        for host in ["localhost", "LocalHost:8600", "127.0.0.1", "127.0.0.1:8600", "127.8.9.1:1", "[::1]", "[::1]:8600"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "example.com", "localhost.example.com:8600", "10.0.0.1", "[::2]:1", "127.0.0.1.example.com"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
