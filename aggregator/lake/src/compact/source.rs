//! A file that is being merged, as stretches of rows in the order of time.
//!
//! A flush sorts its rows piece by piece, so its file is a few sorted stretches one after the other; a merged file is one.
//! Where they end is found by reading the column of times alone, which is a few bytes a row. Each stretch is then read by
//! itself and only when the merge gets there, so a merge has in memory a row group of each stretch that it is in.

use std::ops::Range;

use futures::TryStreamExt;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, new_null_array};
use ridealong_engine::datafusion::arrow::compute::cast;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, SchemaRef, TimestampMicrosecondType};
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::datafusion::parquet::arrow::ProjectionMask;
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
};
use ridealong_engine::datafusion::parquet::arrow::async_reader::{
    ParquetRecordBatchStream, ParquetRecordBatchStreamBuilder,
};
use ridealong_engine::datafusion::parquet::errors::ParquetError;
use ridealong_engine::deltalake::Path;
use thiserror::Error;

use super::stored::StoredFile;
use crate::delta::arranged;
use crate::place::Place;
use crate::schema::{TIMESTAMP, file_schema};
use crate::snapshot::ColdFile;

/// Rows that are decoded at once.
const BATCH_ROWS: usize = 8_192;
/// A file of more stretches is not one of ours; it is sorted in memory, whole.
const STRETCHES_MAX: usize = 64;

#[derive(Debug, Error)]
pub(crate) enum SourceError {
    #[error("file {file} cannot be read")]
    Read { file: String, source: ParquetError },
    #[error("rows of file {file} cannot be arranged")]
    Arrange { file: String, source: ArrowError },
    #[error("file {file} has a column {column} that this program does not know: a later one has written it")]
    Unknown { file: String, column: String },
    #[error("file {file} has rows without a time")]
    Untimed { file: String },
}

/// Rows of a file that are in the order of time.
pub(crate) struct Stretch {
    /// The time of the first row, µs.
    pub first: i64,
    rows: Rows,
}

enum Rows {
    Stored { file: Opened, range: Range<usize> },
    Sorted(RecordBatch),
}

/// Batches of a stretch that has been begun.
pub(crate) enum Reading {
    Stored { stream: ParquetRecordBatchStream<StoredFile>, file: String, schema: SchemaRef },
    Sorted(Option<RecordBatch>),
}

/// A file with its metadata: cheap to clone.
#[derive(Clone)]
struct Opened {
    reader: StoredFile,
    metadata: ArrowReaderMetadata,
    name: String,
    schema: SchemaRef,
}

impl Stretch {
    /// All the rows of a file.
    pub async fn all(place: &Place, table: Table, file: &ColdFile) -> Result<Vec<Self>, SourceError> {
        let opened = Opened::open(place, table, file).await?;
        let found = opened.stretches().await?;
        if found.len() > STRETCHES_MAX {
            let rows = opened.sorted(table).await?;
            let first = found.iter().map(|(first, _)| *first).min().unwrap_or_default();
            return Ok(vec![Self { first, rows: Rows::Sorted(rows) }]);
        }
        let stored = |(first, range)| Self { first, rows: Rows::Stored { file: opened.clone(), range } };
        Ok(found.into_iter().map(stored).collect())
    }

    pub fn begin(self) -> Result<Reading, SourceError> {
        match self.rows {
            Rows::Sorted(rows) => Ok(Reading::Sorted(Some(rows))),
            Rows::Stored { file, range } => {
                let selection = vec![RowSelector::skip(range.start), RowSelector::select(range.len())];
                let builder = file.builder().with_row_selection(RowSelection::from(selection));
                let stream = builder.build().map_err(|source| file.unread(source))?;
                Ok(Reading::Stored { stream, file: file.name, schema: file.schema })
            }
        }
    }
}

impl Reading {
    /// The next rows, with the columns of the data files.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        match self {
            Self::Sorted(rows) => Ok(rows.take()),
            Self::Stored { stream, file, schema } => {
                let rows = stream.try_next().await;
                let rows = rows.map_err(|source| SourceError::Read { file: file.clone(), source })?;
                let fitted = rows.map(|rows| fitted(&rows, schema)).transpose();
                fitted.map_err(|source| SourceError::Arrange { file: file.clone(), source })
            }
        }
    }
}

impl Opened {
    async fn open(place: &Place, table: Table, file: &ColdFile) -> Result<Self, SourceError> {
        let (name, schema) = (file.name.clone(), file_schema(table));
        let location = Path::from(file.path.as_str());
        let mut reader = StoredFile::new(place.store().clone(), location, file.bytes);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, ArrowReaderOptions::default()).await;
        let metadata = metadata.map_err(|source| SourceError::Read { file: name.clone(), source })?;
        let mut columns = metadata.schema().fields().iter();
        if let Some(column) = columns.find(|column| schema.field_with_name(column.name()).is_err()) {
            return Err(SourceError::Unknown { file: name, column: column.name().clone() });
        }
        Ok(Self { reader, metadata, name, schema })
    }

    fn builder(&self) -> ParquetRecordBatchStreamBuilder<StoredFile> {
        let (reader, metadata) = (self.reader.clone(), self.metadata.clone());
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata).with_batch_size(BATCH_ROWS)
    }

    fn unread(&self, source: ParquetError) -> SourceError {
        SourceError::Read { file: self.name.clone(), source }
    }

    fn unarranged(&self, source: ArrowError) -> SourceError {
        SourceError::Arrange { file: self.name.clone(), source }
    }

    /// Where time goes on without a step back, with the time of the first row.
    async fn stretches(&self) -> Result<Vec<(i64, Range<usize>)>, SourceError> {
        let builder = self.builder();
        let only_times = ProjectionMask::columns(builder.parquet_schema(), [TIMESTAMP]);
        let mut batches = builder.with_projection(only_times).build().map_err(|source| self.unread(source))?;
        let mut found: Vec<(i64, Range<usize>)> = Vec::new();
        let (mut at, mut latest) = (0, i64::MAX);
        while let Some(batch) = batches.try_next().await.map_err(|source| self.unread(source))? {
            let times = batch.column_by_name(TIMESTAMP).ok_or_else(|| self.untimed())?;
            let times = cast(times, self.time_type()).map_err(|source| self.unarranged(source))?;
            if times.null_count() > 0 {
                return Err(self.untimed());
            }
            for time in times.as_primitive::<TimestampMicrosecondType>().values() {
                match found.last_mut() {
                    Some((_, range)) if *time >= latest => range.end = at + 1,
                    _ => found.push((*time, at..at + 1)),
                }
                (latest, at) = (*time, at + 1);
            }
        }
        Ok(found)
    }

    fn time_type(&self) -> &DataType {
        let field = self.schema.field_with_name(TIMESTAMP);
        field.unwrap_or_else(|_| unreachable!("every table has times")).data_type()
    }

    fn untimed(&self) -> SourceError {
        SourceError::Untimed { file: self.name.clone() }
    }

    async fn sorted(&self, table: Table) -> Result<RecordBatch, SourceError> {
        let batches = self.builder().build().map_err(|source| self.unread(source))?;
        let batches: Vec<RecordBatch> = batches.try_collect().await.map_err(|source| self.unread(source))?;
        let batches: Result<Vec<_>, _> = batches.iter().map(|rows| fitted(rows, &self.schema)).collect();
        batches.and_then(|batches| arranged(table, &batches)).map_err(|source| self.unarranged(source))
    }
}

/// With the columns that data files have now: those that an earlier program did not know are null.
fn fitted(rows: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = schema.fields().iter().map(|field| match rows.column_by_name(field.name()) {
        Some(column) if column.data_type() == field.data_type() => Ok(column.clone()),
        Some(column) => cast(column, field.data_type()),
        None => Ok(new_null_array(field.data_type(), rows.num_rows())),
    });
    RecordBatch::try_new(schema.clone(), columns.collect::<Result<Vec<ArrayRef>, _>>()?)
}
