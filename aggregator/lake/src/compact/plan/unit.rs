//! Which files of one unit (an hour or a day) are merged.
//!
//! What is weighed is a *run*: a small file, or large files that follow each other in time. A run is merged with those that
//! are lighter when these together weigh at least a fraction of it: otherwise it waits for more of them. Each file weighs
//! [`FILE_WEIGHT`] more than its bytes, which stands for what a file costs whatever its size.
//!
//! So a merge writes at most 1 + [`PATIENCE`] times what is added to its heaviest run, whatever comes late and in however
//! small portions; and as each byte's run at least doubles when it is merged with a heavier one, few such merges follow
//! each other. The simulation in `plan/tests.rs` holds the whole to: bytes written by merges ≤ 10 × (bytes flushed +
//! [`FILE_WEIGHT`] × files flushed), and to 4 × when nothing is late.

use crate::encoding::GROUP_ROWS;
use crate::write::FILE_BYTES_MAX;

/// What a file weighs beside its bytes.
pub(crate) const FILE_WEIGHT: u64 = 1 << 20;
/// A run waits for lighter ones until they weigh 1 / this of it,
const PATIENCE: u64 = 16;
/// of a run of several files 1 / this,
const PATIENCE_LONG: u64 = 4;
/// and in the hour that is not over as much as itself: more will come, and all of it is merged again at its end.
const PATIENCE_OPEN: u64 = 1;
/// Files of the hour that is not over.
const OPEN_FILES: usize = 8;
/// A file of this size needs no company, unless it overlaps with others.
const FULL_BYTES: u64 = 32 << 20;
/// What a merge makes of much: files of about this size, so that none has to be cut at the limit.
const OUTPUT_BYTES: u64 = FILE_BYTES_MAX as u64 / 4 * 3;
/// Compressed bytes in memory at once, of the files that are being merged.
const OPEN_BYTES_MAX: u64 = 256 << 20;
/// Runs that are merged at once.
const RUNS_MAX: usize = 512;

const _: () = assert!(FULL_BYTES < OUTPUT_BYTES / 2, "what a merge of much makes is full");

/// Of a file: which, from when to when, how large.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    pub at: usize,
    pub first: i64,
    pub last: i64,
    pub bytes: u64,
    pub rows: u64,
}

#[derive(Debug)]
struct Run {
    files: Vec<Extent>,
    weight: u64,
}

/// How many files so many bytes become.
pub(crate) fn outputs(bytes: u64) -> usize {
    (bytes.div_ceil(OUTPUT_BYTES)).max(1) as usize
}

pub(super) fn bytes(files: &[Extent]) -> u64 {
    files.iter().map(|file| file.bytes).sum()
}

/// The files to merge of a unit to which only late rows are added.
pub(super) fn due(files: &[Extent]) -> Vec<Extent> {
    let patience = |run: &Run| if run.files.len() > 1 { PATIENCE_LONG } else { PATIENCE };
    merged(lightest(files, patience))
}

/// The files to merge of a unit to which rows are being added.
pub(super) fn due_while_open(files: &[Extent]) -> Vec<Extent> {
    if files.len() <= OPEN_FILES { Vec::new() } else { merged(lightest(files, |_| PATIENCE_OPEN)) }
}

/// All of them that a merge can do something for.
pub(super) fn squeezed(files: &[Extent]) -> Vec<Extent> {
    merged(runs(files))
}

/// How many files a unit has after it has been squeezed.
pub(super) fn needed(files: &[Extent]) -> usize {
    let squeezed = squeezed(files);
    if squeezed.is_empty() { files.len() } else { files.len() - squeezed.len() + outputs(bytes(&squeezed)) }
}

/// The runs, from the lightest to the heaviest for which it is time.
fn lightest(files: &[Extent], patience: impl Fn(&Run) -> u64) -> Vec<Run> {
    let mut runs = runs(files);
    let (mut lighter, mut count) = (0, 0);
    for (at, run) in runs.iter().enumerate() {
        if at > 0 && run.weight <= patience(run) * lighter {
            count = at + 1;
        }
        lighter += run.weight;
    }
    runs.truncate(count);
    runs
}

/// A unit's runs, the lightest first.
fn runs(files: &[Extent]) -> Vec<Run> {
    let mut files = files.to_vec();
    files.sort_by_key(|file| (file.first, file.last));
    let (mut runs, mut long): (Vec<Run>, Vec<Run>) = (Vec::new(), Vec::new());
    for file in files {
        let new = Run { files: vec![file], weight: file.bytes + FILE_WEIGHT };
        if file.bytes < FULL_BYTES {
            runs.push(new);
            continue;
        }
        let end = |run: &Run| run.files.last().map_or(i64::MIN, |last| last.last);
        match long.iter_mut().filter(|run| end(run) <= file.first).max_by_key(|run| end(run)) {
            Some(run) => {
                run.files.push(file);
                run.weight += file.bytes;
            }
            None => long.push(new),
        }
    }
    runs.append(&mut long);
    runs.sort_by_key(|run| run.weight);
    runs
}

/// Of these runs, as many as fit into memory, what a merge changes: full files that overlap with none stay as they are.
fn merged(runs: Vec<Run>) -> Vec<Extent> {
    let mut open_bytes = 0;
    let fitting = runs.into_iter().take(RUNS_MAX).enumerate().take_while(|(at, run)| {
        open_bytes += run.files.iter().map(group_bytes).max().unwrap_or(0);
        *at < 2 || open_bytes <= OPEN_BYTES_MAX
    });
    let mut files: Vec<Extent> = fitting.flat_map(|(_, run)| run.files).collect();
    files.sort_by_key(|file| (file.first, file.last));
    let mut reached = i64::MIN;
    let mut chosen = Vec::new();
    for (at, file) in files.iter().enumerate() {
        let overlaps = reached > file.first || files.get(at + 1).is_some_and(|next| next.first < file.last);
        if overlaps || file.bytes < FULL_BYTES {
            chosen.push(*file);
        }
        reached = reached.max(file.last);
    }
    if chosen.len() < 2 { Vec::new() } else { chosen }
}

/// About the compressed size of a row group: what reading a file keeps in memory.
fn group_bytes(file: &Extent) -> u64 {
    let rows = file.rows.max(1);
    (u128::from(file.bytes) * u128::from(rows.min(GROUP_ROWS as u64)) / u128::from(rows)) as u64
}
