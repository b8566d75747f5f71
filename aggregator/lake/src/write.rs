//! From rows to data files: rows are dealt out by the day of their time, and each day becomes Parquet files, encoded in
//! memory and then put into the store whole. Nothing refers to a file until a commit names it.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use ridealong_common::table::{ColumnKind, Table};
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::datatypes::TimestampMicrosecondType;
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::datafusion::parquet::arrow::ArrowWriter;
use ridealong_engine::datafusion::parquet::errors::ParquetError;
use ridealong_engine::datafusion::parquet::file::metadata::ParquetMetaData;
use ridealong_engine::datafusion::parquet::file::properties::WriterProperties;
use ridealong_engine::datafusion::parquet::file::statistics::Statistics;
use ridealong_engine::deltalake::kernel::Add;
use ridealong_engine::deltalake::logstore::object_store::{Error as StoreError, ObjectStoreExt, PutPayload};
use serde_json::{Map, Value, json};
use thiserror::Error;
use uuid::Uuid;

use crate::encoding::{properties, settled};
use crate::place::Place;
use crate::schema::{DATE, TIMESTAMP, file_schema};

/// A file is closed at this size, and another begun.
pub(crate) const FILE_BYTES_MAX: usize = 128 << 20;

const DAY_US: i64 = 86_400_000_000;

#[derive(Debug, Error)]
pub enum WriteError {
    #[error("the rows cannot be arranged")]
    Arrow(#[from] ArrowError),
    #[error("the rows cannot be encoded")]
    Parquet(#[from] ParquetError),
    #[error("the file cannot be stored")]
    Store(#[from] StoreError),
}

/// Writes rows of one table.
pub(crate) struct TableWriter {
    place: Place,
    table: Table,
    properties: WriterProperties,
    open: BTreeMap<i32, ArrowWriter<Vec<u8>>>,
    written: Vec<Add>,
}

impl TableWriter {
    /// `place`: the table's.
    pub fn new(place: Place, table: Table) -> Self {
        Self { place, table, properties: properties(table), open: BTreeMap::new(), written: Vec::new() }
    }

    /// For files that stay.
    pub fn settled(place: Place, table: Table) -> Self {
        Self { properties: settled(table), ..Self::new(place, table) }
    }

    /// Rows with the columns of the data files, in the order in which they shall lie in the files.
    pub async fn write(&mut self, rows: &RecordBatch) -> Result<(), WriteError> {
        for (day, rows) in by_day(rows)? {
            let writer = match self.open.entry(day) {
                std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
                std::collections::btree_map::Entry::Vacant(free) => free.insert(ArrowWriter::try_new(
                    Vec::new(),
                    file_schema(self.table),
                    Some(self.properties.clone()),
                )?),
            };
            writer.write(&rows)?;
            if writer.bytes_written() + writer.in_progress_size() >= FILE_BYTES_MAX {
                self.close(day).await?;
            }
        }
        Ok(())
    }

    /// The files, all of them stored.
    pub async fn finish(mut self) -> Result<Vec<Add>, WriteError> {
        let days: Vec<i32> = self.open.keys().copied().collect();
        for day in days {
            self.close(day).await?;
        }
        Ok(self.written)
    }

    async fn close(&mut self, day: i32) -> Result<(), WriteError> {
        let Some(mut writer) = self.open.remove(&day) else { return Ok(()) };
        let metadata = writer.finish()?;
        let bytes = std::mem::take(writer.inner_mut());
        let size = bytes.len();
        let date = date_of(day);
        let name = format!("{DATE}={date}/{}", file_name());
        self.place.store().put(&self.place.file(&name), PutPayload::from(bytes)).await?;
        self.written.push(Add {
            path: name,
            partition_values: [(DATE.to_owned(), Some(date.to_string()))].into(),
            size: size as i64,
            modification_time: chrono::Utc::now().timestamp_millis(),
            data_change: true,
            stats: Some(stats(self.table, &metadata)),
            tags: None,
            deletion_vector: None,
            base_row_id: None,
            default_row_commit_version: None,
            clustering_provider: None,
        });
        Ok(())
    }
}

/// A new name of a data file. Nobody else ever gives the same, in any table: a file can be told by it for ever.
fn file_name() -> String {
    format!("{}.parquet", Uuid::now_v7().simple())
}

pub(crate) fn day_of(micros: i64) -> i32 {
    micros.div_euclid(DAY_US) as i32
}

pub(crate) fn date_of(day: i32) -> NaiveDate {
    DateTime::from_timestamp(i64::from(day) * 86_400, 0).unwrap_or_default().date_naive()
}

/// The rows cut where the day changes.
fn by_day(rows: &RecordBatch) -> Result<Vec<(i32, RecordBatch)>, ArrowError> {
    let at = rows.schema().index_of(TIMESTAMP)?;
    let times = rows.column(at).as_primitive::<TimestampMicrosecondType>().values();
    let mut runs = Vec::new();
    let mut from = 0;
    while from < times.len() {
        let day = day_of(times[from]);
        let length = times[from..].iter().take_while(|time| day_of(**time) == day).count();
        runs.push((day, rows.slice(from, length)));
        from += length;
    }
    Ok(runs)
}

/// Columns with bounds in Delta's statistics: those that order says something about.
pub(crate) fn has_bounds(kind: ColumnKind) -> bool {
    matches!(kind, ColumnKind::Time | ColumnKind::Integer)
}

/// A file's statistics as Delta has them: rows, nulls, bounds.
fn stats(table: Table, metadata: &ParquetMetaData) -> String {
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for (at, column) in table.columns().iter().enumerate().filter(|(_, column)| has_bounds(column.kind)) {
        let groups: Vec<&Statistics> =
            metadata.row_groups().iter().filter_map(|group| group.column(at).statistics()).collect();
        if groups.len() != metadata.num_row_groups() {
            continue;
        }
        let none: u64 = groups.iter().filter_map(|group| group.null_count_opt()).sum();
        nulls.insert(column.name.to_owned(), json!(none));
        let bounds = groups.iter().filter_map(|group| match group {
            Statistics::Int64(values) => Some((*values.min_opt()?, *values.max_opt()?)),
            _ => None,
        });
        if let Some((min, max)) = bounds.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))) {
            least.insert(column.name.to_owned(), shown(column.kind, min));
            greatest.insert(column.name.to_owned(), shown(column.kind, max));
        }
    }
    let rows = metadata.file_metadata().num_rows();
    json!({ "numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls }).to_string()
}

fn shown(kind: ColumnKind, value: i64) -> Value {
    match kind {
        ColumnKind::Time => {
            let time = DateTime::from_timestamp_micros(value).unwrap_or_default();
            time.naive_utc().format("%Y-%m-%dT%H:%M:%S%.6f").to_string().into()
        }
        _ => value.into(),
    }
}

#[cfg(test)]
mod tests;
