//! Answers questions: checks one, takes from rows in memory and from files what they have to say, and joins it.
//!
//! Runs on threads of its own, so that neither SQL nor ingest waits for it or makes it wait.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use ridealong_common::distinct;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_engine::datafusion::common::DataFusionError;
use ridealong_engine::deltalake::logstore::object_store::Error as StoreError;
use ridealong_lake::{ColdTable, Lake};
use ridealong_model::budget::{Account, Budget, Share};
use ridealong_model::metrics::{MetricsAnswer, MetricsEngine, MetricsError, MetricsRequest, TIMEOUT, Work};
use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::Disk;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::answer::{self, Answering};
use crate::cache::{Answered, Answers, Place};
use crate::cells::family::Group;
use crate::cells::grid::Grid;
use crate::cells::kernel::{FoldError, Window, fold, picked};
use crate::cut;
use crate::edges::Edges;
use crate::hot::{HotTables, grid_for, mapped};
use crate::question::{Part, Question};
use crate::reader::Reader;
use crate::shelf::{Rolled, Shelf, ShelfError, builder};

/// Rows acknowledged before a question are readable within this, or it is answered 503.
const PATIENCE: Duration = Duration::from_secs(1);
/// Questions at once; more wait for a moment and are then refused.
const QUESTIONS_MAX: usize = 256;
/// Groups that an answer may have before it is cut to its rows: each takes memory while it is computed.
const GROUPS_MAX: usize = 200_000;
/// What is off by so much at most: the latency sketch.
const LATENCY_ERROR: f64 = 0.01;

pub struct MetricsOptions {
    /// Threads that questions share.
    pub threads: usize,
    /// Rollups kept in memory.
    pub memory_bytes: u64,
    /// Where rollups are kept, beside the state.
    pub disk: Arc<dyn Disk>,
    pub budget: Arc<Budget>,
}

/// Metrics of all tenants.
pub struct Metrics {
    inner: Arc<Inner>,
    handle: Handle,
    runtimes: Mutex<Option<[Runtime; 2]>>,
    slots: Arc<Semaphore>,
}

struct Inner {
    lake: Lake,
    shelf: Arc<Shelf>,
    hot: Arc<HotTables>,
    answers: Answers,
    edges: Edges,
    budget: Arc<Budget>,
}

impl Metrics {
    pub fn start(lake: Lake, options: MetricsOptions) -> std::io::Result<Self> {
        let answering =
            Builder::new_multi_thread().worker_threads(options.threads).thread_name("metrics").enable_all().build()?;
        let building = builder::runtime()?;
        let budget = Arc::clone(&options.budget);
        let shelf = Shelf::new(Reader::new(lake.clone()), options.disk, options.memory_bytes, options.budget);
        let (shelf, hot) = (Arc::new(shelf), Arc::new(HotTables::default()));
        building.spawn(builder::run(lake.clone(), Arc::clone(&shelf), Arc::clone(&hot)));
        let handle = answering.handle().clone();
        let edges = Edges::new(Arc::clone(&budget));
        let inner = Arc::new(Inner { lake, shelf, hot, answers: Answers::new(), edges, budget });
        let slots = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Ok(Self { inner, handle, runtimes: Mutex::new(Some([answering, building])), slots })
    }

    /// Abandons what runs. May be called from a runtime's thread.
    pub fn close(&self) {
        for runtime in self.runtimes.lock().take().into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

#[async_trait]
impl MetricsEngine for Metrics {
    async fn answer(&self, tenant: &TenantId, request: MetricsRequest) -> Result<MetricsAnswer, MetricsError> {
        if !self.inner.budget.has_room(Account::Rollups, 0) {
            self.inner.budget.count_refusal();
            return Err(MetricsError::Busy);
        }
        let slot = tokio::time::timeout(PATIENCE, Arc::clone(&self.slots).acquire_owned()).await;
        let Ok(Ok(slot)) = slot else { return Err(MetricsError::Busy) };
        let (inner, tenant) = (Arc::clone(&self.inner), tenant.to_shared());
        let mut task = AbortOnDrop(self.handle.spawn(async move {
            let _slot = slot;
            inner.answer(tenant, request).await
        }));
        match tokio::time::timeout(TIMEOUT, &mut task.0).await {
            Err(_) => Err(MetricsError::TimedOut(TIMEOUT)),
            Ok(Err(error)) => Err(MetricsError::Failed(format!("its task ended early: {error}"))),
            Ok(Ok(answer)) => answer,
        }
    }
}

/// Stops the work when nobody waits for it any more.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a question has come to so far.
struct Progress {
    grids: Vec<Answering>,
    work: Work,
    sources: BTreeSet<&'static str>,
    share: Share,
}

impl Inner {
    async fn answer(&self, tenant: Arc<str>, request: MetricsRequest) -> Result<MetricsAnswer, MetricsError> {
        let asked = Instant::now();
        let question = Question::check(&request, Timestamp::now())?;
        let name: Arc<str> = normalised(&tenant, &request).into();
        let place = self.answers.place(&name).await;
        if let (Some(ttl), Some(made)) = (request.cache_ttl, place.made())
            && made.since.elapsed() <= ttl
        {
            return Ok(again(&made, asked, true));
        }
        if !self.lake.caught_up(PATIENCE).await {
            return Err(MetricsError::Behind);
        }
        let running = place.running.lock().await;
        if let Some(made) = place.made() {
            if made.since >= asked {
                return Ok(again(&made, asked, false));
            }
            if made.stamp == self.stamp(&tenant, &question) {
                let fresh = Answered { since: asked, answer: made.answer.clone(), stamp: made.stamp };
                return Ok(again(&fresh, asked, true));
            }
        }
        let answered = Arc::new(self.compute(&tenant, &question, asked).await?);
        self.keep(name, &place, &answered).await;
        drop(running);
        Ok(again(&answered, asked, false))
    }

    async fn keep(&self, name: Arc<str>, place: &Arc<Place>, answered: &Arc<Answered>) {
        self.answers.put(name, place, Arc::clone(answered)).await;
    }

    /// Of what the question would be computed from now.
    fn stamp(&self, tenant: &Arc<str>, question: &Question) -> u64 {
        let mut state = stamping(question);
        for part in &question.parts {
            let hot = self.hot.table(tenant, part.table);
            let mut hot = hot.lock();
            hot.refresh(&self.lake, tenant, part.table);
            hot.stamp(part.window, &mut state);
        }
        state.finish()
    }

    async fn compute(&self, tenant: &Arc<str>, question: &Question, asked: Instant) -> Result<Answered, MetricsError> {
        let mut progress = Progress {
            grids: Vec::new(),
            work: Work::default(),
            sources: BTreeSet::new(),
            share: self.budget.share(Account::Rollups),
        };
        let mut state = stamping(question);
        for (at, part) in question.parts.iter().enumerate() {
            let first = progress.grids.len();
            let cold = self.add_hot(tenant, question, at, &mut state, &mut progress)?;
            for file in &cold.files {
                if cut::overlap(part.window, file.timestamps.unwrap_or(cut::UNKNOWN)) {
                    let file = Rolled::new(tenant, part.table, file);
                    progress.work.files += 1;
                    self.add_file(&file, part, first, &mut progress).await?;
                    self.check_size(&mut progress)?;
                }
            }
        }
        let rows = answer::rows(question, &progress.grids);
        let is_distinct_exact = answer::is_exact(&progress.grids);
        let has_latency = progress.grids.iter().any(|each| each.grid.group == Group::Latency);
        let (from, to) = question.answered();
        let answer = MetricsAnswer {
            rows_json: rows.json,
            rows: rows.count,
            partial: rows.partial,
            execution: Duration::ZERO,
            freshness: Duration::ZERO,
            query_id: String::new(),
            cache_hit: false,
            source: progress.sources.into_iter().collect::<Vec<_>>().join("+"),
            range: (Timestamp(from), Timestamp(to)),
            work: progress.work,
            latency_error: has_latency.then_some(LATENCY_ERROR),
            distinct_error: is_distinct_exact.map(|is_exact| if is_exact { 0.0 } else { distinct::ERROR }),
        };
        Ok(Answered { answer, stamp: state.finish(), since: asked })
    }

    /// Adds what rows in memory have to say to a part, and gives the files that belong to them.
    fn add_hot(
        &self,
        tenant: &Arc<str>,
        question: &Question,
        at: usize,
        state: &mut impl Hasher,
        progress: &mut Progress,
    ) -> Result<Arc<ColdTable>, MetricsError> {
        let part = &question.parts[at];
        let hot = self.hot.table(tenant, part.table);
        let mut hot = hot.lock();
        hot.refresh(&self.lake, tenant, part.table);
        hot.stamp(part.window, state);
        for group in &part.groups {
            let mut grid = grid_for(part, *group, question.buckets);
            let by_row = hot.add_to(&mut grid, part, &mut progress.work).map_err(failed)?;
            let has_family = cut::families(part, *group).any(|family| grid.buckets.consist_of(family.finest));
            progress.sources.insert(if by_row || !has_family { "rows" } else { source(part.table) });
            progress.grids.push(Answering { part: at, grid });
        }
        self.check_size(progress)?;
        Ok(Arc::clone(&hot.cold))
    }

    /// Adds what a file has to say to the grids of a part, which begin at `first`.
    async fn add_file(
        &self,
        file: &Rolled,
        part: &Part,
        first: usize,
        progress: &mut Progress,
    ) -> Result<(), MetricsError> {
        // Of each window, the grids that want its rows.
        let mut by_row: Vec<(Window, Vec<usize>)> = Vec::new();
        for at in first..progress.grids.len() {
            let windows = self.add_cells(file, part, &mut progress.grids[at].grid, &mut progress.work).await?;
            for window in windows {
                match by_row.iter_mut().find(|(same, _)| *same == window) {
                    Some((_, grids)) => grids.push(at),
                    None => by_row.push((window, vec![at])),
                }
            }
        }
        for (window, grids) in by_row {
            progress.sources.insert("rows");
            self.add_rows(file, part, window, &grids, progress).await?;
        }
        Ok(())
    }

    /// Adds cells, and says of which times rows have to be read.
    async fn add_cells(
        &self,
        file: &Rolled,
        part: &Part,
        grid: &mut Grid,
        work: &mut Work,
    ) -> Result<Vec<Window>, MetricsError> {
        let bounds = file.file.timestamps.unwrap_or(cut::UNKNOWN);
        for family in cut::families(part, grid.group) {
            if !family.finest.and_up().iter().any(|level| grid.buckets.consist_of(*level)) {
                continue;
            }
            let blocks = self.shelf.blocks(file, family).await.map_err(unanswered)?;
            let levels = cut::usable(blocks.iter().map(|(level, _)| *level), grid.buckets);
            if levels.is_empty() {
                continue;
            }
            let taken = cut::cut(part.window, bounds, &levels);
            for (level, from, to) in taken.cells {
                let of_level = blocks.iter().filter(|(of, block)| *of == level && block.overlaps(level, from, to));
                for block in of_level {
                    let kept = self.shelf.section(file, family, *block).await.map_err(unanswered)?;
                    let mapped = mapped(grid, &kept.section.tuples, family, part);
                    work.cells += kept.section.merge_into(grid, &mapped, from, to);
                }
            }
            return Ok(taken.rows);
        }
        Ok(vec![part.window])
    }

    async fn add_rows(
        &self,
        file: &Rolled,
        part: &Part,
        window: Window,
        grids: &[usize],
        progress: &mut Progress,
    ) -> Result<(), MetricsError> {
        let mut columns: BTreeSet<&'static str> = ["timestamp"].into();
        columns.extend(&part.dimensions);
        columns.extend(part.filters.iter().map(|filter| filter.column.name));
        columns.extend(grids.iter().flat_map(|at| progress.grids[*at].grid.group.columns(part.table)));
        let mut see = |batch: &RecordBatch| {
            let rows = picked(batch, window, &part.filters).map_err(failed)?;
            progress.work.rows += rows.len() as u64;
            for at in grids {
                fold(&mut progress.grids[*at].grid, part.table, &part.dimensions, batch, &rows).map_err(failed)?;
            }
            self.check_size(progress).map_err(Unread::Answered)
        };
        if let Some(minute) = Edges::minute(window) {
            let minute = self.edges.rows(&self.shelf.reader, file, minute, &columns).await.map_err(unanswered)?;
            return minute.batches.iter().try_for_each(see).map_err(MetricsError::from);
        }
        let read = self.shelf.reader.read(part.table, &file.file, &columns, window, &mut see);
        read.await.map_err(MetricsError::from)
    }

    /// Bounds what an answer may take while it is computed.
    fn check_size(&self, progress: &mut Progress) -> Result<(), MetricsError> {
        let groups = progress.grids.iter().map(|each| each.grid.len()).max().unwrap_or(0);
        if groups > GROUPS_MAX {
            return Err(MetricsError::TooManyGroups(GROUPS_MAX));
        }
        let bytes: usize = progress.grids.iter().map(|each| each.grid.bytes()).sum();
        let more = (bytes as u64).saturating_sub(progress.share.bytes());
        if more > 0 && !progress.share.try_grow(more) {
            self.budget.count_refusal();
            return Err(MetricsError::Busy);
        }
        Ok(())
    }
}

/// Why rows of a file were not read to their end.
enum Unread {
    Reading(DataFusionError),
    Answered(MetricsError),
}

impl From<Unread> for MetricsError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Answered(error) => error,
            Unread::Reading(error) => unanswered(ShelfError::Read(error)),
        }
    }
}

impl From<DataFusionError> for Unread {
    fn from(error: DataFusionError) -> Self {
        Self::Reading(error)
    }
}

impl From<MetricsError> for Unread {
    fn from(error: MetricsError) -> Self {
        Self::Answered(error)
    }
}

/// Where a part's numbers come from when they need not be read row by row.
fn source(table: Table) -> &'static str {
    match table {
        Table::RequestSummaries => "summaries",
        _ => "rollups",
    }
}

/// The same for the same question of the same range.
fn stamping(question: &Question) -> impl Hasher + use<> {
    let mut state = FixedState::with_seed(0).build_hasher();
    state.write_i64(question.range.0);
    state.write_i64(question.range.1);
    state
}

/// A question as text, the same for the same question.
fn normalised(tenant: &str, request: &MetricsRequest) -> String {
    let MetricsRequest { metrics, dimensions, filters, from, to, granularity, cache_ttl: _ } = request;
    format!("{tenant} {metrics:?} {dimensions:?} {filters:?} {from:?} {to:?} {granularity:?}")
}

/// An answer, given now.
fn again(made: &Answered, asked: Instant, cache_hit: bool) -> MetricsAnswer {
    MetricsAnswer {
        execution: asked.elapsed(),
        freshness: made.since.elapsed(),
        query_id: Uuid::now_v7().to_string(),
        cache_hit,
        ..made.answer.clone()
    }
}

fn failed(error: FoldError) -> MetricsError {
    MetricsError::Failed(error.to_string())
}

fn unanswered(error: ShelfError) -> MetricsError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        match error.downcast_ref::<StoreError>() {
            Some(StoreError::NotFound { .. }) | None => {}
            Some(store) => return MetricsError::Unread(store.to_string()),
        }
        cause = error.source();
    }
    MetricsError::Failed(chain(&error))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests;
