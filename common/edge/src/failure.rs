//! An error on its way out: problem details, with `Retry-After` where trying again helps.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ridealong_common::problem::{MEDIA_TYPE, Problem};

/// Seconds after which a caller may try again.
const RETRY_AFTER: u64 = 1;

#[derive(Debug)]
pub struct Failure {
    problem: Problem,
    retry_after: Option<u64>,
}

impl Failure {
    /// `id` is the stable end of the problem's type.
    pub fn new(status: u16, id: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { problem: Problem::new(status, id, title, detail), retry_after: None }
    }

    /// Says that trying again helps.
    #[must_use]
    pub fn again(mut self) -> Self {
        self.retry_after = Some(RETRY_AFTER);
        self
    }

    /// 503: nobody's fault, try again.
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
