//! One Delta table: opened or made, committed to, described.
//!
//! Each commit carries the application transaction `wal/{log id}` with the log position up to which the table holds the
//! log's rows. Reading it back says where a restart goes on, and makes a commit that was made but not noticed harmless.
//! Commits that take files away for good carry `retained`, those that take them to the archive `archived`: how many rows
//! have gone that way so far. So the books can say where every row is.

mod history;

use std::collections::BTreeSet;
use std::sync::Arc;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::arrow::compute::{concat_batches, sort_to_indices, take_record_batch};
use ridealong_engine::datafusion::arrow::datatypes::Schema;
use ridealong_engine::datafusion::arrow::error::ArrowError;
use ridealong_engine::deltalake::kernel::LogicalFileView;
use ridealong_engine::deltalake::kernel::engine::arrow_conversion::TryFromArrow;
use ridealong_engine::deltalake::kernel::transaction::{CommitBuilder, CommitProperties, TableReference};
use ridealong_engine::deltalake::kernel::{Action, Add, StructField, Transaction};
use ridealong_engine::deltalake::logstore::object_store::ObjectStoreExt;
use ridealong_engine::deltalake::protocol::{DeltaOperation, SaveMode};
use ridealong_engine::deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use ridealong_wal::{LogId, Position};
use thiserror::Error;

use crate::place::Place;
use crate::schema::{DATE, TIMESTAMP, file_schema, stored_schema};
use crate::snapshot::{ColdFile, ColdTable};
use crate::store::make_folder;
use crate::torn;
use crate::write::{FILE_BYTES_MAX, TableWriter, WriteError, has_bounds};

/// Application transactions that count rows.
const RETAINED: &str = "retained";
const ARCHIVED: &str = "archived";
/// The folder of a table's versions.
pub(crate) const DELTA_LOG: &str = "_delta_log";
/// Memory of the rows that are joined and sorted at once.
const PIECE_BYTES: usize = 32 << 20;

/// Each but the last met a commit that had just arrived.
const TRIES_MAX: u32 = 3;

#[derive(Debug, Error)]
pub enum DeltaError {
    #[error("cannot make or read the folder of table {table}")]
    Folder { table: &'static str, source: std::io::Error },
    #[error("cannot {doing} table {table}")]
    Table { doing: &'static str, table: &'static str, source: Box<DeltaTableError> },
    #[error("cannot arrange the rows of table {table}")]
    Rows { table: &'static str, source: ArrowError },
    #[error("cannot write files of table {table}")]
    Write { table: &'static str, source: WriteError },
    #[error("{files} files are no longer in table {table}")]
    Gone { table: &'static str, files: usize },
    #[error("table {table} has deletion vectors, which this program does not read")]
    DeletionVectors { table: &'static str },
    #[error(
        "table {table} has rows of the log up to position {found}, which no flush was to end at: another process writes it \
         with a copy of this log"
    )]
    Overtaken { table: &'static str, found: Position },
}

/// A Delta table that this process alone writes.
pub(crate) struct DeltaLog {
    table: Table,
    place: Place,
    application: String,
    delta: DeltaTable,
    /// A commit failed, and may still arrive: a bucket's answer may be lost, and a put be slow.
    is_uncertain: bool,
    gone: Gone,
}

/// Rows that were in the table and are not any more, as of its present version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Their time was over.
    pub retained: u64,
    /// They were taken to the archive.
    pub archived: u64,
}

/// What a version changes.
pub(crate) struct Change {
    pub added: Vec<Add>,
    /// By their names in the table.
    pub removed: Vec<String>,
    pub transactions: Vec<Transaction>,
    pub kind: ChangeKind,
}

impl Change {
    /// Whether it knows all that has been done to the file.
    pub fn may_remove(&self, file: &ColdFile) -> bool {
        match self.kind {
            ChangeKind::Drop { .. } | ChangeKind::Archive { .. } => true,
            ChangeKind::Rewrite { seen } => file.pending.iter().all(|mutation| mutation.number <= seen),
            ChangeKind::Append | ChangeKind::Rearrange => file.pending.is_empty(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChangeKind {
    /// New rows.
    Append,
    /// The same rows in other files.
    Rearrange,
    /// Other rows, or fewer, in place of some: what the mutations up to this one make of them.
    Rewrite { seen: u64 },
    /// Whole files go for good, their time being over; so many rows of them, that no mutation has left out, are counted.
    Drop { rows: u64 },
    /// Whole files go, and are in the archive by then; so many rows are counted.
    Archive { rows: u64 },
}

impl ChangeKind {
    fn operation(self) -> DeltaOperation {
        match self {
            Self::Append => DeltaOperation::Write {
                mode: SaveMode::Append,
                partition_by: Some(vec![DATE.to_owned()]),
                predicate: None,
            },
            Self::Rearrange => DeltaOperation::Optimize { predicate: None, target_size: FILE_BYTES_MAX as i64 },
            Self::Rewrite { .. } => DeltaOperation::Update { predicate: None },
            Self::Drop { .. } | Self::Archive { .. } => DeltaOperation::Delete { predicate: None },
        }
    }
}

impl DeltaLog {
    /// Opens the table that lies at `place`, or makes it.
    pub async fn open_or_make(place: &Place, table: Table, log: LogId) -> Result<Self, DeltaError> {
        prepare(place, table)?;
        let fail = |doing| move |source| failed(doing, table, source);
        let delta = DeltaTableBuilder::from_url(place.url().clone()).map_err(fail("name"))?;
        let delta = delta.with_storage_backend(Arc::clone(place.store()), place.url().clone());
        let mut delta = delta.build().map_err(fail("open"))?;
        let exists = delta.verify_deltatable_existence().await.map_err(fail("look for"))?;
        let delta = if exists {
            delta.load().await.map_err(fail("open"))?;
            let delta = grown(delta, table).await.map_err(fail("add columns to"))?;
            history::kept(delta).await.map_err(fail("set properties of"))?
        } else {
            make(delta, table, &stored_schema(table)).await.map_err(fail("make"))?
        };
        // Of a process that was killed a commit may be on its way, too.
        let is_uncertain = exists && place.local().is_none();
        let (place, application) = (place.clone(), format!("wal/{log}"));
        let mut opened = Self { table, place, application, delta, is_uncertain, gone: Gone::default() };
        opened.make_certain().await?;
        opened.gone = opened.read_gone().await?;
        Ok(opened)
    }

    /// Whether the table may change without anybody's doing. See [`Self::make_certain`].
    pub fn is_uncertain(&self) -> bool {
        self.is_uncertain
    }

    /// In a folder it is enough to look again. In a bucket, what may still arrive can only become the next version. So that
    /// one is taken, without changing anything; when something has arrived before, it is read. After this nothing can
    /// arrive any more.
    pub async fn make_certain(&mut self) -> Result<(), DeltaError> {
        if self.is_uncertain && self.place.local().is_some() {
            return self.look_again().await;
        }
        let mut tries = 1;
        while self.is_uncertain {
            if tries > 1 {
                self.refresh().await?;
            }
            let transactions = vec![self.transaction(self.position().await?)];
            let nothing = Change { added: Vec::new(), removed: Vec::new(), transactions, kind: ChangeKind::Append };
            match self.commit(nothing).await {
                Err(error) if tries == TRIES_MAX => return Err(error),
                _ => tries += 1,
            }
        }
        Ok(())
    }

    /// Up to where the table holds the log's rows.
    pub async fn position(&self) -> Result<Position, DeltaError> {
        self.counted(&self.application).await.map(Position)
    }

    /// Rows that have gone from the table.
    pub fn gone(&self) -> Gone {
        self.gone
    }

    async fn read_gone(&self) -> Result<Gone, DeltaError> {
        Ok(Gone { retained: self.counted(RETAINED).await?, archived: self.counted(ARCHIVED).await? })
    }

    /// The version of an application transaction; 0 when there was none.
    async fn counted(&self, application: &str) -> Result<u64, DeltaError> {
        let fail = |source| failed("read", self.table, source);
        let state = self.delta.snapshot().map_err(fail)?;
        let version = state.transaction_version(self.delta.log_store().as_ref(), application).await.map_err(fail)?;
        Ok(version.map_or(0, |version| u64::try_from(version).unwrap_or(0)))
    }

    /// Commits rows, all of the log up to `position`, in one version. They are arranged piece by piece, since joining and
    /// sorting take several times the memory of what they work on; each piece is sorted by time. On an error the commit
    /// may have happened; the position tells.
    pub async fn append(&mut self, batches: &[RecordBatch], position: Position) -> Result<(), DeltaError> {
        let found = self.position().await?;
        if found >= position {
            return Err(DeltaError::Overtaken { table: self.table.name(), found });
        }
        let mut writer = TableWriter::new(self.place.clone(), self.table);
        for piece in pieces(batches) {
            let rows = arranged(self.table, piece);
            let rows = rows.map_err(|source| DeltaError::Rows { table: self.table.name(), source })?;
            writer.write(&rows).await.map_err(|source| self.unwritten(source))?;
        }
        let added = writer.finish().await.map_err(|source| self.unwritten(source))?;
        let transactions = vec![self.transaction(position)];
        self.commit(Change { added, removed: Vec::new(), transactions, kind: ChangeKind::Append }).await
    }

    /// One version more. On an error it may have happened.
    pub async fn commit(&mut self, change: Change) -> Result<(), DeltaError> {
        let fail = |doing| {
            let table = self.table;
            move |source| failed(doing, table, source)
        };
        let data_change = !matches!(change.kind, ChangeKind::Rearrange);
        let removed = self.files(&change.removed)?;
        let (gone, counted) = self.gone_with(change.kind);
        let removals = removed.iter().map(|file| Action::Remove(file.remove_action(data_change)));
        let mut actions: Vec<Action> = removals.collect();
        actions.extend(change.added.into_iter().map(|added| Action::Add(Add { data_change, ..added })));
        let transactions = change.transactions.into_iter().chain(counted).collect();
        let properties = CommitProperties::default()
            .with_application_transactions(transactions)
            .with_cleanup_expired_logs(Some(false));
        let snapshot = self.delta.snapshot().map_err(fail("read"))?;
        let committed = CommitBuilder::from(properties)
            .with_actions(actions)
            .build(Some(snapshot as &dyn TableReference), self.delta.log_store(), change.kind.operation())
            .await;
        self.is_uncertain = committed.is_err();
        let committed = committed.map_err(fail("commit to"))?;
        self.delta.state = Some(committed.snapshot());
        self.gone = gone;
        if history::has_checkpoint(committed.version) {
            self.tidy().await;
        }
        Ok(())
    }

    /// What will have gone with a change, and the transaction that says so.
    fn gone_with(&self, kind: ChangeKind) -> (Gone, Option<Transaction>) {
        let Gone { retained, archived } = self.gone;
        match kind {
            ChangeKind::Drop { rows } => {
                let retained = retained + rows;
                (Gone { retained, archived }, Some(Transaction::new(RETAINED, retained as i64)))
            }
            ChangeKind::Archive { rows } => {
                let archived = archived + rows;
                (Gone { retained, archived }, Some(Transaction::new(ARCHIVED, archived as i64)))
            }
            ChangeKind::Append | ChangeKind::Rearrange | ChangeKind::Rewrite { .. } => (self.gone, None),
        }
    }

    /// What adds these files to a table of the same columns.
    pub fn additions(&self, names: &[String]) -> Result<Vec<Add>, DeltaError> {
        let addition = |file: &LogicalFileView| {
            let path = file.object_store_path().to_string();
            let date = path.split('/').find_map(|part| part.strip_prefix(DATE)?.strip_prefix('='));
            Add {
                partition_values: [(DATE.to_owned(), date.map(str::to_owned))].into(),
                size: file.size(),
                modification_time: file.modification_time(),
                data_change: true,
                stats: file.stats(),
                path,
                ..Add::default()
            }
        };
        Ok(self.files(names)?.iter().map(addition).collect())
    }

    /// The same, and after an error it is known whether it has happened: the table is read again. What was prepared for
    /// a commit that can not happen any more is deleted.
    pub async fn commit_surely(&mut self, change: Change) -> Result<(), DeltaError> {
        let added: Vec<String> = change.added.iter().map(|file| file.path.clone()).collect();
        let (removed, transactions) = (change.removed.clone(), change.transactions.clone());
        let Err(error) = self.commit(change).await else { return Ok(()) };
        self.look_again().await?;
        let names: BTreeSet<String> = self.cold()?.files.into_iter().map(|file| file.name).collect();
        let mut happened =
            added.iter().all(|name| names.contains(name)) && !removed.iter().any(|it| names.contains(it));
        for transaction in transactions {
            // A change may be of nothing else.
            happened &= self.counted(&transaction.app_id).await? == transaction.version as u64;
        }
        if happened {
            return Ok(());
        }
        // Into a bucket a commit that failed may still come; a file that is not there any more never.
        if self.place.local().is_some() || matches!(error, DeltaError::Gone { .. }) {
            self.discard(&added).await;
        }
        Err(error)
    }

    /// After a commit that failed: reads the table. One that is seen in a folder although it failed may not be on the disk
    /// yet, and nothing may rely on it before; one in a bucket is, once it is seen.
    pub async fn look_again(&mut self) -> Result<(), DeltaError> {
        self.refresh().await?;
        let Some((folder, files)) = self.place.local() else { return Ok(()) };
        let synced = files.sync_folder(&folder.join(DELTA_LOG));
        synced.map_err(|source| DeltaError::Folder { table: self.table.name(), source })?;
        self.is_uncertain = false;
        Ok(())
    }

    /// Says, as part of a commit, that the table holds the log's rows up to there.
    pub fn transaction(&self, position: Position) -> Transaction {
        Transaction::new(&self.application, position.0 as i64)
    }

    /// After a checkpoint. What fails is tried again after the next one: the commit has happened.
    async fn tidy(&mut self) {
        let done = async {
            self.delta = history::reread(&self.delta).await?;
            history::shorten(&self.delta, history::VERSIONS_MAX).await
        };
        if let Err(error) = done.await {
            tracing::warn!(
                table = self.table.name(),
                error = &error as &dyn std::error::Error,
                "the table's log cannot be shortened now"
            );
        }
    }

    /// These of the table's files; all of them, or it fails.
    fn files(&self, names: &[String]) -> Result<Vec<LogicalFileView>, DeltaError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let state = self.delta.snapshot().map_err(|source| failed("read", self.table, source))?;
        let mut files = Vec::with_capacity(names.len());
        for file in state.log_data().iter() {
            if names.contains(file.object_store_path().as_ref()) {
                files.push(file);
            }
        }
        if files.len() < names.len() {
            return Err(DeltaError::Gone { table: self.table.name(), files: names.len() - files.len() });
        }
        Ok(files)
    }

    fn unwritten(&self, source: WriteError) -> DeltaError {
        DeltaError::Write { table: self.table.name(), source }
    }

    /// Deletes files that no version will ever name, as far as that succeeds.
    pub async fn discard(&self, names: &[String]) {
        for name in names {
            if let Err(error) = self.place.store().delete(&self.place.file(name)).await {
                tracing::warn!(
                    table = self.table.name(),
                    name,
                    error = &error as &dyn std::error::Error,
                    "a file that is not needed stays until it is cleared away with others of its kind"
                );
            }
        }
    }

    /// Reads what others or a commit that was not noticed have added.
    pub async fn refresh(&mut self) -> Result<(), DeltaError> {
        self.delta = history::reread(&self.delta).await.map_err(|source| failed("refresh", self.table, source))?;
        self.gone = self.read_gone().await?;
        Ok(())
    }

    /// The files of the present version.
    pub fn cold(&self) -> Result<ColdTable, DeltaError> {
        let state = self.delta.snapshot().map_err(|source| failed("read", self.table, source))?;
        let root = self.place.path();
        let store: Arc<str> = Arc::from(self.place.store_url());
        let mut files = Vec::new();
        for file in state.log_data().iter() {
            if file.deletion_vector_descriptor().is_some() {
                return Err(DeltaError::DeletionVectors { table: self.table.name() });
            }
            let name = file.object_store_path().to_string();
            files.push(ColdFile {
                store: Arc::clone(&store),
                path: format!("{root}/{name}"),
                pending: Arc::default(),
                masked: 0,
                name,
                bytes: u64::try_from(file.size()).unwrap_or(0),
                rows: file.num_records().unwrap_or(0) as u64,
                modified_ms: file.modification_time(),
                archived: false,
                timestamps: file.stats().and_then(|stats| timestamp_bounds(&stats)),
            });
        }
        Ok(ColdTable::new(Some(state.version() as i64), files, self.gone.retained))
    }
}

/// A local folder is made, and rid of a torn last commit. A bucket has neither.
fn prepare(place: &Place, table: Table) -> Result<(), DeltaError> {
    let Some((folder, files)) = place.local() else { return Ok(()) };
    let fail = |source| DeltaError::Folder { table: table.name(), source };
    make_folder(&**files, &folder).map_err(fail)?;
    if let Some(aside) = torn::set_aside(&**files, &folder).map_err(fail)? {
        tracing::error!(table = table.name(), aside = %aside.display(),
            "the last commit was torn and is set aside; its rows are read from the log again");
    }
    Ok(())
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
    let bounded = table.columns().iter().filter(|column| has_bounds(column.kind)).map(|column| column.name);
    let bounded = bounded.collect::<Vec<_>>().join(",");
    let properties = history::properties().into_iter().chain([("delta.dataSkippingStatsColumns", bounded)]);
    delta
        .create()
        .with_table_name(table.name())
        .with_columns(columns)
        .with_partition_columns([DATE])
        .with_configuration(properties.map(|(name, value)| (name, Some(value))))
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

/// In one batch, sorted by time.
pub(crate) fn arranged(table: Table, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let batch = &concat_batches(&file_schema(table), batches)?;
    let at = batch.schema().index_of(TIMESTAMP)?;
    let order = sort_to_indices(batch.column(at), None, None)?;
    take_record_batch(batch, &order)
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

fn failed(doing: &'static str, table: Table, source: DeltaTableError) -> DeltaError {
    DeltaError::Table { doing, table: table.name(), source: Box::new(source) }
}

#[cfg(test)]
pub(crate) use history::VERSIONS_MAX;
#[cfg(test)]
pub(crate) mod tests;
