//! Which files of a table are to be merged: a pure function of what the files are and of the time.
//!
//! A table is cut into *units*, each of which should be one file, or one row of files that follow each other in time when
//! it is large: each day, and of today and yesterday each hour, since the newest rows are read most and small files let
//! them be found without the rest. A file counts to the hour of its newest row; what came late in the same day lies with
//! what it came with until the day is merged.
//!
//! [`unit`] decides within a unit by size, so that late rows do not have a large file rewritten one by one. Only when a
//! table has more files than [`FILES_AIM`], or a few more than its units need, are further units merged, the cheapest for
//! each file that goes first. So after each run a table has at most max([`FILES_AIM`], units + [`SLACK`]) files, as long
//! as a unit fits into a file.

mod unit;

use std::collections::BTreeMap;

use chrono::NaiveDate;

use crate::schema::DATE;
use crate::snapshot::ColdFile;
use crate::write::day_of;

use unit::Extent;
pub(crate) use unit::outputs;

const HOUR_US: i64 = 3_600_000_000;
/// Days by the hour: today and this many before.
const DAYS_BEFORE: i32 = 1;
/// Files of a table that nobody minds.
const FILES_AIM: usize = 120;
/// Files beyond one a unit, in a table of many days. 90 days, 48 hours and these are 150.
const SLACK: usize = 12;
/// How much the upper bound of a file is widened (`ColdFile::timestamps`).
const WIDENED_US: i64 = 999;

/// Files that become one, or one row of files.
#[derive(Clone, Debug)]
pub(crate) struct Merge {
    pub files: Vec<ColdFile>,
    /// A day as a whole: what is written stays.
    pub is_settled: bool,
}

impl Merge {
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// A day, and of a recent one the hour since 1970.
type Key = (i32, Option<i64>);

/// What is due, the newest first. Nothing once it is done: merging what this says, again and again, comes to an end.
pub(crate) fn plan(files: &[ColdFile], now_us: i64) -> Vec<Merge> {
    let mut units: BTreeMap<Key, Vec<Extent>> = BTreeMap::new();
    let mut left_alone = 0;
    for (at, file) in files.iter().enumerate() {
        match unit_of(file, now_us) {
            Some(key) => units.entry(key).or_default().push(extent(at, file)),
            None => left_alone += 1,
        }
    }
    let now_hour = now_us.div_euclid(HOUR_US);
    let mut due: BTreeMap<Key, Vec<Extent>> = BTreeMap::new();
    for (key, extents) in &units {
        let is_open = key.1.is_some_and(|hour| hour >= now_hour);
        let chosen = if is_open { unit::due_while_open(extents) } else { unit::due(extents) };
        if !chosen.is_empty() {
            due.insert(*key, chosen);
        }
    }
    let least = left_alone + units.values().map(|extents| unit::needed(extents)).sum::<usize>();
    let saved: usize = due.values().map(|chosen| gain(chosen)).sum();
    let files_max = FILES_AIM.max(least + SLACK);
    press(&units, &mut due, (files.len() - saved).saturating_sub(files_max));
    let merge = |((_, hour), chosen): (Key, Vec<Extent>)| Merge {
        files: chosen.iter().map(|extent| files[extent.at].clone()).collect(),
        is_settled: hour.is_none(),
    };
    due.into_iter().rev().map(merge).collect()
}

/// There are too many files: units that could wait are merged as well.
fn press(units: &BTreeMap<Key, Vec<Extent>>, due: &mut BTreeMap<Key, Vec<Extent>>, mut excess: usize) {
    let mut more: Vec<(u64, Key, Vec<Extent>)> = Vec::new();
    for (key, extents) in units.iter().filter(|(key, _)| excess > 0 && !due.contains_key(key)) {
        let chosen = unit::squeezed(extents);
        if let Some(price) = unit::bytes(&chosen).checked_div(gain(&chosen) as u64) {
            more.push((price, *key, chosen));
        }
    }
    more.sort_by_key(|(price, key, _)| (*price, *key));
    for (_, key, chosen) in more {
        if excess == 0 {
            return;
        }
        excess = excess.saturating_sub(gain(&chosen));
        due.insert(key, chosen);
    }
}

/// How many files fewer there are afterwards.
fn gain(chosen: &[Extent]) -> usize {
    chosen.len().saturating_sub(outputs(unit::bytes(chosen)))
}

/// Where a file belongs; None for one that is left alone. Files of one unit may be merged with each other, others not.
fn unit_of(file: &ColdFile, now_us: i64) -> Option<Key> {
    // Whoever applies the pending mutations writes the file anew.
    if !file.pending.is_empty() {
        return None;
    }
    let day = day_in(&file.name)?;
    if day < day_of(now_us) - DAYS_BEFORE {
        return Some((day, None));
    }
    let (_, newest_us) = bounds(file)?;
    Some((day, Some(newest_us.div_euclid(HOUR_US))))
}

/// The day that a file's name says; None for one that no program of ours has written.
fn day_in(name: &str) -> Option<i32> {
    let date = name.strip_prefix(DATE)?.strip_prefix('=')?.split('/').next()?;
    let date: NaiveDate = date.parse().ok()?;
    i32::try_from(date.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn bounds(file: &ColdFile) -> Option<(i64, i64)> {
    let (oldest, newest) = file.timestamps?;
    Some((oldest, (newest - WIDENED_US).max(oldest)))
}

fn extent(at: usize, file: &ColdFile) -> Extent {
    let (first, last) = bounds(file).unwrap_or((i64::MIN, i64::MAX));
    Extent { at, first, last, bytes: file.bytes, rows: file.rows }
}

#[cfg(test)]
mod tests;
