//! Reading bodies: bounded, and with errors that say what to mend.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// Memory for bodies that are read or worked on at one moment, shared by all requests.
#[derive(Clone, Debug)]
pub struct Bodies {
    kibibytes: Arc<Semaphore>,
}

/// A body, and its share of the memory for as long as it lives.
#[derive(Debug)]
pub struct Held {
    pub bytes: Bytes,
    _share: OwnedSemaphorePermit,
}

impl Bodies {
    pub fn new(bytes_max: usize) -> Self {
        Self { kibibytes: Arc::new(Semaphore::new(bytes_max >> 10)) }
    }

    /// The whole body, at most `max` bytes. Refused by its announced length before anything is read, and when too much is
    /// being read already; without an announced length it counts as `max`.
    pub async fn read(&self, headers: &HeaderMap, body: Body, max: usize) -> Result<Held, Failure> {
        let announced = announced(headers).map_or(max, |length| length.min(max as u64) as usize);
        let share = Arc::clone(&self.kibibytes).try_acquire_many_owned(1 + (announced >> 10) as u32);
        let share = share.map_err(|_| Failure::unavailable("busy", "too many bodies are being read at this moment"))?;
        Ok(Held { bytes: body_bytes(headers, body, max).await?, _share: share })
    }
}

async fn body_bytes(headers: &HeaderMap, body: Body, max: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let detail = format!("the body may have {max} bytes at most; send it in parts");
        Failure::new(413, "body-too-large", "Body too large", detail)
    };
    if announced(headers).is_some_and(|length| length > max as u64) {
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

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(bytes)
        .map_err(|error| Failure::new(400, "invalid-json", "Not the JSON expected here", error.to_string()))
}
