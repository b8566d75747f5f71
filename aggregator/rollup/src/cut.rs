//! How a range of time is taken out of something that has cells at several levels: long buckets where they fit, shorter
//! ones towards the ends, and rows for what is left.

use ridealong_common::table::Table;

use crate::cells::family::{Family, Level};
use crate::cells::grid::Buckets;
use crate::cells::kernel::Window;
use crate::question::Part;

/// What to take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Whole buckets of a level, from a moment up to another.
    pub cells: Vec<(Level, i64, i64)>,
    pub rows: Vec<Window>,
}

/// Times in something, both ends included, µs.
pub type Bounds = (i64, i64);

pub const UNKNOWN: Bounds = (i64::MIN, i64::MAX);

pub fn overlap(window: Window, bounds: Bounds) -> bool {
    bounds.0 < window.1 && window.0 <= bounds.1
}

/// Cuts a window out of something within bounds. `levels`: those that it has and that may be used, ascending.
pub fn cut(window: Window, bounds: Bounds, levels: &[Level]) -> Cut {
    let mut taken = Cut::default();
    let (mut start, mut end) = window;
    // A window that reaches over an end cuts no bucket there: nothing is beyond.
    if let Some(longest) = levels.last().map(|level| level.micros()) {
        if start <= bounds.0 {
            start = bounds.0.div_euclid(longest) * longest;
        }
        if end > bounds.1 {
            end = (bounds.1.div_euclid(longest) + 1) * longest;
        }
    }
    take(start, end, levels, &mut taken);
    for rows in &mut taken.rows {
        *rows = (rows.0.max(window.0), rows.1.min(window.1));
    }
    taken.rows.retain(|rows| rows.0 < rows.1);
    taken
}

fn take(start: i64, end: i64, levels: &[Level], taken: &mut Cut) {
    if start >= end {
        return;
    }
    let Some((longest, shorter)) = levels.split_last() else {
        taken.rows.push((start, end));
        return;
    };
    let length = longest.micros();
    let first = start.saturating_add(length - 1).div_euclid(length) * length;
    let last = end.div_euclid(length) * length;
    if first >= last {
        return take(start, end, shorter, taken);
    }
    taken.cells.push((*longest, first, last));
    take(start, first, shorter, taken);
    take(last, end, shorter, taken);
}

/// The families that have what a part asks for of a group, the narrowest first.
pub fn families<'a>(
    part: &'a Part,
    group: crate::cells::family::Group,
) -> impl Iterator<Item = &'static Family> + use<'a> {
    let covers = move |family: &&Family| {
        let filtered = part.filters.iter().map(|filter| filter.column.name);
        family.group == group && family.covers(part.dimensions.iter().copied().chain(filtered))
    };
    Family::of_table(part.table as Table).filter(covers)
}

/// Those levels, ascending, whose buckets lie each in one of these.
pub fn usable(levels: impl Iterator<Item = Level>, buckets: Buckets) -> Vec<Level> {
    let mut levels: Vec<Level> = levels.filter(|level| buckets.consist_of(*level)).collect();
    levels.dedup();
    levels
}

#[cfg(test)]
mod tests;
