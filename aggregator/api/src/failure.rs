//! An error on its way out: problem details, with `Retry-After` where trying again helps.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ridealong_common::problem::{MEDIA_TYPE, Problem};
use ridealong_ingest::Refusal;
use ridealong_model::query::QueryError;

/// Seconds after which a caller may try again.
const RETRY_AFTER: u64 = 1;

#[derive(Debug)]
pub(crate) struct Failure {
    problem: Problem,
    retry_after: Option<u64>,
}

impl Failure {
    pub fn new(status: u16, id: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(status, id, title, detail), retry_after: None }
    }

    fn again(mut self) -> Self {
        self.retry_after = Some(RETRY_AFTER);
        self
    }

    pub fn unavailable(id: &str, detail: impl Into<String>) -> Self {
        Self::new(503, id, "Not available at present", detail).again()
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        match &refusal {
            Refusal::Frame(ridealong_common::frame::FrameError::TooLarge(_)) => {
                Self::new(413, "batch-too-large", "Batch too large", detail)
            }
            Refusal::Frame(_) | Refusal::Block { .. } | Refusal::Count { .. } => {
                Self::new(400, "invalid-batch", "Not a batch", detail)
            }
            Refusal::Busy => Self::unavailable("busy", detail),
            Refusal::NotDurable(_) => Self::unavailable("not-durable", detail),
        }
    }
}

impl From<QueryError> for Failure {
    fn from(error: QueryError) -> Self {
        let detail = error.to_string();
        match error {
            QueryError::Invalid(_) => Self::new(400, "invalid-query", "Query is not valid", detail),
            QueryError::NotARead(_) => Self::new(400, "not-a-read", "Only reads are allowed", detail),
            QueryError::TimedOut(_) => Self::new(408, "query-timeout", "Query took too long", detail),
            QueryError::TooLarge(_) => Self::new(400, "query-too-large", "Query needs too much", detail),
            QueryError::Behind => Self::unavailable("behind", detail),
            QueryError::Busy => Self::unavailable("busy", detail),
            QueryError::Failed(_) => Self::new(500, "query-failed", "Query failed", detail),
        }
    }
}
