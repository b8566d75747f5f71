//! The header fields that a proxy must understand. All others pass through unread.

use memchr::memchr;

/// A field's meaning to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    Connection,
    ContentLength,
    Date,
    DoNotTrack,
    Expect,
    GrpcStatus,
    Host,
    Http2Settings,
    KeepAlive,
    ProxyConnection,
    RidealongError,
    SecGpc,
    ServerTiming,
    Te,
    TraceParent,
    Trailer,
    TransferEncoding,
    Upgrade,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRequestId,
    XResponseTime,
    /// A name that a service may take for one of the above, since CGI and its descendants see `_` for `-`: only ever sent
    /// to get past a proxy.
    Alias,
    Other,
}

impl Field {
    pub fn of(name: &[u8]) -> Field {
        match Self::known(name) {
            Field::Other if memchr(b'_', name).is_some() => Self::behind_underscores(name),
            field => field,
        }
    }

    fn known(name: &[u8]) -> Field {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        // The length leaves at most two candidates.
        match name.len() {
            2 if is("te") => Field::Te,
            3 if is("dnt") => Field::DoNotTrack,
            4 if is("host") => Field::Host,
            4 if is("date") => Field::Date,
            6 if is("expect") => Field::Expect,
            7 if is("upgrade") => Field::Upgrade,
            7 if is("trailer") => Field::Trailer,
            7 if is("sec-gpc") => Field::SecGpc,
            10 if is("connection") => Field::Connection,
            10 if is("keep-alive") => Field::KeepAlive,
            11 if is("traceparent") => Field::TraceParent,
            11 if is("grpc-status") => Field::GrpcStatus,
            12 if is("x-request-id") => Field::XRequestId,
            13 if is("server-timing") => Field::ServerTiming,
            14 if is("content-length") => Field::ContentLength,
            14 if is("http2-settings") => Field::Http2Settings,
            15 if is("x-forwarded-for") => Field::XForwardedFor,
            15 if is("x-response-time") => Field::XResponseTime,
            16 if is("proxy-connection") => Field::ProxyConnection,
            16 if is("x-forwarded-host") => Field::XForwardedHost,
            17 if is("transfer-encoding") => Field::TransferEncoding,
            17 if is("x-forwarded-proto") => Field::XForwardedProto,
            17 if is("x-ridealong-error") => Field::RidealongError,
            _ => Field::Other,
        }
    }

    fn behind_underscores(name: &[u8]) -> Field {
        let mut plain = [0; 32];
        let Some(plain) = plain.get_mut(..name.len()) else { return Field::Other };
        for (to, from) in plain.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        if Self::known(plain) == Field::Other { Field::Other } else { Field::Alias }
    }

    /// Whether a trailer may not carry it: it says how to read, route or judge a message that is already under way
    /// (RFC 9110, 6.5.1).
    pub fn is_barred_from_trailers(name: &[u8]) -> bool {
        const BARRED: [&str; 14] = [
            "authorization",
            "cache-control",
            "content-encoding",
            "content-range",
            "content-type",
            "cookie",
            "max-forwards",
            "proxy-authenticate",
            "proxy-authorization",
            "range",
            "set-cookie",
            "te",
            "www-authenticate",
            "if-match",
        ];
        let passes = matches!(Self::of(name), Field::Other | Field::GrpcStatus | Field::ServerTiming);
        !passes || BARRED.iter().any(|barred| name.eq_ignore_ascii_case(barred.as_bytes()))
    }
}

/// The members of a comma-separated list, without white space around them.
pub fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}
