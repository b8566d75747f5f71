//! Parquet: row groups one after the other, the columns of each encoded side by side.
//!
//! A column's task gets its part of each batch through a short channel, so no more than a few batches and the compressed
//! bytes of two row groups are in memory. While one group's columns end and are put together, the next one's have begun.

use std::sync::Arc;

use ridealong_engine::datafusion::arrow::array::ArrayRef;
use ridealong_engine::datafusion::arrow::datatypes::SchemaRef;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::datafusion::parquet::arrow::ArrowSchemaConverter;
use ridealong_engine::datafusion::parquet::arrow::ArrowWriter;
use ridealong_engine::datafusion::parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
};
use ridealong_engine::datafusion::parquet::basic::{Compression, ZstdLevel};
use ridealong_engine::datafusion::parquet::errors::ParquetError;
use ridealong_engine::datafusion::parquet::file::properties::WriterProperties;
use ridealong_engine::datafusion::parquet::file::writer::SerializedFileWriter;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Broken;
use super::chunks::{Buffer, Chunks};
use super::format::{Rows, next};

/// Rows of a row group: what a reader takes at once.
const GROUP_ROWS: usize = 128 << 10;
/// Batches of a column that wait for its task.
const BATCHES_WAITING: usize = 2;

type Writer = SerializedFileWriter<Buffer>;

pub(super) async fn write(schema: &SchemaRef, mut rows: Rows, chunks: &mut Chunks) -> Result<(), Broken> {
    let buffer = Buffer::default();
    let (mut writer, factory) = open(schema, buffer.clone())?;
    let (mut groups, mut ended): (usize, Option<Group>) = (0, None);
    let mut group: Option<Group> = None;
    while let Some(batch) = next(&mut rows, chunks).await? {
        let mut at = 0;
        while at < batch.num_rows() {
            let open = match &mut group {
                Some(open) => open,
                None => {
                    groups += 1;
                    group.insert(Group::start(schema, &factory, groups - 1)?)
                }
            };
            let taken = (batch.num_rows() - at).min(GROUP_ROWS - open.rows);
            open.push(batch.slice(at, taken).columns(), taken).await;
            at += taken;
            if open.rows == GROUP_ROWS
                && let Some(before) = std::mem::replace(&mut ended, group.take().map(Group::closed))
            {
                append(before, &mut writer, &buffer, chunks).await?;
            }
        }
    }
    for group in ended.into_iter().chain(group.map(Group::closed)) {
        append(group, &mut writer, &buffer, chunks).await?;
    }
    writer.close().map_err(failed)?;
    chunks.push(&buffer.take()).await
}

fn failed(error: ParquetError) -> DataFusionError {
    DataFusionError::ParquetError(Box::new(error))
}

fn open(schema: &SchemaRef, buffer: Buffer) -> Result<(Writer, ArrowRowGroupWriterFactory), DataFusionError> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1).map_err(failed)?))
        .set_created_by(concat!("ridealong ", env!("CARGO_PKG_VERSION")).to_owned())
        .build();
    // Says at once what has no place in Parquet.
    ArrowSchemaConverter::new().convert(schema).map_err(failed)?;
    let writer = ArrowWriter::try_new(buffer, Arc::clone(schema), Some(properties)).map_err(failed)?;
    writer.into_serialized_writer().map_err(failed)
}

/// A row group whose columns are being encoded. Dropped, it stops them.
struct Group {
    columns: Vec<mpsc::Sender<ArrayRef>>,
    encoded: JoinSet<(usize, Result<Vec<ArrowColumnChunk>, ParquetError>)>,
    rows: usize,
}

impl Group {
    fn start(schema: &SchemaRef, factory: &ArrowRowGroupWriterFactory, index: usize) -> Result<Self, DataFusionError> {
        let mut writers = factory.create_column_writers(index).map_err(failed)?.into_iter();
        let mut group = Self { columns: Vec::new(), encoded: JoinSet::new(), rows: 0 };
        for (at, field) in schema.fields().iter().enumerate() {
            let (sender, mut parts) = mpsc::channel::<ArrayRef>(BATCHES_WAITING);
            let mut writers: Vec<ArrowColumnWriter> = writers.by_ref().take(leaves(field.data_type())).collect();
            let field = Arc::clone(field);
            group.columns.push(sender);
            group.encoded.spawn(async move {
                let mut encode = async || {
                    while let Some(part) = parts.recv().await {
                        let leaves = compute_leaves(&field, &part)?;
                        for (writer, leaf) in writers.iter_mut().zip(&leaves) {
                            writer.write(leaf)?;
                        }
                    }
                    Ok(())
                };
                let done: Result<(), ParquetError> = encode().await;
                (at, done.and_then(|()| writers.into_iter().map(ArrowColumnWriter::close).collect()))
            });
        }
        Ok(group)
    }

    /// Waits for the slowest column.
    async fn push(&mut self, columns: &[ArrayRef], rows: usize) {
        for (sender, column) in self.columns.iter().zip(columns) {
            // A column that has failed says so when the group is put together.
            let _ = sender.send(Arc::clone(column)).await;
        }
        self.rows += rows;
    }

    /// No more will come.
    fn closed(mut self) -> Self {
        self.columns.clear();
        self
    }
}

/// How many columns of Parquet a column becomes.
fn leaves(kind: &ridealong_engine::datafusion::arrow::datatypes::DataType) -> usize {
    use ridealong_engine::datafusion::arrow::datatypes::DataType;
    match kind {
        DataType::Struct(fields) => fields.iter().map(|field| leaves(field.data_type())).sum(),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => leaves(item.data_type()),
        _ => 1,
    }
}

async fn append(mut group: Group, writer: &mut Writer, buffer: &Buffer, chunks: &mut Chunks) -> Result<(), Broken> {
    let mut encoded = Vec::new();
    while let Some(done) = group.encoded.join_next().await {
        let (at, column) = done.map_err(|error| DataFusionError::External(Box::new(error)))?;
        encoded.push((at, column.map_err(failed)?));
    }
    encoded.sort_unstable_by_key(|(at, _)| *at);
    let mut row_group = writer.next_row_group().map_err(failed)?;
    for chunk in encoded.into_iter().flat_map(|(_, columns)| columns) {
        chunk.append_to_row_group(&mut row_group).map_err(failed)?;
    }
    row_group.close().map_err(failed)?;
    chunks.push(&buffer.take()).await
}
