//! A flush or a compaction that dies at every one of its calls, or of which any one call fails: each row that was acknowledged is there
//! exactly once afterwards, and the tables can be written on.

use std::path::Path;
use std::sync::Arc;

use ridealong_common::rows::RequestRow;
use ridealong_common::table::Table;
use ridealong_wal::WalOptions;

use ridealong_model::jobs::{Job, Outcome, Worker};

use super::*;
use crate::compact::tests::ids;
use crate::convert::tests::request;
use crate::entries::of_requests;
use crate::place::Place;
use crate::store::forgetful::{Fault, Forgetful};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Running {
    wal: Wal,
    pub lake: Lake,
    pub files: Arc<Forgetful>,
}

fn open(folder: &Path, files: Forgetful) -> Running {
    let (wal, _) = Wal::open(WalOptions::new(folder.join("log"))).expect("a log");
    let files = Arc::new(files);
    let mut options =
        LakeOptions::new(Place::folder_by(folder.join("lake"), files.clone()), super::tests::journal(folder));
    options.flush_age = Duration::from_secs(100_000);
    let lake = Lake::open(options, wal.clone()).expect("a lake");
    Running { wal, lake, files }
}

impl Running {
    pub fn append(&self, runtime: &Runtime, first: u64, count: u64) {
        let rows: Vec<RequestRow> = (first..first + count).map(request).collect();
        runtime.block_on(self.wal.append(of_requests(&rows))).expect("appended");
    }

    pub fn flush(&self, runtime: &Runtime) -> bool {
        runtime.block_on(self.lake.flush()).is_ok()
    }

    /// Rows in memory and in files; every file is whole.
    fn rows(&self, runtime: &Runtime) -> u64 {
        let snapshot = runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        let Some(table) = snapshot.table(Table::Requests) else { return 0 };
        for file in &table.cold.files {
            let bytes = std::fs::read(format!("/{}", file.path)).expect("a file of the table");
            assert_eq!(bytes.len() as u64, file.bytes);
            assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"), "{} is torn", file.path);
        }
        table.hot.iter().map(|batch| batch.num_rows() as u64).sum::<u64>() + table.cold.rows()
    }

    fn compact(&self, runtime: &Runtime) -> Option<Outcome> {
        runtime.block_on(self.lake.run(Job::Compact)).ok()
    }

    fn ids(&self, runtime: &Runtime) -> Vec<u128> {
        let snapshot = runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        snapshot.table(Table::Requests).map(ids).unwrap_or_default()
    }

    fn files(&self, runtime: &Runtime) -> usize {
        let snapshot = runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        snapshot.table(Table::Requests).map_or(0, |table| table.cold.files.len())
    }

    pub fn stop(&self) {
        self.lake.shared.closing.cancel();
        self.wal.close();
    }
}

/// Fifteen rows in the log, none of them in a table: there is none yet.
fn fresh(folder: &Path, runtime: &Runtime) -> Running {
    std::fs::create_dir_all(folder.join("lake")).expect("a folder");
    let running = open(folder, Forgetful::new(&folder.join("lake")));
    running.append(runtime, 0, 15);
    running
}

/// A table of ten rows, and five that are still hot.
fn begun(folder: &Path, runtime: &Runtime) -> Running {
    std::fs::create_dir_all(folder.join("lake")).expect("a folder");
    let running = open(folder, Forgetful::new(&folder.join("lake")));
    running.append(runtime, 0, 10);
    assert!(running.flush(runtime));
    running.append(runtime, 10, 5);
    running
}

/// Fifteen rows of one day long ago, in three files.
pub(crate) fn scattered(folder: &Path, runtime: &Runtime) -> Running {
    std::fs::create_dir_all(folder.join("lake")).expect("a folder");
    let running = open(folder, Forgetful::new(&folder.join("lake")));
    for first in [0, 5, 10] {
        running.append(runtime, first, 5);
        assert!(running.flush(runtime));
    }
    running
}

/// Each row in a commit of its own, and one more that is hot: the next commit makes a checkpoint.
fn before_a_checkpoint(folder: &Path, runtime: &Runtime) -> Running {
    std::fs::create_dir_all(folder.join("lake")).expect("a folder");
    let running = open(folder, Forgetful::new(&folder.join("lake")));
    for row in 0..18 {
        running.append(runtime, row, 1);
        assert!(running.flush(runtime));
    }
    running.append(runtime, 18, 1);
    running
}

type Begin = fn(&Path, &Runtime) -> Running;

/// What is found after a power cut, opened again.
pub(crate) fn again(running: &Running, from: &Path, into: &Path, seed: u64) -> Running {
    std::fs::create_dir_all(into.join("log")).expect("a folder");
    for file in std::fs::read_dir(from.join("log")).expect("listed").flatten() {
        // Synced, all of it: the log has tests of its own for what is not.
        std::fs::copy(file.path(), into.join("log").join(file.file_name())).expect("copied");
    }
    open(into, running.files.after_power_loss(&into.join("lake"), seed))
}

fn calls_of_a_flush(begin: Begin, runtime: &Runtime) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = begin(folder.path(), runtime);
    let before = running.files.calls();
    assert!(running.flush(runtime));
    let calls = running.files.calls() - before;
    running.stop();
    assert!(calls >= 8, "a file and a commit, each written, synced, named, and its folder synced: {calls}");
    calls
}

#[test]
fn a_flush_that_dies_at_any_call_loses_and_doubles_nothing() {
    dies_at_any_call(begun);
}

#[test]
fn the_first_flush_of_all_may_die_while_it_makes_the_table() {
    dies_at_any_call(fresh);
}

fn dies_at_any_call(begin: Begin) {
    let runtime = Runtime::new().expect("a runtime");
    for calls in 0..=calls_of_a_flush(begin, &runtime) {
        for seed in 0..4 {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = begin(&before, &runtime);
            running.files.die_after(calls);
            running.flush(&runtime);
            running.stop();
            let found = again(&running, &before, &after, seed);
            assert_eq!(found.rows(&runtime), 15, "died after {calls} calls, seed {seed}");
            found.append(&runtime, 15, 1);
            assert!(found.flush(&runtime), "the table can be written on");
            assert_eq!(found.rows(&runtime), 16, "died after {calls} calls, seed {seed}");
            found.stop();
        }
    }
}

#[test]
fn any_call_of_a_flush_may_fail_once() {
    one_call_fails(begun);
}

#[test]
fn any_call_of_the_first_flush_may_fail_once() {
    one_call_fails(fresh);
}

fn one_call_fails(begin: Begin) {
    let runtime = Runtime::new().expect("a runtime");
    for calls in 0..calls_of_a_flush(begin, &runtime) {
        for fault in [Fault::Refused, Fault::Full, Fault::Unnoticed] {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = begin(&before, &runtime);
            running.files.fail_after(calls, fault);
            running.flush(&runtime);
            assert_eq!(running.rows(&runtime), 15, "{fault:?} at call {calls}");
            assert!(running.flush(&runtime), "{fault:?} at call {calls}: it goes on by itself");
            assert_eq!(running.rows(&runtime), 15, "{fault:?} at call {calls}");
            running.append(&runtime, 15, 1);
            assert!(running.flush(&runtime));
            running.stop();
            let found = again(&running, &before, &after, calls);
            assert_eq!(found.rows(&runtime), 16, "{fault:?} at call {calls}");
            found.stop();
        }
    }
}

/// What failed and happened all the same is not written again with what came after it.
#[test]
fn several_calls_in_a_row_may_fail_while_rows_come_in() {
    let runtime = Runtime::new().expect("a runtime");
    for calls in 0..calls_of_a_flush(begun, &runtime) {
        for (fault, times) in [(Fault::Unnoticed, 2), (Fault::Refused, 2), (Fault::Unnoticed, 3), (Fault::Refused, 4)] {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = begun(&before, &runtime);
            running.files.fail_times(calls, times, fault);
            running.flush(&runtime);
            running.append(&runtime, 15, 1);
            assert!((0..4).any(|_| running.flush(&runtime)), "{fault:?} {times} times at call {calls}: it goes on");
            assert_eq!(running.ids(&runtime), (0..16).collect::<Vec<_>>(), "{fault:?} {times} times at call {calls}");
            running.stop();
            let found = again(&running, &before, &after, calls);
            assert_eq!(found.ids(&runtime), (0..16).collect::<Vec<_>>(), "{fault:?} {times} times at call {calls}");
            found.stop();
        }
    }
}

#[test]
fn a_checkpoint_that_dies_at_any_call_loses_and_doubles_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let calls_at_most = calls_of_a_flush(before_a_checkpoint, &runtime);
    assert!(calls_at_most >= 16, "a file, a commit, a checkpoint and where it is: {calls_at_most}");
    for calls in 0..=calls_at_most {
        let folder = tempfile::tempdir().expect("a folder");
        let (before, after) = (folder.path().join("before"), folder.path().join("after"));
        let running = before_a_checkpoint(&before, &runtime);
        running.files.die_after(calls);
        running.flush(&runtime);
        running.stop();
        let found = again(&running, &before, &after, calls);
        assert_eq!(found.ids(&runtime), (0..19).collect::<Vec<_>>(), "died after {calls} calls");
        found.append(&runtime, 19, 1);
        assert!(found.flush(&runtime), "the table can be written on");
        assert_eq!(found.ids(&runtime), (0..20).collect::<Vec<_>>(), "died after {calls} calls");
        found.stop();
    }
}

fn calls_of_a_compaction(runtime: &Runtime) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = scattered(folder.path(), runtime);
    let before = running.files.calls();
    let outcome = running.compact(runtime).expect("compacted");
    let calls = running.files.calls() - before;
    assert_eq!((outcome.tables, outcome.files_removed, outcome.files_added, outcome.rows), (1, 3, 1, 15));
    assert_eq!(running.files(runtime), 1);
    running.stop();
    assert!(calls >= 8, "a file and a commit, each written, synced, named, and its folder synced: {calls}");
    calls
}

#[test]
fn a_compaction_that_dies_at_any_call_loses_and_doubles_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    let all: Vec<u128> = (0..15).collect();
    for calls in 0..=calls_of_a_compaction(&runtime) {
        for seed in 0..4 {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = scattered(&before, &runtime);
            running.files.die_after(calls);
            running.compact(&runtime);
            assert_eq!(running.ids(&runtime), all, "what is still running, after {calls} calls");
            running.stop();
            let found = again(&running, &before, &after, seed);
            assert_eq!(found.ids(&runtime), all, "died after {calls} calls, seed {seed}");
            assert!(found.compact(&runtime).is_some(), "it can be run again");
            assert_eq!((found.ids(&runtime), found.files(&runtime)), (all.clone(), 1));
            found.append(&runtime, 15, 1);
            assert!(found.flush(&runtime), "the table can be written on");
            assert_eq!(found.ids(&runtime).len(), 16, "died after {calls} calls, seed {seed}");
            found.stop();
        }
    }
}

#[test]
fn any_call_of_a_compaction_may_fail_once() {
    let runtime = Runtime::new().expect("a runtime");
    let all: Vec<u128> = (0..15).collect();
    for calls in 0..calls_of_a_compaction(&runtime) {
        for fault in [Fault::Refused, Fault::Full, Fault::Unnoticed] {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = scattered(&before, &runtime);
            running.files.fail_after(calls, fault);
            running.compact(&runtime);
            assert_eq!(running.ids(&runtime), all, "{fault:?} at call {calls}");
            assert!(running.compact(&runtime).is_some(), "{fault:?} at call {calls}: it can be run again");
            assert_eq!((running.ids(&runtime), running.files(&runtime)), (all.clone(), 1));
            running.append(&runtime, 15, 1);
            assert!(running.flush(&runtime));
            running.stop();
            let found = again(&running, &before, &after, calls);
            assert_eq!(found.ids(&runtime).len(), 16, "{fault:?} at call {calls}");
            found.stop();
        }
    }
}

#[test]
fn a_torn_last_commit_is_set_aside_and_its_rows_come_from_the_log() {
    let runtime = Runtime::new().expect("a runtime");
    for torn in [0, 1, 2, 3] {
        let folder = tempfile::tempdir().expect("a folder");
        let running = begun(folder.path(), &runtime);
        assert!(running.flush(&runtime));
        running.stop();
        let commit = folder.path().join("lake/default/requests/_delta_log/00000000000000000002.json");
        let mut bytes = std::fs::read(&commit).expect("the last commit");
        match torn {
            0 => bytes.clear(),
            1 => bytes.truncate(bytes.len() / 2),
            2 => bytes.fill(0),
            _ => bytes[0] = b'x',
        }
        std::fs::write(&commit, bytes).expect("written");
        let running = open(folder.path(), Forgetful::new(&folder.path().join("lake")));
        assert_eq!(running.rows(&runtime), 15);
        running.append(&runtime, 15, 1);
        assert!(running.flush(&runtime));
        assert_eq!(running.rows(&runtime), 16);
        running.stop();
        assert!(commit.is_file() && commit.with_extension("json.torn").is_file());
        let running = open(folder.path(), Forgetful::new(&folder.path().join("lake")));
        assert_eq!(running.rows(&runtime), 16);
        running.stop();
    }
}
