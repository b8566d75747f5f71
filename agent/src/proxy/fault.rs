//! Why an exchange failed: a stable id for each reason, with the answer that the client gets when it can still get one.

use http::StatusCode;

/// The ids are stored and shown (`error`, `X-Ridealong-Error`): never change one. Those that begin with `client_` or
/// `request_` are the client's, `upstream_` and `response_` the service's, the rest the proxy's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The request's `Host` is missing, repeated or malformed.
    BadHost,
    /// The proxy opens no tunnels.
    ConnectUnsupported,
    /// The request's body is malformed.
    RequestBody,
    /// The request's body came slower than the least rate.
    RequestBodyTimeout,
    /// Request and response together took longer than they may.
    RequestTimeout,
    /// The client left before the exchange was complete.
    ClientDisconnect,
    /// The client took the response slower than the least rate.
    ClientTimeout,
    UpstreamConnectRefused,
    UpstreamConnectTimeout,
    /// Any other reason for which no connection came about: no such name, no route, no descriptors.
    UpstreamConnectFailed,
    /// The service broke off before or within its response.
    UpstreamReset,
    /// What the service sent is not HTTP, or a switch of protocols that nobody asked for.
    UpstreamInvalid,
    /// The head of the response did not come in time.
    ResponseTimeout,
    /// The response stopped in its middle for too long.
    ResponseIdleTimeout,
    /// More requests are under way than may be.
    Overloaded,
    /// The proxy was stopped and its drain's deadline passed.
    Shutdown,
}

impl Fault {
    pub const ALL: [Fault; 16] = [
        Fault::BadHost,
        Fault::ConnectUnsupported,
        Fault::RequestBody,
        Fault::RequestBodyTimeout,
        Fault::RequestTimeout,
        Fault::ClientDisconnect,
        Fault::ClientTimeout,
        Fault::UpstreamConnectRefused,
        Fault::UpstreamConnectTimeout,
        Fault::UpstreamConnectFailed,
        Fault::UpstreamReset,
        Fault::UpstreamInvalid,
        Fault::ResponseTimeout,
        Fault::ResponseIdleTimeout,
        Fault::Overloaded,
        Fault::Shutdown,
    ];

    pub const fn id(self) -> &'static str {
        match self {
            Fault::BadHost => "bad_host",
            Fault::ConnectUnsupported => "connect_unsupported",
            Fault::RequestBody => "request_body_error",
            Fault::RequestBodyTimeout => "request_body_timeout",
            Fault::RequestTimeout => "request_timeout",
            Fault::ClientDisconnect => "client_disconnect",
            Fault::ClientTimeout => "client_timeout",
            Fault::UpstreamConnectRefused => "upstream_connect_refused",
            Fault::UpstreamConnectTimeout => "upstream_connect_timeout",
            Fault::UpstreamConnectFailed => "upstream_connect_failed",
            Fault::UpstreamReset => "upstream_reset",
            Fault::UpstreamInvalid => "upstream_invalid",
            Fault::ResponseTimeout => "response_timeout",
            Fault::ResponseIdleTimeout => "response_idle_timeout",
            Fault::Overloaded => "overloaded",
            Fault::Shutdown => "shutdown",
        }
    }

    pub(super) const fn status(self) -> StatusCode {
        match self {
            Fault::BadHost | Fault::RequestBody | Fault::ClientDisconnect => StatusCode::BAD_REQUEST,
            Fault::RequestBodyTimeout | Fault::ClientTimeout => StatusCode::REQUEST_TIMEOUT,
            Fault::ConnectUnsupported => StatusCode::NOT_IMPLEMENTED,
            Fault::UpstreamConnectRefused
            | Fault::UpstreamConnectFailed
            | Fault::UpstreamReset
            | Fault::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Fault::UpstreamConnectTimeout
            | Fault::ResponseTimeout
            | Fault::ResponseIdleTimeout
            | Fault::RequestTimeout => StatusCode::GATEWAY_TIMEOUT,
            Fault::Overloaded | Fault::Shutdown => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// One line for a person who looks at the answer.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Fault::BadHost => "the request has no single, valid Host\n",
            Fault::ConnectUnsupported => "CONNECT is not supported\n",
            Fault::RequestBody => "the request's body is malformed\n",
            Fault::RequestBodyTimeout => "the request's body came too slowly\n",
            Fault::RequestTimeout => "the request took longer than it may\n",
            Fault::ClientDisconnect => "the request's body was broken off\n",
            Fault::ClientTimeout => "the response was taken too slowly\n",
            Fault::UpstreamConnectRefused => "the service refused the connection\n",
            Fault::UpstreamConnectTimeout => "the service did not take the connection in time\n",
            Fault::UpstreamConnectFailed => "the service could not be reached\n",
            Fault::UpstreamReset => "the service broke off the connection\n",
            Fault::UpstreamInvalid => "the service's response is not valid HTTP\n",
            Fault::ResponseTimeout => "the service did not answer in time\n",
            Fault::ResponseIdleTimeout => "the service stopped in the middle of its response\n",
            Fault::Overloaded => "too many requests are under way\n",
            Fault::Shutdown => "the proxy is stopping\n",
        }
    }

    /// Whether whoever sent the request may not agree with us on where its next one begins, or will not send the rest.
    pub(super) const fn ends_connection(self) -> bool {
        matches!(
            self,
            Fault::BadHost
                | Fault::ConnectUnsupported
                | Fault::RequestBody
                | Fault::RequestBodyTimeout
                | Fault::RequestTimeout
                | Fault::ClientDisconnect
                | Fault::ClientTimeout
                | Fault::Shutdown
        )
    }
}
