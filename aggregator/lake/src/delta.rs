//! One Delta table: opened or made, committed to, described.
//!
//! Each commit carries the application transaction `wal/{log id}` with the log position up to which the table holds the
//! log's rows. Reading it back says where a restart goes on, and makes a commit that was made but not noticed harmless.

use std::path::Path as FilePath;
use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{
    Array, ArrayRef, Date32Array, RecordBatch, TimestampMicrosecondArray,
};
use ridealong_engine::datafusion::arrow::compute::{cast, concat_batches, sort_to_indices, take_record_batch};
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, FieldRef, Schema};
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::datafusion::parquet::basic::{Compression, Encoding, ZstdLevel};
use ridealong_engine::datafusion::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use ridealong_engine::datafusion::parquet::schema::types::ColumnPath;
use ridealong_engine::deltalake::kernel::engine::arrow_conversion::TryFromArrow;
use ridealong_engine::deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use ridealong_engine::deltalake::kernel::{Action, StructField, Transaction};
use ridealong_engine::deltalake::protocol::{DeltaOperation, SaveMode};
use ridealong_engine::deltalake::writer::{DeltaWriter, RecordBatchWriter};
use ridealong_engine::deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use thiserror::Error;
use url::Url;

use ridealong_common::table::ColumnKind;
use ridealong_wal::{LogId, Position};

use crate::schema::{DATE, TIMESTAMP, file_schema, stored_schema};
use crate::snapshot::{ColdFile, ColdTable};
use crate::store::{DurableStore, Files, make_folder};
use crate::torn;

/// Memory of the rows that are joined and sorted at once.
const PIECE_BYTES: usize = 32 << 20;

#[derive(Debug, Error)]
pub enum DeltaError {
    #[error("cannot make or read the folder of table {table}")]
    Folder { table: &'static str, source: std::io::Error },
    #[error("cannot {doing} table {table}")]
    Table { doing: &'static str, table: &'static str, source: Box<DeltaTableError> },
    #[error("cannot arrange the rows of table {table}")]
    Rows { table: &'static str, source: ArrowError },
    #[error("table {table} has deletion vectors, which this program does not read")]
    DeletionVectors { table: &'static str },
    #[error("table {table} has been written by another writer up to position {found}, past {ours}")]
    Overtaken { table: &'static str, found: i64, ours: Position },
}

/// A Delta table that this process alone writes.
pub(crate) struct DeltaLog {
    table: Table,
    application: String,
    delta: DeltaTable,
}

impl DeltaLog {
    /// Opens the table in `folder`, or makes it.
    pub async fn open_or_make(
        files: &Arc<dyn Files>,
        folder: &FilePath,
        table: Table,
        log: LogId,
    ) -> Result<Self, DeltaError> {
        make_folder(&**files, folder).map_err(|source| DeltaError::Folder { table: table.name(), source })?;
        let torn = torn::set_aside(&**files, folder);
        if let Some(aside) = torn.map_err(|source| DeltaError::Folder { table: table.name(), source })? {
            tracing::error!(table = table.name(), aside = %aside.display(),
                "the last commit was torn and is set aside; its rows are read from the log again");
        }
        let fail = |doing| move |source| failed(doing, table, source);
        let url = Url::from_directory_path(folder)
            .map_err(|()| fail("name")(DeltaTableError::InvalidTableLocation(folder.display().to_string())))?;
        let delta = builder(&url, files).and_then(DeltaTableBuilder::build).map_err(fail("open"))?;
        let exists = delta.verify_deltatable_existence().await.map_err(fail("look for"))?;
        let delta = if exists {
            let mut delta = delta;
            delta.load().await.map_err(fail("open"))?;
            grown(delta, table).await.map_err(fail("add columns to"))?
        } else {
            make(delta, table, &stored_schema(table)).await.map_err(fail("make"))?
        };
        Ok(Self { table, application: format!("wal/{log}"), delta })
    }

    /// Up to where the table holds the log's rows.
    pub async fn position(&self) -> Result<Position, DeltaError> {
        let state = self.delta.snapshot().map_err(|source| failed("read", self.table, source))?;
        let version = state.transaction_version(self.delta.log_store().as_ref(), &self.application).await;
        let version = version.map_err(|source| failed("read", self.table, source))?;
        Ok(Position(version.map_or(0, |version| u64::try_from(version).unwrap_or(0))))
    }

    /// Commits rows, all of the log up to `position`, in one version. They are arranged piece by piece, since joining and
    /// sorting take several times the memory of what they work on; each piece is sorted by time. On an error the commit may have happened; the
    /// position tells.
    pub async fn commit(&mut self, batches: &[RecordBatch], position: Position) -> Result<(), DeltaError> {
        let found = self.position().await?;
        if found >= position {
            return Err(DeltaError::Overtaken { table: self.table.name(), found: found.0 as i64, ours: position });
        }
        let fail = |doing| {
            let table = self.table;
            move |source| failed(doing, table, source)
        };
        let writer = RecordBatchWriter::for_table(&self.delta).map_err(fail("write"))?;
        let mut writer = writer.with_writer_properties(properties(self.table));
        for piece in pieces(batches) {
            let piece = arranged(self.table, piece);
            let piece = piece.map_err(|source| DeltaError::Rows { table: self.table.name(), source })?;
            writer.write(piece).await.map_err(fail("write"))?;
        }
        let files = writer.flush().await.map_err(fail("write"))?;
        let transaction = Transaction::new(&self.application, position.0 as i64);
        let operation = DeltaOperation::Write {
            mode: SaveMode::Append,
            partition_by: Some(vec![DATE.to_owned()]),
            predicate: None,
        };
        let properties = CommitProperties::default().with_application_transactions(vec![transaction]);
        let snapshot = self.delta.snapshot().map_err(fail("read"))?;
        let committed = CommitBuilder::from(properties)
            .with_actions(files.into_iter().map(Action::Add).collect())
            .build(Some(snapshot as &dyn TableReference), self.delta.log_store(), operation)
            .await
            .map_err(fail("commit to"))?;
        self.delta.state = Some(committed.snapshot());
        Ok(())
    }

    /// Reads what others or a commit that was not noticed have added.
    pub async fn refresh(&mut self) -> Result<(), DeltaError> {
        self.delta.update_incremental(None).await.map_err(|source| failed("refresh", self.table, source))
    }

    /// The files of the present version.
    pub fn cold(&self) -> Result<ColdTable, DeltaError> {
        let state = self.delta.snapshot().map_err(|source| failed("read", self.table, source))?;
        let root = self.delta.table_url().path().trim_matches('/').to_owned();
        let root = percent_decoded(&root);
        let mut files = Vec::new();
        for file in state.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                return Err(DeltaError::DeletionVectors { table: self.table.name() });
            }
            files.push(ColdFile {
                path: format!("{root}/{}", file.object_store_path()),
                bytes: u64::try_from(file.size()).unwrap_or(0),
                rows: file.num_records().unwrap_or(0) as u64,
                modified_ms: file.modification_time(),
                timestamps: file.stats().and_then(|stats| timestamp_bounds(&stats)),
            });
        }
        files.sort_by_key(|file| std::cmp::Reverse(file.timestamps.map_or(i64::MAX, |(_, newest)| newest)));
        Ok(ColdTable { version: Some(state.version() as i64), files })
    }
}

fn builder(url: &Url, files: &Arc<dyn Files>) -> Result<DeltaTableBuilder, DeltaTableError> {
    Ok(DeltaTableBuilder::from_url(url.clone())?
        .with_storage_backend(Arc::new(DurableStore::new(Arc::clone(files))), url.clone()))
}

/// The table with the columns that this program knows and an earlier one did not; its files read as null in them.
async fn grown(delta: DeltaTable, table: Table) -> Result<DeltaTable, DeltaTableError> {
    let known = delta.snapshot()?.schema();
    let schema = stored_schema(table);
    let new = schema.fields().iter().filter(|field| known.field(field.name()).is_none());
    let new = new.map(|field| StructField::try_from_arrow(field.as_ref())).collect::<Result<Vec<_>, _>>()?;
    if new.is_empty() { Ok(delta) } else { delta.add_columns().with_fields(new).await }
}

async fn make(delta: DeltaTable, table: Table, schema: &Schema) -> Result<DeltaTable, DeltaTableError> {
    let columns = schema.fields().iter().map(|field| StructField::try_from_arrow(field.as_ref()));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    delta
        .create()
        .with_table_name(table.name())
        .with_columns(columns)
        .with_partition_columns([DATE])
        .with_configuration([("delta.dataSkippingStatsColumns", Some(TIMESTAMP))])
        .await
}

/// Batches that follow each other, about [`PIECE_BYTES`] at a time.
fn pieces(batches: &[RecordBatch]) -> impl Iterator<Item = &[RecordBatch]> {
    let mut rest = batches;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut sizes = rest.iter().map(RecordBatch::get_array_memory_size);
        let count = sizes.position(|size| {
            let is_full = bytes > PIECE_BYTES;
            bytes += size;
            is_full
        });
        let piece;
        (piece, rest) = rest.split_at(count.unwrap_or(rest.len()));
        (!piece.is_empty()).then_some(piece)
    })
}

/// In one batch, sorted by time, with the partition column.
fn arranged(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let batch = &concat_batches(&file_schema(table), batches)?;
    let at = batch.schema().index_of(TIMESTAMP)?;
    let order = sort_to_indices(batch.column(at), None, None)?;
    let sorted = take_record_batch(batch, &order)?;
    let date = day_of(sorted.column(at))?;
    let mut columns = sorted.columns().to_vec();
    columns.push(date);
    let mut fields: Vec<FieldRef> = sorted.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(DATE, DataType::Date32, true)));
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn day_of(times: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    const DAY_US: i64 = 86_400_000_000;
    let times = times.as_any().downcast_ref::<TimestampMicrosecondArray>();
    let times = times.ok_or_else(|| ArrowError::SchemaError("timestamp is no time".into()))?;
    let days: Date32Array = times.iter().map(|time| time.map(|time| time.div_euclid(DAY_US) as i32)).collect();
    cast(&days, &DataType::Date32)
}

/// Ids and free text are nearly all distinct: a dictionary only costs there. Times and ids are close to the row before.
fn properties(table: Table) -> WriterProperties {
    let level = ZstdLevel::try_new(3).unwrap_or_default();
    let builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(262_144));
    let builder = table
        .columns()
        .iter()
        .fold(builder, |builder, column| encoded(builder, ColumnPath::from(column.name), column.kind, column.name));
    builder.build()
}

fn encoded(
    builder: WriterPropertiesBuilder,
    path: ColumnPath,
    kind: ColumnKind,
    name: &str,
) -> WriterPropertiesBuilder {
    match kind {
        ColumnKind::Time => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED),
        ColumnKind::Id => builder
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BYTE_ARRAY),
        ColumnKind::Text if name == "properties" => builder.set_column_dictionary_enabled(path, false),
        _ => builder,
    }
}

/// Bounds of `timestamp` from a file's statistics.
fn timestamp_bounds(stats: &str) -> Option<(i64, i64)> {
    let stats: serde_json::Value = serde_json::from_str(stats).ok()?;
    let bound = |name: &str| {
        let text = stats.get(name)?.get(TIMESTAMP)?.as_str()?;
        // delta-rs writes times without a zone with a space, other writers with a T.
        let time = text.trim_end_matches('Z').replace(' ', "T").parse::<chrono::NaiveDateTime>().ok()?;
        Some(time.and_utc().timestamp_micros())
    };
    Some((bound("minValues")?, bound("maxValues")? + 999))
}

/// A URL's path as the object store names it.
fn percent_decoded(path: &str) -> String {
    let url_path = ridealong_engine::deltalake::Path::from_url_path(path);
    url_path.map_or_else(|_| path.to_owned(), |path| path.to_string())
}

fn failed(doing: &'static str, table: Table, source: DeltaTableError) -> DeltaError {
    DeltaError::Table { doing, table: table.name(), source: Box::new(source) }
}

#[cfg(test)]
mod tests;
