//! What the API says of itself: an OpenAPI 3.1 document, made from the handlers. Each handler describes itself where it
//! stands (`#[utoipa::path]`), so a path cannot be served without being described; here is what holds for all of them.
//!
//! [`problems`] names the errors by stable type, [`shapes`] the bodies that no type of ours reads or writes.

pub(crate) mod problems;
pub(crate) mod shapes;

use axum::Extension;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use utoipa::OpenApi;
use utoipa::openapi::OpenApi as Document;

use crate::description::problems::{Fails, Nothing};

const MEDIA_TYPE: &str = "application/json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Ridealong aggregator",
        description = "Takes what agents and services send, keeps it in Delta tables, answers questions about it.\n\n\
            Times are RFC 3339: any offset in, UTC with microseconds out. Durations are written `250ms`, `15m`, `30d`. Lists \
            page by an opaque `cursor`: what `nextCursor` says goes into the next request, until it is null. Errors are \
            problem details (RFC 9457); their `type` is stable. After 503 the same request may be sent again once \
            `Retry-After` is over; what was answered with 2xx is durable.\n\n\
            While no API key exists, only this machine is served, and `Host` must name it (403 `host-not-loopback`).",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    components(schemas(problems::ProblemShape)),
    servers((url = "/", description = "The aggregator that serves this document")),
    tags(
        (name = "ingest", description = "Events and batches come in"),
        (name = "events", description = "Stored events: read, counted, corrected, deleted"),
        (name = "query", description = "SQL, metrics, exports"),
        (name = "live", description = "What happens now"),
        (name = "quarantine", description = "What was set aside, to be corrected and let in again"),
        (name = "operation", description = "How it is, and what keeps it in order"),
        (name = "settings", description = "What may change while it runs"),
        (name = "description", description = "The API about itself"),
    )
)]
struct Base;

/// The document without paths: routers add theirs.
pub(crate) fn base() -> Document {
    Base::openapi()
}

/// As it is served.
#[derive(Clone)]
pub(crate) struct Served(pub Bytes);

impl Served {
    pub fn new(document: &Document) -> Self {
        Self(text(document).into())
    }
}

pub(crate) fn text(document: &Document) -> String {
    // Of strings, numbers and maps with text keys; a failure would be a bug of ours, and the tests would see it.
    serde_json::to_string_pretty(document).unwrap_or_default() + "\n"
}

/// This document
///
/// Also printed by `ridealong-aggregator openapi`.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", tag = "description",
    responses((status = 200, body = Object, description = "OpenAPI 3.1"), Fails<Nothing>))]
pub(crate) async fn openapi(Extension(document): Extension<Served>) -> Response {
    ([(header::CONTENT_TYPE, MEDIA_TYPE)], document.0).into_response()
}

#[cfg(test)]
mod tests;
