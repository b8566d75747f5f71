//! Which numbers of one producer are held: a sorted list of runs that neither touch nor overlap.

use std::ops::Range;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Intervals {
    runs: Vec<Range<u64>>,
}

impl Intervals {
    pub fn runs(&self) -> &[Range<u64>] {
        &self.runs
    }

    /// Where the highest run ends; 0 when nothing is held.
    pub fn end(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// The runs that share a number with `range`.
    pub fn overlapping(&self, range: &Range<u64>) -> &[Range<u64>] {
        let from = self.runs.partition_point(|run| run.end <= range.start);
        let count = self.runs[from..].partition_point(|run| run.start < range.end);
        &self.runs[from..from + count]
    }

    pub fn contains(&self, range: &Range<u64>) -> bool {
        matches!(self.overlapping(range), [run] if run.start <= range.start && range.end <= run.end)
    }

    /// Adds a range that is not empty; returns how many of its numbers are new.
    pub fn insert(&mut self, range: Range<u64>) -> u64 {
        debug_assert!(range.start < range.end, "an empty range is no entry");
        let known: u64 =
            self.overlapping(&range).iter().map(|run| run.end.min(range.end) - run.start.max(range.start)).sum();
        let from = self.runs.partition_point(|run| run.end < range.start);
        let to = from + self.runs[from..].partition_point(|run| run.start <= range.end);
        let mut merged = range.clone();
        if from < to {
            merged.start = merged.start.min(self.runs[from].start);
            merged.end = merged.end.max(self.runs[to - 1].end);
        }
        self.runs.splice(from..to, [merged]);
        range.end - range.start - known
    }

    /// Treats the oldest gap between two runs as if it were held; returns its numbers.
    pub fn close_oldest_gap(&mut self) -> u64 {
        let [first, second, ..] = self.runs.as_slice() else { return 0 };
        let (gap, merged) = (second.start - first.end, first.start..second.end);
        self.runs.splice(..2, [merged]);
        gap
    }

    /// What is not held below `end`, in order.
    pub fn missing(&self, end: u64) -> impl Iterator<Item = Range<u64>> + '_ {
        let starts = std::iter::once(0).chain(self.runs.iter().map(|run| run.end));
        let ends = self.runs.iter().map(|run| run.start).chain(std::iter::once(end));
        starts.zip(ends).filter(|(start, end)| start < end).map(|(start, end)| start..end)
    }

    /// Runs as they were stored; None when they are not sorted and apart.
    pub fn restore(runs: Vec<Range<u64>>) -> Option<Self> {
        let sound =
            runs.iter().all(|run| run.start < run.end) && runs.windows(2).all(|pair| pair[0].end < pair[1].start);
        sound.then_some(Self { runs })
    }
}

/// What of `range` is in none of the `held` ranges, which come in any order.
pub(super) fn uncovered<'a>(range: Range<u64>, held: impl Iterator<Item = &'a Range<u64>>) -> Vec<Range<u64>> {
    let mut left = vec![range];
    for held in held {
        let overlaps = |part: &Range<u64>| held.start < part.end && part.start < held.end;
        if left.iter().any(overlaps) {
            left = left
                .iter()
                .flat_map(|part| {
                    let below = part.start..part.end.min(held.start.max(part.start));
                    let above = part.start.max(held.end.min(part.end))..part.end;
                    if overlaps(part) { [below, above] } else { [part.clone(), 0..0] }
                })
                .filter(|part| part.start < part.end)
                .collect();
        }
    }
    left
}

#[cfg(test)]
mod tests;
