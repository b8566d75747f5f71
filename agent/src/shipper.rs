//! The shipper: takes the oldest parcel from the spool, delivers it, and forgets it once the aggregator has it.
//!
//! One parcel is on its way at a time. Nothing is given up while the disk lasts, except what the aggregator calls
//! unreadable for ever: such a batch is put into `{spool}/refused/` (the newest few), counted and left out.

mod refused;
mod retry;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use ridealong_common::frame::{Frame, MEDIA_TYPE};
use ridealong_common::time::Timestamp;
use serde::Serialize;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::spool::{Parcel, Spool};
use retry::Retry;

/// A parcel as stored; some 1,000 rows fit into each 40 KiB. Grows to this when the shipper is behind.
const PARCEL_BYTES: usize = 512 << 10;
/// How long the shipper waits for something to deliver before it looks again.
const IDLE: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Shorter than the aggregator keeps connections.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// What is read of an error's text.
const DETAIL_BYTES_MAX: usize = 500;

/// How delivery is going.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShipperStatus {
    pub aggregator: String,
    pub batches: u64,
    pub batch_bytes: u64,
    pub failures: u64,
    pub last_error: Option<String>,
    /// When the aggregator last acknowledged something.
    pub last_delivery: Option<String>,
}

/// What came of one delivery.
#[derive(Debug, Error)]
enum DeliveryError {
    /// May have happened or not: the same parcel again, later.
    #[error("{cause}")]
    Later { cause: String, retry_after: Option<Duration> },
    /// Too large as one: in halves.
    #[error("the aggregator takes no batch of this size")]
    TooLarge,
    /// Never: the aggregator cannot read it.
    #[error("the aggregator refuses the batch: {0}")]
    Refused(String),
}

pub struct Shipper {
    spool: Spool,
    client: Client,
    url: Url,
    status: Arc<Mutex<ShipperStatus>>,
    refused: PathBuf,
}

#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot set up the client for deliveries")]
    Client(#[from] reqwest::Error),
    #[error("{0} is no base for /v1/batches")]
    Url(Url),
}

impl Shipper {
    /// `aggregator` is its base URL; `refused` a folder for batches that it will never take.
    pub fn new(spool: Spool, aggregator: &Url, refused: PathBuf) -> Result<Self, StartError> {
        let client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .build()?;
        let url = aggregator.join("/v1/batches").map_err(|_| StartError::Url(aggregator.clone()))?;
        let status = ShipperStatus { aggregator: aggregator.to_string(), ..ShipperStatus::default() };
        Ok(Self { spool, client, url, status: Arc::new(Mutex::new(status)), refused })
    }

    pub fn status(&self) -> Arc<Mutex<ShipperStatus>> {
        Arc::clone(&self.status)
    }

    /// Delivers until it is told to stop. Cancelled between a delivery and its acknowledgement, the parcel is delivered
    /// again by the next start, and found to be a duplicate.
    pub async fn run(self, stop: CancellationToken) {
        let mut changes = self.spool.watch();
        let mut retry = Retry::new();
        let mut bytes_max = PARCEL_BYTES;
        while !stop.is_cancelled() {
            let Some(parcel) = self.spool.next(bytes_max).await else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = changes.changed() => {}
                    () = tokio::time::sleep(IDLE) => {}
                }
                continue;
            };
            let pause = match self.deliver(&parcel).await {
                Ok(()) => {
                    let rows = parcel.rows();
                    self.spool.acknowledge(parcel.keys, rows).await;
                    bytes_max = PARCEL_BYTES;
                    retry.succeeded();
                    continue;
                }
                Err(DeliveryError::TooLarge) if parcel.chunks.len() > 1 => {
                    bytes_max /= 2;
                    continue;
                }
                Err(DeliveryError::TooLarge) => self.set_aside(parcel, "one chunk alone is too large".into()).await,
                Err(DeliveryError::Refused(cause)) => self.set_aside(parcel, cause).await,
                Err(DeliveryError::Later { cause, retry_after }) => {
                    if retry.first_failure() {
                        tracing::warn!(%cause, "aggregator does not take batches, keeping them");
                    }
                    self.failed(cause);
                    retry.pause(retry_after)
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn deliver(&self, parcel: &Parcel) -> Result<(), DeliveryError> {
        let frame = Frame {
            producer: parcel.producer,
            announced: parcel.announced,
            sent_at_us: Timestamp::now().micros(),
            chunks: parcel.chunks.clone(),
        };
        let encoded = tokio::task::spawn_blocking(move || frame.encode()).await;
        let body = match encoded {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Err(DeliveryError::TooLarge),
            Err(error) => return Err(DeliveryError::Later { cause: error.to_string(), retry_after: None }),
        };
        let bytes = body.len() as u64;
        let sent = self.client.post(self.url.clone()).header(CONTENT_TYPE, MEDIA_TYPE).body(body).send().await;
        let later = |cause: String| DeliveryError::Later { cause, retry_after: None };
        let answer = sent.map_err(|error| later(with_causes(&error)))?;
        judged(answer).await?;
        let mut status = self.status.lock();
        status.batches += 1;
        status.batch_bytes += bytes;
        status.last_error = None;
        status.last_delivery = Some(Timestamp::now().to_string());
        Ok(())
    }

    fn failed(&self, cause: String) {
        let mut status = self.status.lock();
        status.failures += 1;
        status.last_error = Some(cause);
    }

    async fn set_aside(&self, parcel: Parcel, cause: String) -> Duration {
        let rows = parcel.rows();
        tracing::error!(%cause, rows, "batch refused for ever, put aside");
        refused::keep(&self.refused, &parcel);
        self.failed(cause);
        self.spool.discard(parcel.keys, rows).await;
        Duration::ZERO
    }
}

/// What an answer means for the parcel.
async fn judged(answer: reqwest::Response) -> Result<(), DeliveryError> {
    let status = answer.status();
    if status == StatusCode::OK {
        return Ok(());
    }
    let retry_after = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = retry_after.map(Duration::from_secs);
    let text = answer.text().await.unwrap_or_default();
    let detail = &text[..text.floor_char_boundary(DETAIL_BYTES_MAX)];
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => Err(DeliveryError::TooLarge),
        StatusCode::BAD_REQUEST | StatusCode::UNPROCESSABLE_ENTITY => Err(DeliveryError::Refused(detail.to_owned())),
        _ => Err(DeliveryError::Later { cause: format!("the aggregator answered {status}: {detail}"), retry_after }),
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
