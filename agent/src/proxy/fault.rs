//! Why an exchange failed: a stable id for each reason, with the answer that the client gets when it can still get one.

use http::StatusCode;

/// The ids are stored and shown (`error`, `X-Ridealong-Error`): never change one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request's `Host` is missing, repeated or malformed.
    BadHost,
    /// The proxy opens no tunnels.
    ConnectUnsupported,
    /// The request's body is malformed.
    RequestBody,
    /// The client left before the exchange was complete.
    ClientDisconnect,
    UpstreamConnectRefused,
    UpstreamConnectTimeout,
    /// Any other reason for which no connection came about: no such name, no route, no descriptors.
    UpstreamConnectFailed,
    /// The service broke off before or within its response.
    UpstreamReset,
    /// What the service sent is not HTTP/1, or a switch of protocols that nobody asked for.
    UpstreamInvalid,
    ResponseTimeout,
    /// The proxy was stopped and its drain's deadline passed.
    Shutdown,
}

impl Fault {
    pub const fn id(self) -> &'static str {
        match self {
            Fault::BadHost => "bad_host",
            Fault::ConnectUnsupported => "connect_unsupported",
            Fault::RequestBody => "request_body_error",
            Fault::ClientDisconnect => "client_disconnect",
            Fault::UpstreamConnectRefused => "upstream_connect_refused",
            Fault::UpstreamConnectTimeout => "upstream_connect_timeout",
            Fault::UpstreamConnectFailed => "upstream_connect_failed",
            Fault::UpstreamReset => "upstream_reset",
            Fault::UpstreamInvalid => "upstream_invalid",
            Fault::ResponseTimeout => "response_timeout",
            Fault::Shutdown => "shutdown",
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Fault::BadHost | Fault::RequestBody | Fault::ClientDisconnect => StatusCode::BAD_REQUEST,
            Fault::ConnectUnsupported => StatusCode::NOT_IMPLEMENTED,
            Fault::UpstreamConnectRefused
            | Fault::UpstreamConnectFailed
            | Fault::UpstreamReset
            | Fault::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Fault::UpstreamConnectTimeout | Fault::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
            Fault::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One line for a person who looks at the answer.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Fault::BadHost => "the request has no single, valid Host\n",
            Fault::ConnectUnsupported => "CONNECT is not supported\n",
            Fault::RequestBody => "the request's body is malformed\n",
            Fault::ClientDisconnect => "the request's body was broken off\n",
            Fault::UpstreamConnectRefused => "the service refused the connection\n",
            Fault::UpstreamConnectTimeout => "the service did not take the connection in time\n",
            Fault::UpstreamConnectFailed => "the service could not be reached\n",
            Fault::UpstreamReset => "the service broke off the connection\n",
            Fault::UpstreamInvalid => "the service's response is not valid HTTP\n",
            Fault::ResponseTimeout => "the service did not answer in time\n",
            Fault::Shutdown => "the proxy is stopping\n",
        }
    }
}
