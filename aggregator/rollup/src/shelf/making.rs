//! Makes rollups of a file: one pass over its rows, then each level from the one below.

use std::collections::BTreeSet;

use ridealong_engine::datafusion::arrow::array::RecordBatch;

use super::{Rolled, ShelfError};
use crate::cells::family::{Family, Level};
use crate::cells::grid::{Buckets, Grid};
use crate::cells::kernel::{FoldError, fold, picked};
use crate::cells::section::Section;
use crate::reader::{ALWAYS, Reader};

/// Cells pay when there are so many times more rows.
const ROWS_A_CELL: u64 = 4;
/// Opening a file costs as much as merging so many cells.
const CELLS_FREE: u64 = 4_096;

/// A family of one file, at the levels that pay.
pub struct Made {
    pub family: &'static Family,
    pub sections: Vec<Section>,
}

/// A grid that takes to longer buckets when it grows too large.
struct Growing {
    family: &'static Family,
    grid: Grid,
    /// None when not even days pay.
    level: Option<Level>,
}

/// One pass for all of the families, which are of the file's table.
pub async fn make(reader: &Reader, file: &Rolled, families: &[&'static Family]) -> Result<Vec<Made>, ShelfError> {
    let cells_max = (file.file.rows / ROWS_A_CELL).max(CELLS_FREE);
    let mut columns: BTreeSet<&'static str> = ["timestamp"].into();
    for family in families {
        columns.extend(family.dimensions);
        columns.extend(family.group.columns(file.table));
    }
    let mut growing: Vec<Growing> = families.iter().map(|family| Growing::new(family)).collect();
    reader
        .read(file.table, &file.file, &columns, ALWAYS, |batch| -> Result<(), ShelfError> {
            let rows = picked(batch, ALWAYS, &[])?;
            for each in &mut growing {
                each.add(batch, &rows, cells_max)?;
            }
            Ok(())
        })
        .await?;
    Ok(growing.into_iter().map(|each| each.finish(cells_max)).collect())
}

impl Growing {
    fn new(family: &'static Family) -> Self {
        let grid = Grid::new(family.group, family.dimensions.len(), Buckets::of(family.finest));
        Self { family, grid, level: Some(family.finest) }
    }

    fn add(&mut self, batch: &RecordBatch, rows: &[u32], cells_max: u64) -> Result<(), FoldError> {
        let Some(level) = self.level else { return Ok(()) };
        fold(&mut self.grid, self.family.table, self.family.dimensions, batch, rows)?;
        if self.grid.len() as u64 > cells_max {
            self.level = level.and_up().get(1).copied();
            self.grid = match self.level {
                Some(level) => self.grid.coarser(level),
                None => Grid::new(self.family.group, 0, Buckets::ONE),
            };
        }
        Ok(())
    }

    fn finish(self, cells_max: u64) -> Made {
        let mut sections = Vec::new();
        let Some(finest) = self.level else { return Made { family: self.family, sections } };
        let mut grid = self.grid;
        for level in finest.and_up() {
            if *level != finest {
                grid = grid.coarser(*level);
            }
            if grid.len() as u64 <= cells_max {
                sections.extend(Section::blocks(&grid, *level));
            }
        }
        Made { family: self.family, sections }
    }
}
