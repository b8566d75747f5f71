//! An error as a caller of either API sees it: problem details (RFC 9457). Shape only; knows no HTTP library.

use serde::Serialize;

pub const MEDIA_TYPE: &str = "application/problem+json";

/// Stable types begin with this; what follows is documented one by one in the README of the API.
pub const TYPE_PREFIX: &str = "urn:ridealong:problem:";

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    pub detail: String,
}

impl Problem {
    /// `id` is stable, lower case, with dashes: `invalid-json`.
    pub fn new(status: u16, id: &str, title: &'static str, detail: impl Into<String>) -> Self {
        Self { kind: format!("{TYPE_PREFIX}{id}"), title, status, detail: detail.into() }
    }
}
