//! Reading bodies: bounded, and with errors that say what to mend.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use serde::de::DeserializeOwned;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::failure::Failure;

/// What is read of a body that is too large, and for how long, before the answer is sent.
const DISCARD_BYTES_MAX: usize = 64 << 20;
/// JSON that takes longer to read than a task should keep its thread.
const LARGE_BYTES: usize = 64 << 10;
const DISCARD_TIME_MAX: Duration = Duration::from_secs(2);

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
    let mut parts = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut too_large = announced(headers).is_some_and(|length| length > max as u64);
    while !too_large {
        match parts.next().await {
            Some(Ok(part)) if bytes.len() + part.len() > max => too_large = true,
            Some(Ok(part)) => bytes.extend_from_slice(&part),
            Some(Err(_)) => {
                let detail = "the body ended before it was complete";
                return Err(Failure::new(400, "body-broke-off", "Body broke off", detail));
            }
            None => return Ok(bytes.freeze()),
        }
    }
    drop(bytes);
    discard_rest(parts).await;
    let detail = format!("the body may have {max} bytes at most; send it in parts");
    Err(Failure::new(413, "body-too-large", "Body too large", detail))
}

/// Reads on for a while: a caller that is still writing would otherwise see a reset instead of the answer.
pub async fn discard(body: Body) {
    discard_rest(body.into_data_stream()).await;
}

async fn discard_rest(mut parts: BodyDataStream) {
    let reading = async {
        let mut left = DISCARD_BYTES_MAX;
        while let Some(Ok(part)) = parts.next().await {
            left = left.saturating_sub(part.len());
            if left == 0 {
                return;
            }
        }
    };
    // Over or not, the answer is the same.
    let _ = tokio::time::timeout(DISCARD_TIME_MAX, reading).await;
}

/// Runs what takes long; on a runtime of several threads another one takes over this one's tasks meanwhile.
pub fn beside<R>(work: impl FnOnce() -> R) -> R {
    match Handle::try_current().map(|runtime| runtime.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}

/// The length that a body says it has.
pub fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

pub fn json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Failure> {
    let read = || serde_json::from_slice(bytes);
    // Milliseconds: other requests of this thread go on elsewhere.
    let read = if bytes.len() > LARGE_BYTES { beside(read) } else { read() };
    read.map_err(|error| Failure::new(400, "invalid-json", "Not the JSON expected here", error.to_string()))
}
