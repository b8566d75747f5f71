//! A table of a snapshot as the engine scans it: hot rows from memory, cold ones from Parquet files, as one, with the
//! columns as stored. Deletions and corrections that a file has not seen yet are applied to what is read of it.
//!
//! The cold side is a plain Parquet source over the snapshot's files, the newest first: exact, quicker than delta-rs' own
//! provider on newest-first reads, and the only form that travels to other machines without a codec.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::DateTime;
use ridealong_engine::datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use ridealong_engine::datafusion::catalog::Session;
use ridealong_engine::datafusion::catalog::memory::MemorySourceConfig;
use ridealong_engine::datafusion::common::stats::Precision;
use ridealong_engine::datafusion::common::{ColumnStatistics, Result, ScalarValue, Statistics, ToDFSchema};
use ridealong_engine::datafusion::config::TableParquetOptions;
use ridealong_engine::datafusion::datasource::listing::PartitionedFile;
use ridealong_engine::datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use ridealong_engine::datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use ridealong_engine::datafusion::datasource::source::DataSourceExec;
use ridealong_engine::datafusion::datasource::table_schema::TableSchema;
use ridealong_engine::datafusion::execution::object_store::ObjectStoreUrl;
use ridealong_engine::datafusion::logical_expr::Expr;
use ridealong_engine::datafusion::logical_expr::utils::conjunction;
use ridealong_engine::datafusion::physical_expr::PhysicalExpr;
use ridealong_engine::datafusion::physical_expr::expressions::{CastExpr, Column};
use ridealong_engine::datafusion::physical_plan::ExecutionPlan;
use ridealong_engine::datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use ridealong_engine::datafusion::physical_plan::union::UnionExec;
use ridealong_engine::deltalake::logstore::object_store::ObjectStore;
use ridealong_engine::deltalake::{ObjectMeta, Path};

use crate::mutations::{Mutation, applied};
use crate::schema::{TIMESTAMP, file_schema, with_views};
use crate::snapshot::{ColdFile, TableSnapshot};
use crate::store::DurableStore;

/// The root of the local file system, as a place names it.
const LOCAL: &str = "file:///";

/// What a scan is asked for, in terms of the stored columns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted<'a> {
    /// Columns by their place among the stored ones; None for all.
    pub projection: Option<&'a [usize]>,
    /// Rows for which these do not hold may be left out.
    pub filters: &'a [Expr],
    /// More rows are not needed; fewer may come only when there are no more.
    pub limit: Option<usize>,
    /// Texts as views rather than as they are kept in memory.
    pub views: bool,
    /// Few rows will pass the filters: they are applied while reading, before the other columns are decoded. Where many
    /// pass this takes longer than filtering whole batches.
    pub picks_few: bool,
}

impl TableSnapshot {
    /// A plan that reads the table.
    pub fn scan(&self, state: &dyn Session, wanted: &Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let mut alike: BTreeMap<(&str, Vec<u64>), Vec<&ColdFile>> = BTreeMap::new();
        for file in &self.cold.files {
            let pending = file.pending.iter().map(|mutation| mutation.number).collect();
            alike.entry((&file.store, pending)).or_default().push(file);
        }
        let scans = alike.into_values().map(|files| self.scan_files(state, &files, wanted));
        let mut scans = scans.collect::<Result<Vec<_>>>()?;
        if scans.is_empty() || !self.hot.is_empty() {
            scans.insert(0, self.scan_hot(wanted)?);
        }
        match scans.len() {
            1 => Ok(scans.remove(0)),
            _ => UnionExec::try_new(scans),
        }
    }

    /// The columns as a scan reads them.
    fn read_schema(&self, wanted: &Wanted<'_>) -> SchemaRef {
        let stored = file_schema(self.table);
        if wanted.views { with_views(&stored) } else { stored }
    }

    fn scan_hot(&self, wanted: &Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let projection = wanted.projection.map(<[usize]>::to_vec);
        let rows = std::slice::from_ref(&self.hot);
        let scan = MemorySourceConfig::try_new_exec(rows, file_schema(self.table), projection)?;
        if wanted.views { as_views(scan) } else { Ok(scan) }
    }

    /// Files of one store with the same pending mutations; at least one.
    fn scan_files(
        &self,
        state: &dyn Session,
        files: &[&ColdFile],
        wanted: &Wanted<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(pending) = files.first().map(|file| &*file.pending).filter(|pending| !pending.is_empty()) else {
            return self.parquet(state, files, wanted);
        };
        let reading = Reading::of(pending, &file_schema(self.table), wanted)?;
        let stored = Wanted { projection: Some(&reading.columns), filters: &reading.filters, limit: None, ..*wanted };
        let plan = self.parquet(state, files, &stored)?;
        let plan = applied(plan, pending, state)?;
        crate::mutations::projected(plan, &reading.shown)
    }

    fn parquet(&self, state: &dyn Session, files: &[&ColdFile], wanted: &Wanted<'_>) -> Result<Arc<dyn ExecutionPlan>> {
        let Wanted { projection, filters, limit, .. } = *wanted;
        let stored = self.read_schema(wanted);
        let url = ObjectStoreUrl::parse(files.first().map_or(LOCAL, |file| &*file.store))?;
        let store: Arc<dyn ObjectStore> = match url.as_str() {
            LOCAL => Arc::new(DurableStore::for_queries()),
            _ => state.runtime_env().object_store(&url)?,
        };
        let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
        let options =
            TableParquetOptions { global: state.config_options().execution.parquet.clone(), ..Default::default() };
        let mut source = ParquetSource::new(TableSchema::from(stored.clone()))
            .with_table_parquet_options(options)
            .with_pushdown_filters(wanted.picks_few)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, cache)));
        if let Some(filter) = conjunction(filters.to_vec()) {
            let filter = state.create_physical_expr(filter, &stored.clone().to_dfschema()?)?;
            source = source.with_predicate(filter);
        }
        let rows = files.iter().map(|file| file.rows as usize).sum();
        let mut statistics = Statistics::new_unknown(&stored);
        statistics.num_rows = if filters.is_empty() { Precision::Exact(rows) } else { Precision::Inexact(rows) };
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(groups(files, &stored, state.config().target_partitions()))
            .with_projection_indices(projection.map(<[usize]>::to_vec))?
            .with_limit(limit.filter(|_| filters.is_empty()))
            .with_statistics(statistics)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// The same rows with texts as views, which point into the texts as they lie there.
pub fn as_views(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = plan.schema();
    if schema.fields().iter().all(|field| field.data_type() != &DataType::Utf8) {
        return Ok(plan);
    }
    let columns = schema.fields().iter().enumerate().map(|(at, field)| {
        let column = Arc::new(Column::new(field.name(), at)) as Arc<dyn PhysicalExpr>;
        let shown = match field.data_type() {
            DataType::Utf8 => Arc::new(CastExpr::new(column, DataType::Utf8View, None)),
            _ => column,
        };
        ProjectionExpr::new(shown, field.name().clone())
    });
    Ok(Arc::new(ProjectionExec::try_new(columns.collect::<Vec<_>>(), plan)?))
}

/// What is read of files with pending mutations, so that these can be applied.
struct Reading {
    columns: Vec<usize>,
    filters: Vec<Expr>,
    /// The columns wanted, by name, in their order.
    shown: Vec<String>,
}

impl Reading {
    fn of(pending: &[Arc<Mutation>], schema: &Schema, wanted: &Wanted<'_>) -> Result<Self> {
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut columns = wanted.projection.unwrap_or(&all).to_vec();
        let shown = columns.iter().map(|at| schema.field(*at).name().clone()).collect();
        for name in pending.iter().flat_map(|mutation| mutation.columns_read()) {
            columns.push(schema.index_of(&name)?);
        }
        columns.sort_unstable();
        columns.dedup();
        // What a filter says of a column that a mutation sets, it says of the new value.
        let is_set = |name: &str| pending.iter().any(|mutation| mutation.sets(name));
        let filters = wanted.filters.iter();
        let filters = filters.filter(|filter| !filter.column_refs().iter().any(|column| is_set(&column.name)));
        Ok(Self { columns, filters: filters.cloned().collect(), shown })
    }
}

/// The files dealt out in turn, so that each group begins with the newest.
fn groups(files: &[&ColdFile], stored: &SchemaRef, partitions: usize) -> Vec<FileGroup> {
    let mut groups = vec![Vec::new(); partitions.max(1).min(files.len().max(1))];
    let count = groups.len();
    for (at, file) in files.iter().enumerate() {
        groups[at % count].push(partitioned(file, stored));
    }
    groups.into_iter().map(FileGroup::new).collect()
}

fn partitioned(file: &ColdFile, stored: &SchemaRef) -> PartitionedFile {
    let mut statistics = Statistics::new_unknown(stored);
    statistics.num_rows = Precision::Exact(file.rows as usize);
    if let (Some((oldest, newest)), Ok(at)) = (file.timestamps, stored.index_of(TIMESTAMP)) {
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
