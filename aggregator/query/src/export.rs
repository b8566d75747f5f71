//! Exports: a statement's rows as a stream of bytes, in constant memory, on the engine's threads.
//!
//! [`Opened`] is the statement's rows as batches; a [`format`] makes bytes of them, with a column or a batch to a task; a
//! bounded channel takes the bytes to who reads them. A full channel stops the encoder, that the scan. A reader that takes
//! nothing for [`EXPORT_IDLE_MAX`] ends the export, as does one that leaves. Whatever ends it early is an error at the end of the
//! stream: bytes that break off are never taken for all there are.

mod chunks;
mod csv;
mod format;
mod ndjson;
mod parquet;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt, stream};
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_model::export::{EXPORT_TIME_MAX, EXPORTS_MAX, Export, ExportFormat, ExportRequest, ExportStream};
use ridealong_model::query::QueryError;
use ridealong_model::tenant::TenantId;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::engine::{Engine, Opened};
use chunks::{Chunks, Part};

/// How long a caller waits for the first row, so that what is wrong before it has a status of its own.
const FIRST_ROW_WITHIN: Duration = Duration::from_secs(20);
/// Another export may end within this.
const PATIENCE: Duration = Duration::from_secs(1);
/// Pieces of at most [`chunks::PIECE_BYTES`] that wait for the reader.
const PIECES_WAITING: usize = 8;

/// Why an export ends before its end.
#[derive(Debug, Error)]
enum Broken {
    #[error(transparent)]
    Query(#[from] QueryError),
    #[error("{0}")]
    Engine(#[from] DataFusionError),
    #[error("the reader took nothing for too long")]
    Idle,
    #[error("the reader has left")]
    Left,
}

/// Exports of an engine's tables.
pub struct Exporter {
    engine: Arc<Engine>,
    slots: Arc<Semaphore>,
}

impl Exporter {
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine, slots: Arc::new(Semaphore::new(EXPORTS_MAX)) }
    }
}

#[async_trait]
impl Export for Exporter {
    async fn export(&self, tenant: &TenantId, request: ExportRequest) -> Result<ExportStream, QueryError> {
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(QueryError::Busy) };
        let ExportRequest { sql, params, format } = request;
        let opened = self.engine.open(tenant, &sql, &params).await?;
        let (sender, mut pieces) = mpsc::channel(PIECES_WAITING);
        let (began, beginning) = oneshot::channel();
        let work = self.engine.work(async move {
            let _slot = slot;
            write(opened, format, sender, began).await;
        })?;
        // Not even one row by then: the caller gets the head of the answer, and the stream tells the rest.
        if let Ok(Ok(Err(error))) = tokio::time::timeout(FIRST_ROW_WITHIN, beginning).await {
            return Err(error);
        }
        let pieces = stream::poll_fn(move |context| {
            // Dropped with the stream, it stops the work.
            let _work = &work;
            pieces.poll_recv(context)
        });
        Ok(Box::pin(whole(pieces)))
    }
}

/// The bytes up to the end; a stream that ends without saying so is an error.
fn whole(
    pieces: impl stream::Stream<Item = Part> + Send,
) -> impl stream::Stream<Item = Result<bytes::Bytes, QueryError>> + Send {
    let cut = || QueryError::Failed("the export broke off".into());
    let marked = pieces.map(Some).chain(stream::once(async { None }));
    marked.scan(false, move |ended, part| {
        let item = match part {
            _ if *ended => None,
            Some(Part::Bytes(bytes)) => Some(Ok(bytes)),
            Some(Part::Broken(error)) => {
                *ended = true;
                Some(Err(error))
            }
            Some(Part::End) => {
                *ended = true;
                None
            }
            None => {
                *ended = true;
                Some(Err(cut()))
            }
        };
        std::future::ready(item)
    })
}

async fn write(
    opened: Opened,
    format: ExportFormat,
    sender: mpsc::Sender<Part>,
    began: oneshot::Sender<Result<(), QueryError>>,
) {
    let fault = opened.fault();
    let mut rows = opened.rows;
    let Some(first) = first(&mut rows, &sender).await else { return };
    let first = match first.transpose() {
        Ok(first) => first,
        Err(error) => {
            // Nobody waits: the stream tells it.
            if let Err(Err(error)) = began.send(Err(fault(error))) {
                let _ = sender.send(Part::Broken(error)).await;
            }
            return;
        }
    };
    // As above; then there is nothing to tell.
    let _ = began.send(Ok(()));
    let rows = stream::iter(first.map(Ok)).chain(rows).boxed();
    let mut chunks = Chunks::new(sender);
    let written = format::write(format, opened.schema, rows, opened.threads, &mut chunks);
    let broken = match tokio::time::timeout(EXPORT_TIME_MAX, written).await {
        Ok(Ok(())) => chunks.end().await.err(),
        Ok(Err(broken)) => Some(broken),
        Err(_) => Some(QueryError::TimedOut(EXPORT_TIME_MAX).into()),
    };
    let bytes = chunks.sent();
    match broken {
        None => tracing::debug!(bytes, "export complete"),
        Some(Broken::Left) => tracing::info!(bytes, "the reader of an export has left"),
        Some(Broken::Idle) => tracing::warn!(bytes, "the reader of an export took nothing for too long"),
        Some(broken) => {
            let error = match broken {
                Broken::Query(error) => error,
                Broken::Engine(error) => fault(error),
                Broken::Idle | Broken::Left => return,
            };
            tracing::warn!(bytes, error = %error, "an export broke off");
            chunks.fail(error).await;
        }
    }
}

type Batches = ridealong_engine::datafusion::execution::SendableRecordBatchStream;
type Batch = ridealong_engine::datafusion::arrow::array::RecordBatch;

/// The first batch with a row; None when the reader has left before there was one.
async fn first(rows: &mut Batches, sender: &mpsc::Sender<Part>) -> Option<Option<Result<Batch, DataFusionError>>> {
    loop {
        tokio::select! {
            () = sender.closed() => return None,
            batch = rows.next() => match batch {
                Some(Ok(batch)) if batch.num_rows() == 0 => {}
                other => return Some(other),
            },
        }
    }
}

#[cfg(test)]
mod tests;
