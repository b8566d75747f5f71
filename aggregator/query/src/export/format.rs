//! The formats: which writer, and what of a batch each of them is given.

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt, stream};
use ridealong_engine::datafusion::arrow::array::{ArrayRef, RecordBatch};
use ridealong_engine::datafusion::arrow::compute::cast;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use ridealong_engine::datafusion::arrow::ipc::writer::StreamWriter;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_model::export::ExportFormat;
use std::sync::Arc;

use super::chunks::{Buffer, Chunks};
use super::{Broken, csv, ndjson, parquet};

/// About so much of a batch is worked on at once.
const SLICE_BYTES: usize = 2 << 20;
const SLICE_ROWS_MIN: usize = 64;

pub(super) type Rows = BoxStream<'static, Result<RecordBatch, DataFusionError>>;

pub(super) async fn write(
    format: ExportFormat,
    schema: SchemaRef,
    rows: Rows,
    threads: usize,
    chunks: &mut Chunks,
) -> Result<(), Broken> {
    let plain = plain(&schema);
    let shown = Arc::clone(&plain);
    let rows = rows.map(move |batch| batch.and_then(|batch| converted(&batch, &shown))).boxed();
    let rows = if format == ExportFormat::Parquet { rows } else { rows.map_ok(sliced).try_flatten().boxed() };
    match format {
        ExportFormat::Arrow => arrow(&plain, rows, chunks).await,
        ExportFormat::Parquet => parquet::write(&plain, rows, chunks).await,
        ExportFormat::Csv => {
            chunks.push(&csv::header(&plain)).await?;
            texts(rows, threads, csv::lines, chunks).await
        }
        ExportFormat::Ndjson => texts(rows, threads, ndjson::lines, chunks).await,
    }
}

/// The columns with types that every reader knows: no views, no dictionaries, nothing said about them beside their names.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| Field::new(field.name(), plain_type(field.data_type()), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn plain_type(kind: &DataType) -> DataType {
    match kind {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::RunEndEncoded(_, values) => plain_type(values.data_type()),
        other => other.clone(),
    }
}

fn converted(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, DataFusionError> {
    let columns = batch.columns().iter().zip(schema.fields()).map(|(column, field)| -> Result<ArrayRef, _> {
        match column.data_type() == field.data_type() {
            true => Ok(Arc::clone(column)),
            false => cast(column, field.data_type()),
        }
    });
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let rows =
        ridealong_engine::datafusion::arrow::array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?)
}

/// Wide rows go out a few at a time, so that no format holds much of them twice.
fn sliced(batch: RecordBatch) -> impl stream::Stream<Item = Result<RecordBatch, DataFusionError>> {
    let (rows, bytes) = (batch.num_rows(), batch.get_array_memory_size().max(1));
    let step = (rows * SLICE_BYTES / bytes).clamp(SLICE_ROWS_MIN, rows.max(SLICE_ROWS_MIN));
    stream::iter((0..rows).step_by(step).map(move |at| Ok(batch.slice(at, step.min(rows - at)))))
}

/// Batches are copied as they are, which one thread does faster than they come.
async fn arrow(schema: &SchemaRef, mut rows: Rows, chunks: &mut Chunks) -> Result<(), Broken> {
    let buffer = Buffer::default();
    let failed = DataFusionError::from;
    let mut writer = StreamWriter::try_new(buffer.clone(), schema).map_err(failed)?;
    while let Some(batch) = next(&mut rows, chunks).await? {
        writer.write(&batch).map_err(failed)?;
        chunks.push(&buffer.take()).await?;
    }
    writer.finish().map_err(failed)?;
    chunks.push(&buffer.take()).await
}

/// Each batch is made text in a task of its own; they go out in their order.
async fn texts(
    rows: Rows,
    threads: usize,
    lines: fn(&RecordBatch) -> Result<Vec<u8>, DataFusionError>,
    chunks: &mut Chunks,
) -> Result<(), Broken> {
    let joined = |error: tokio::task::JoinError| DataFusionError::External(Box::new(error));
    let tasks = rows.map_ok(move |batch| tokio::spawn(async move { lines(&batch) }));
    let mut texts = tasks
        .map(move |task| async move {
            match task {
                Ok(task) => task.await.map_err(joined)?,
                Err(error) => Err(error),
            }
        })
        .buffered(threads + 1)
        .boxed();
    while let Some(text) = next(&mut texts, chunks).await? {
        chunks.push(&text).await?;
    }
    Ok(())
}

/// The next of a stream, unless the reader leaves before there is one.
pub(super) async fn next<T>(
    stream: &mut BoxStream<'static, Result<T, DataFusionError>>,
    chunks: &Chunks,
) -> Result<Option<T>, Broken> {
    tokio::select! {
        () = chunks.left() => Err(Broken::Left),
        next = stream.next() => Ok(next.transpose()?),
    }
}
