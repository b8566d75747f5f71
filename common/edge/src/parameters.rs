//! Query parameters; what is none is answered as every other error is.

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The parameters of a URL, as axum's `Query` reads them.
pub struct Parameters<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let invalid = |error: axum::extract::rejection::QueryRejection| {
            Failure::new(400, "invalid-parameter", "Parameter is not valid", error.body_text())
        };
        Query::from_request_parts(parts, state).await.map(|Query(read)| Self(read)).map_err(invalid)
    }
}
