//! One table of a snapshot as the engine scans it: hot rows from memory, cold ones from Parquet files, as one.
//!
//! The cold side is a plain Parquet source over the snapshot's files, the newest first: exact, quicker than delta-rs' own
//! provider on newest-first reads, and the only form that travels to other machines without a codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::DateTime;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Field, SchemaRef};
use ridealong_engine::datafusion::catalog::memory::MemorySourceConfig;
use ridealong_engine::datafusion::catalog::{Session, TableProvider};
use ridealong_engine::datafusion::common::stats::Precision;
use ridealong_engine::datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, ToDFSchema};
use ridealong_engine::datafusion::config::TableParquetOptions;
use ridealong_engine::datafusion::datasource::listing::PartitionedFile;
use ridealong_engine::datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use ridealong_engine::datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use ridealong_engine::datafusion::datasource::source::DataSourceExec;
use ridealong_engine::datafusion::datasource::table_schema::TableSchema;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::logical_expr::utils::conjunction;
use ridealong_engine::datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_engine::datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use ridealong_engine::datafusion::physical_plan::union::UnionExec;
use ridealong_engine::datafusion::prelude::ident;
use ridealong_engine::deltalake::{ObjectMeta, Path};
use ridealong_lake::schema::{TIMESTAMP, file_schema, public_schema};
use ridealong_lake::{ColdFile, TableSnapshot};

use crate::stored_filter::on_stored;
use crate::uuid_text::uuid_text;

/// The one column of bytes that is no id.
const SKETCH: &str = "duration_sketch";

/// A table of a snapshot, with the columns that SQL shows.
#[derive(Debug)]
pub(crate) struct SnapshotTable {
    snapshot: TableSnapshot,
    /// As stored: ids are bytes.
    stored: SchemaRef,
    /// As shown: ids are text. The same columns in the same order.
    shown: SchemaRef,
}

/// What a scan is asked for, of the columns as stored.
struct Wanted<'a> {
    projection: Option<&'a Vec<usize>>,
    filters: &'a [Expr],
    limit: Option<usize>,
}

impl SnapshotTable {
    pub fn new(snapshot: TableSnapshot) -> Self {
        let (stored, shown) = (file_schema(snapshot.table), public_schema(snapshot.table));
        Self { snapshot, stored, shown }
    }

    /// The table of a tenant that has no row of it yet.
    pub fn empty(table: Table) -> Self {
        Self::new(TableSnapshot { table, hot: Vec::new(), cold: Arc::default() })
    }

    fn scan_hot(&self, projection: Option<&Vec<usize>>) -> Result<Arc<dyn ExecutionPlan>> {
        let hot = [self.snapshot.hot.clone()];
        Ok(MemorySourceConfig::try_new_exec(&hot, self.stored.clone(), projection.cloned())?)
    }

    /// One scan for each store that has files.
    fn scan_cold(&self, state: &dyn Session, wanted: &Wanted<'_>) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let mut by_store: BTreeMap<&str, Vec<&ColdFile>> = BTreeMap::new();
        for file in &self.snapshot.cold.files {
            by_store.entry(&file.store).or_default().push(file);
        }
        let scans = by_store.into_iter();
        scans.map(|(store, files)| self.scan_files(state, store, &files, wanted)).collect()
    }

    fn scan_files(
        &self,
        state: &dyn Session,
        store: &str,
        files: &[&ColdFile],
        wanted: &Wanted<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Wanted { projection, filters, limit } = *wanted;
        let url = ObjectStoreUrl::parse(store)?;
        let store = state.runtime_env().object_store(&url)?;
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let mut source = ParquetSource::new(TableSchema::from(self.stored.clone()))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, cache)));
        if let Some(filter) = conjunction(filters.to_vec()) {
            let filter = state.create_physical_expr(filter, &self.stored.clone().to_dfschema()?)?;
            source = source.with_predicate(filter);
        }
        let rows = files.iter().map(|file| file.rows as usize).sum();
        let mut statistics = Statistics::new_unknown(&self.stored);
        statistics.num_rows = if filters.is_empty() { Precision::Exact(rows) } else { Precision::Inexact(rows) };
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(self.groups(files, state.config().target_partitions()))
            .with_projection_indices(projection.cloned())?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .with_statistics(statistics)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    /// The files dealt out in turn, so that each group begins with the newest.
    fn groups(&self, files: &[&ColdFile], partitions: usize) -> Vec<FileGroup> {
        let mut groups = vec![Vec::new(); partitions.max(1).min(files.len().max(1))];
        let count = groups.len();
        for (at, file) in files.iter().enumerate() {
            groups[at % count].push(self.partitioned(file));
        }
        groups.into_iter().map(FileGroup::new).collect()
    }

    fn partitioned(&self, file: &ColdFile) -> PartitionedFile {
        let mut statistics = Statistics::new_unknown(&self.stored);
        statistics.num_rows = Precision::Exact(file.rows as usize);
        if let (Some((oldest, newest)), Ok(at)) = (file.timestamps, self.stored.index_of(TIMESTAMP)) {
            let bound = |micros| Precision::Inexact(ScalarValue::TimestampMicrosecond(Some(micros), None));
            let unknown = ColumnStatistics::new_unknown();
            statistics.column_statistics[at] =
                ColumnStatistics { min_value: bound(oldest), max_value: bound(newest), ..unknown };
        }
        let meta = ObjectMeta {
            location: Path::from(file.path.as_str()),
            last_modified: DateTime::from_timestamp_millis(file.modified_ms).unwrap_or_default(),
            size: file.bytes,
            e_tag: None,
            version: None,
        };
        PartitionedFile::new_from_meta(meta).with_statistics(Arc::new(statistics))
    }
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        self.shown.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        // A filter that is not passed on still runs above the scan; a limit must then not stop the scan early.
        let stored: Vec<Expr> =
            filters.iter().filter_map(|filter| on_stored(filter, &self.shown, &self.stored)).collect();
        let limit = limit.filter(|_| filters.is_empty());
        let mut scans = self.scan_cold(state, &Wanted { projection, filters: &stored, limit })?;
        if scans.is_empty() || !self.snapshot.hot.is_empty() {
            scans.insert(0, self.scan_hot(projection)?);
        }
        let scanned = match scans.len() {
            1 => scans.remove(0),
            _ => UnionExec::try_new(scans)?,
        };
        with_text_ids(scanned, state)
    }
}

/// Turns the ids of a scan into text; the scan itself when it has none.
fn with_text_ids(scan: Arc<dyn ExecutionPlan>, state: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = scan.schema();
    let is_id = |field: &Field| field.data_type() == &DataType::Binary && field.name() != SKETCH;
    if !schema.fields().iter().any(|field| is_id(field)) {
        return Ok(scan);
    }
    let input = schema.clone().to_dfschema()?;
    let to_text = uuid_text();
    let columns = schema.fields().iter().map(|field| {
        let column = ident(field.name());
        let shown = if is_id(field) { to_text.call(vec![column]) } else { column };
        Ok(ProjectionExpr::new(state.create_physical_expr(shown, &input)?, field.name().clone()))
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(ProjectionExec::try_new(columns, scan)?))
}
