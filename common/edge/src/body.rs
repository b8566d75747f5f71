//! Reading bodies: bounded, and with errors that say what to mend.

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// The whole body, at most `max` bytes; refused by its announced length before anything is read.
pub async fn body_bytes(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail = format!("the body may have {max} bytes at most; send it in parts");
        Failure::new(413, "body-too-large", "Body too large", detail)
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    to_bytes(body, max).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(|source| source.to_string().contains("length limit")) {
            too_large()
        } else {
            Failure::new(400, "body-broke-off", "Body broke off", "the body ended before it was complete")
        }
    })
}

pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(400, "invalid-json", "Not the JSON expected here", error.to_string()))
}
