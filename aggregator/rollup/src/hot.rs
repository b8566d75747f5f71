//! Rows in memory, folded as they come: a question looks at cells, not at rows that others have looked at before.
//!
//! Batches are gathered into chunks. A chunk whose batches are all still there keeps what was folded of it; one that has
//! lost some to a flush, or whose batches were replaced by a mutation, is forgotten, and the batches that are left are
//! folded anew. Nothing is folded for a family that nobody asks for.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::compute::{max, min};
use ridealong_engine::datafusion::arrow::datatypes::TimestampMicrosecondType;
use ridealong_lake::{ColdTable, HotMark, Lake, Newer};
use ridealong_model::metrics::Work;

use crate::cells::family::{Family, Group};
use crate::cells::grid::{Buckets, Grid, Mapped};
use crate::cells::kernel::{FoldError, Window, fold, picked};
use crate::cut::{self, Bounds};
use crate::question::Part;

/// Rows of a chunk: what is folded anew when one of its batches is flushed.
const CHUNK_ROWS: usize = 1 << 17;
/// Families that nobody has asked for so long are folded no more.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// A table of a tenant.
type Of = (Arc<str>, Table);
type Shared = Arc<Mutex<HotTable>>;

/// The hot rows of all tables that were asked for.
#[derive(Default)]
pub struct HotTables {
    tables: Mutex<HashMap<Of, Shared>>,
}

/// Of one table of one tenant.
#[derive(Default)]
pub struct HotTable {
    mark: HotMark,
    chunks: Vec<Chunk>,
    chunks_made: u64,
    pub cold: Arc<ColdTable>,
    /// When each family was last asked for.
    asked: HashMap<u8, Instant>,
}

struct Chunk {
    number: u64,
    batches: Vec<Held>,
    rows: usize,
    bounds: Bounds,
    folded: HashMap<u8, Folded>,
}

struct Held {
    rows: RecordBatch,
    bounds: Bounds,
}

struct Folded {
    batches: usize,
    grid: Grid,
}

impl HotTables {
    /// A table, which need not exist.
    pub fn table(&self, tenant: &Arc<str>, table: Table) -> Shared {
        Arc::clone(self.tables.lock().entry((Arc::clone(tenant), table)).or_default())
    }

    pub fn all(&self) -> Vec<(Of, Shared)> {
        self.tables.lock().iter().map(|(key, table)| (key.clone(), Arc::clone(table))).collect()
    }
}

impl HotTable {
    /// Takes in what is new.
    pub fn refresh(&mut self, lake: &Lake, tenant: &str, table: Table) {
        if let Some(newer) = lake.newer(tenant, table, self.mark) {
            self.take(newer);
        }
    }

    fn take(&mut self, newer: Newer) {
        let Newer { hot, is_all, cold, mark } = newer;
        (self.cold, self.mark) = (cold, mark);
        let hot = if is_all { self.keep(hot) } else { hot };
        for rows in hot.into_iter().filter(|rows| rows.num_rows() > 0) {
            let held = Held::new(rows);
            match self.chunks.last_mut().filter(|chunk| chunk.rows < CHUNK_ROWS) {
                Some(chunk) => chunk.push(held),
                None => {
                    self.chunks_made += 1;
                    self.chunks.push(Chunk::of(self.chunks_made, held));
                }
            }
        }
    }

    /// Keeps the chunks that are whole; gives back the batches that are in none.
    fn keep(&mut self, hot: Vec<RecordBatch>) -> Vec<RecordBatch> {
        let there: HashSet<Vec<usize>, RandomState> = hot.iter().map(identity).collect();
        self.chunks.retain(|chunk| chunk.batches.iter().all(|held| there.contains(&identity(&held.rows))));
        let kept = self.chunks.iter().flat_map(|chunk| &chunk.batches).map(|held| identity(&held.rows));
        let kept: HashSet<Vec<usize>, RandomState> = kept.collect();
        hot.into_iter().filter(|rows| !kept.contains(&identity(rows))).collect()
    }

    /// Differs when rows of a window may differ.
    pub fn stamp(&self, window: Window, state: &mut impl Hasher) {
        for chunk in self.chunks.iter().filter(|chunk| cut::overlap(window, chunk.bounds)) {
            (chunk.number, chunk.batches.len()).hash(state);
        }
        for file in &self.cold.files {
            if cut::overlap(window, file.timestamps.unwrap_or(cut::UNKNOWN)) {
                file.name.hash(state);
                file.pending.iter().for_each(|mutation| mutation.number.hash(state));
            }
        }
    }

    /// Adds to a grid what rows in memory have to say. Whether rows were read one by one for want of a family.
    pub fn add_to(&mut self, grid: &mut Grid, part: &Part, work: &mut Work) -> Result<bool, FoldError> {
        let families = cut::families(part, grid.group);
        let family = families.into_iter().find(|family| grid.buckets.consist_of(family.finest));
        if let Some(family) = family {
            self.asked.insert(family.number, Instant::now());
        }
        let mut by_row = false;
        for chunk in self.chunks.iter_mut().filter(|chunk| cut::overlap(part.window, chunk.bounds)) {
            match family {
                Some(family) => chunk.add_cells(family, grid, part, work)?,
                None => {
                    by_row = true;
                    chunk.add_rows(part.window, grid, part, work)?;
                }
            }
        }
        Ok(by_row)
    }

    /// Folds what is new for the families that are asked for, so that a question need not.
    pub fn keep_up(&mut self) -> Result<(), FoldError> {
        self.asked.retain(|_, last| last.elapsed() < FORGOTTEN_AFTER);
        let asked = &self.asked;
        for chunk in &mut self.chunks {
            chunk.folded.retain(|number, _| asked.contains_key(number));
            for family in asked.keys().filter_map(|number| Family::from_number(*number)) {
                chunk.folded(family)?;
            }
        }
        Ok(())
    }
}

impl Chunk {
    fn of(number: u64, held: Held) -> Self {
        let (rows, bounds) = (held.rows.num_rows(), held.bounds);
        Self { number, batches: vec![held], rows, bounds, folded: HashMap::new() }
    }

    fn push(&mut self, held: Held) {
        self.rows += held.rows.num_rows();
        self.bounds = (self.bounds.0.min(held.bounds.0), self.bounds.1.max(held.bounds.1));
        self.batches.push(held);
    }

    fn folded(&mut self, family: &Family) -> Result<&Grid, FoldError> {
        let folded = self.folded.entry(family.number).or_insert_with(|| Folded {
            batches: 0,
            grid: Grid::new(family.group, family.dimensions.len(), Buckets::of(family.finest)),
        });
        while let Some(held) = self.batches.get(folded.batches) {
            let rows = picked(&held.rows, (i64::MIN, i64::MAX), &[])?;
            fold(&mut folded.grid, family.table, family.dimensions, &held.rows, &rows)?;
            folded.batches += 1;
        }
        Ok(&folded.grid)
    }

    fn add_cells(&mut self, family: &Family, grid: &mut Grid, part: &Part, work: &mut Work) -> Result<(), FoldError> {
        let taken = cut::cut(part.window, self.bounds, &[family.finest]);
        if !taken.cells.is_empty() {
            let cells = self.folded(family)?;
            let mapped = mapped(grid, &cells.tuples, family, part);
            for (_, from, to) in &taken.cells {
                work.cells += grid.merge_from(cells, &mapped, *from, *to);
            }
        }
        taken.rows.into_iter().try_for_each(|window| self.add_rows(window, grid, part, work))
    }

    fn add_rows(&self, window: Window, grid: &mut Grid, part: &Part, work: &mut Work) -> Result<(), FoldError> {
        for held in self.batches.iter().filter(|held| cut::overlap(window, held.bounds)) {
            let rows = picked(&held.rows, window, &part.filters)?;
            work.rows += rows.len() as u64;
            fold(grid, part.table, &part.dimensions, &held.rows, &rows)?;
        }
        Ok(())
    }
}

impl Held {
    fn new(rows: RecordBatch) -> Self {
        let times = rows.column_by_name("timestamp").and_then(|column| column.as_primitive_opt());
        let oldest = times.and_then(min::<TimestampMicrosecondType>);
        let newest = times.and_then(max::<TimestampMicrosecondType>);
        Self { bounds: oldest.zip(newest).unwrap_or(cut::UNKNOWN), rows }
    }
}

/// A batch by where its columns lie. Nothing else can lie there while the batch is held; a mutation that sets one column
/// leaves the others where they are, so all count.
fn identity(rows: &RecordBatch) -> Vec<usize> {
    rows.columns().iter().map(|column| Arc::as_ptr(column).cast::<()>() as usize).collect()
}

/// The tuples of a family that a part wants.
pub fn mapped(grid: &mut Grid, tuples: &crate::cells::dictionary::Tuples, family: &Family, part: &Part) -> Mapped {
    let place = |name: &str| family.dimensions.iter().position(|dimension| *dimension == name);
    let places: Vec<usize> = part.dimensions.iter().filter_map(|name| place(name)).collect();
    debug_assert_eq!(places.len(), part.dimensions.len(), "the family covers the part");
    let filters = part.filters.iter().filter_map(|filter| Some((place(filter.column.name)?, filter)));
    // Of each value once, not of each tuple.
    let passing: Vec<(usize, Vec<bool>)> = filters
        .map(|(at, filter)| (at, tuples.dictionaries()[at].values().iter().map(|value| filter.passes(value)).collect()))
        .collect();
    Mapped::new(grid, tuples, &places, |tuple| {
        passing.iter().all(|(at, passing)| passing[tuples.codes(tuple)[*at] as usize])
    })
}

/// A grid for a part's group.
pub fn grid_for(part: &Part, group: Group, buckets: Buckets) -> Grid {
    Grid::new(group, part.dimensions.len(), buckets)
}
