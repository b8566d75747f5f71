//! Archiving and dropping that dies at any of its calls, or of which any one call fails: each row that was acknowledged is
//! readable exactly once, or counted as dropped, and the next run completes what is left.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::OnceLock;
use std::time::Duration;

use ridealong_common::rows::RequestRow;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ridealong_model::jobs::{Job, Worker};
use ridealong_model::mutation::{Mutate, MutationChange, MutationRequest};
use ridealong_model::retention::{Retention, RetentionRules};
use ridealong_model::tenant::TenantId;
use ridealong_wal::{Wal, WalOptions};
use tokio::runtime::Runtime;

use super::*;
use crate::convert::tests::request;
use crate::entries::of_requests;
use crate::store::forgetful::{Fault, Forgetful};
use crate::{Lake, LakeOptions, OpenError};
use ridealong_model::lake::Lake as _;

const PATIENCE: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);
const DAY_US: i64 = 86_400_000_000;
/// Rows of each of the three days: long ago, a while ago, now.
const ROWS: u64 = 5;

#[derive(Debug)]
struct Rule(Retention);

impl RetentionRules for Rule {
    fn retention(&self, _: &str, table: Table) -> Retention {
        if table == Table::Requests { self.0 } else { Retention::default() }
    }
}

const ARCHIVE: Retention = Retention { archive_after: Some(DAY.saturating_mul(30)), drop_after: None };
const DROP: Retention = Retention { archive_after: None, drop_after: Some(DAY.saturating_mul(30)) };
/// Only what is longest ago.
const DROP_ONE: Retention = Retention { archive_after: None, drop_after: Some(DAY.saturating_mul(1_000)) };

struct Running {
    wal: Wal,
    lake: Lake,
    files: Arc<Forgetful>,
}

fn options(folder: &FilePath, files: &Arc<Forgetful>, rule: Retention) -> LakeOptions {
    let place = |name: &str| Place::folder_by(folder.join("tables").join(name), files.clone());
    let mut options = LakeOptions::new(place("lake"), crate::lake::tests::journal(folder));
    options.archive = Some(place("archive"));
    options.retention = Arc::new(Rule(rule));
    options.flush_age = Duration::from_secs(100_000);
    options
}

fn open(folder: &FilePath, files: Forgetful, rule: Retention) -> Running {
    let (wal, _) = Wal::open(WalOptions::new(folder.join("log"))).expect("a log");
    let files = Arc::new(files);
    let lake = Lake::open(options(folder, &files, rule), wal.clone()).expect("a lake");
    Running { wal, lake, files }
}

/// Fifteen rows in three files, one a day.
fn begun(folder: &FilePath, runtime: &Runtime, rule: Retention) -> Running {
    let tables = folder.join("tables");
    std::fs::create_dir_all(tables.join("lake")).expect("a folder");
    std::fs::create_dir_all(tables.join("archive")).expect("a folder");
    let running = open(folder, Forgetful::new(&tables), rule);
    let now = Timestamp::now().micros();
    for (at, age) in [2_000, 100, 0].into_iter().enumerate() {
        running.append(runtime, at as u64 * ROWS, now - age * DAY_US);
    }
    runtime.block_on(running.lake.flush()).expect("flushed");
    running
}

impl Running {
    fn append(&self, runtime: &Runtime, first: u64, time: i64) {
        let rows: Vec<RequestRow> =
            (first..first + ROWS).map(|number| RequestRow { timestamp: Timestamp(time), ..request(number) }).collect();
        runtime.block_on(self.wal.append(of_requests(&rows))).expect("appended");
    }

    fn run(&self, runtime: &Runtime, job: Job) -> Result<Outcome, JobFailure> {
        runtime.block_on(self.lake.run(job))
    }

    fn found(&self, runtime: &Runtime) -> Found {
        let snapshot = runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        let table = snapshot.table(Table::Requests).expect("the table");
        let mut found = Found { dropped: table.cold.dropped, ..Found::default() };
        table.hot.iter().for_each(|batch| found.add(batch));
        for file in &table.cold.files {
            let opened = std::fs::File::open(format!("/{}", file.path)).expect("a file of the table");
            let before = found.ids.values().sum::<u64>();
            let reader = ParquetRecordBatchReaderBuilder::try_new(opened).expect("Parquet").build().expect("Parquet");
            reader.for_each(|batch| found.add(&batch.expect("a batch")));
            assert_eq!(found.ids.values().sum::<u64>() - before, file.rows);
            found.archived += if file.archived { file.rows } else { 0 };
            assert_eq!(file.archived, file.path.contains("/tables/archive/default/requests/"), "{}", file.path);
        }
        found
    }

    fn stop(&self) {
        self.lake.shared.closing.cancel();
        self.wal.close();
    }
}

/// What a query would find.
#[derive(Debug, Default)]
struct Found {
    /// How often.
    ids: BTreeMap<Vec<u8>, u64>,
    archived: u64,
    dropped: u64,
}

impl Found {
    fn add(&mut self, batch: &RecordBatch) {
        let ids = batch.column_by_name("event_id").expect("ids").as_binary::<i32>();
        ids.iter().flatten().for_each(|id| *self.ids.entry(id.to_vec()).or_default() += 1);
    }

    /// Everything once; what is readable, what of it is in the archive, what was dropped.
    fn counts(&self, all: u64) -> (u64, u64, u64) {
        assert!(self.ids.values().all(|times| *times == 1), "twice: {self:?}");
        let readable = self.ids.len() as u64;
        assert_eq!(readable + self.dropped, all, "stored = readable + dropped");
        (readable, self.archived, self.dropped)
    }
}

/// What is found after a power cut, opened again.
fn again(running: &Running, from: &FilePath, into: &FilePath, seed: u64, rule: Retention) -> Running {
    std::fs::create_dir_all(into.join("log")).expect("a folder");
    for file in std::fs::read_dir(from.join("log")).expect("listed").flatten() {
        std::fs::copy(file.path(), into.join("log").join(file.file_name())).expect("copied");
    }
    open(into, running.files.after_power_loss(&into.join("tables"), seed), rule)
}

/// What a job begins with, and what there is when it has done its work.
struct Case {
    job: Job,
    rule: Retention,
    begin: fn(&FilePath, &Runtime, Retention) -> Running,
    /// Readable, archived, dropped.
    done: (u64, u64, u64),
}

const CASES: [Case; 3] = [
    Case { job: Job::Archive, rule: ARCHIVE, begin: begun, done: (15, 10, 0) },
    Case { job: Job::Retain, rule: DROP, begin: begun, done: (5, 0, 10) },
    Case { job: Job::Retain, rule: DROP, begin: half_archived, done: (5, 0, 10) },
];

/// The oldest day in both: a move that was not completed. The next is in the table only.
fn half_archived(folder: &FilePath, runtime: &Runtime, rule: Retention) -> Running {
    /// After which the archive has its first file, and the table too.
    static CALLS: OnceLock<u64> = OnceLock::new();
    let died_after = |calls, folder: &FilePath| {
        let before = folder.join("earlier");
        let began = begun(&before, runtime, ARCHIVE);
        began.files.die_after(calls);
        assert!(began.run(runtime, Job::Archive).is_err());
        began.stop();
        again(&began, &before, folder, 1, rule)
    };
    let is_half = |folder: &FilePath| {
        ["archive", "lake"].iter().all(|root| commits(&folder.join("tables").join(root).join("default/requests")) == 2)
    };
    let calls = CALLS.get_or_init(|| {
        let calls = (0..).find(|calls| {
            let folder = tempfile::tempdir().expect("a folder");
            died_after(*calls, folder.path()).stop();
            is_half(folder.path())
        });
        calls.expect("it commits")
    });
    let found = died_after(*calls, folder);
    assert!(is_half(folder));
    assert_eq!(found.found(runtime).counts(15), (15, 0, 0), "what is in both counts as the table's");
    found
}

fn commits(table: &FilePath) -> usize {
    let files = std::fs::read_dir(table.join("_delta_log")).into_iter().flatten().flatten();
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "json")).count()
}

fn calls_of(case: &Case, runtime: &Runtime) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = (case.begin)(folder.path(), runtime, case.rule);
    let before = running.files.calls();
    let outcome = running.run(runtime, case.job).expect("done");
    assert_eq!((outcome.tables, outcome.rows, outcome.files_removed), (1, 10, 2));
    assert_eq!(running.found(runtime).counts(15), case.done);
    assert_eq!(running.run(runtime, case.job), Ok(Outcome::default()), "nothing is left to do");
    let calls = running.files.calls() - before;
    running.stop();
    calls
}

#[test]
fn a_job_that_dies_at_any_call_loses_and_doubles_nothing() {
    let runtime = Runtime::new().expect("a runtime");
    for case in &CASES {
        for calls in 0..=calls_of(case, &runtime) {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = (case.begin)(&before, &runtime, case.rule);
            running.files.die_after(calls);
            let _ = running.run(&runtime, case.job);
            running.found(&runtime).counts(15);
            running.stop();
            let found = again(&running, &before, &after, calls, case.rule);
            found.found(&runtime).counts(15);
            found.run(&runtime, case.job).expect("completed");
            assert_eq!(found.found(&runtime).counts(15), case.done, "{} died after {calls} calls", case.job);
            found.append(&runtime, 15, Timestamp::now().micros());
            runtime.block_on(found.lake.flush()).expect("the table can be written on");
            found.found(&runtime).counts(20);
            found.stop();
        }
    }
}

#[test]
fn any_call_of_a_job_may_fail_once() {
    let runtime = Runtime::new().expect("a runtime");
    for case in &CASES[..2] {
        for calls in 0..calls_of(case, &runtime) {
            for fault in [Fault::Refused, Fault::Full, Fault::Unnoticed] {
                let folder = tempfile::tempdir().expect("a folder");
                let running = (case.begin)(folder.path(), &runtime, case.rule);
                running.files.fail_after(calls, fault);
                let _ = running.run(&runtime, case.job);
                running.found(&runtime).counts(15);
                running.run(&runtime, case.job).expect("it goes on by itself");
                assert_eq!(running.found(&runtime).counts(15), case.done, "{} {fault:?} at {calls}", case.job);
                running.stop();
            }
        }
    }
}

/// Days that lie in the archive grow older there.
#[test]
fn what_was_archived_is_dropped_from_there_and_the_count_lasts() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let running = begun(folder.path(), &runtime, ARCHIVE);
    running.run(&runtime, Job::Archive).expect("archived");
    assert_eq!(running.run(&runtime, Job::Retain), Ok(Outcome::default()), "no rule drops anything");
    running.stop();
    for (rule, done) in [(DROP_ONE, (10, 5, 5)), (DROP, (5, 0, 10)), (DROP, (5, 0, 10))] {
        let running = open(folder.path(), Forgetful::new(&folder.path().join("tables")), rule);
        running.run(&runtime, Job::Retain).expect("dropped");
        assert_eq!(running.found(&runtime).counts(15), done);
        running.stop();
    }
}

#[test]
fn a_lake_whose_archive_is_not_given_does_not_start() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let running = begun(folder.path(), &runtime, ARCHIVE);
    running.run(&runtime, Job::Archive).expect("archived");
    running.stop();
    let (wal, _) = Wal::open(WalOptions::new(folder.path().join("log"))).expect("a log");
    let options = LakeOptions { archive: None, ..options(folder.path(), &running.files, ARCHIVE) };
    match Lake::open(options, wal) {
        Err(OpenError::NoArchive { rows, table, .. }) => assert_eq!((rows, table), (10, "requests")),
        other => panic!("{:?}", other.map(|_| "opened")),
    }
}

impl Running {
    fn delete(&self, runtime: &Runtime, condition: &str) -> u64 {
        let request = MutationRequest {
            tenant: TenantId::default_tenant(),
            table: Table::Requests,
            condition: condition.to_owned(),
            change: MutationChange::Delete,
            dry_run: false,
        };
        runtime.block_on(self.lake.mutate(request)).expect("deleted").rows
    }

    /// Rows that a query finds, and those that were deleted and dropped.
    fn books(&self) -> (u64, u64, u64) {
        let status = self.lake.status();
        let table = status.tables.iter().find(|table| table.table == "requests").expect("the table");
        (table.hot_rows + table.cold_rows, table.deleted, table.dropped_rows)
    }
}

/// A row that was deleted and whose day has gone since is in the books once, written anew or not.
#[test]
fn rows_are_deleted_in_the_archive_too() {
    let runtime = Runtime::new().expect("a runtime");
    for is_rewritten in [true, false] {
        let folder = tempfile::tempdir().expect("a folder");
        let running = begun(folder.path(), &runtime, ARCHIVE);
        running.run(&runtime, Job::Archive).expect("archived");
        // One of each day; then one more of the oldest.
        assert_eq!(running.delete(&runtime, "duration_us IN (1, 6, 11)"), 3);
        assert_eq!(running.delete(&runtime, "duration_us = 2"), 1);
        assert_eq!(running.books(), (11, 4, 0));
        if is_rewritten {
            running.run(&runtime, Job::Rewrite).expect("written anew");
            let found = running.found(&runtime);
            assert_eq!((found.ids.len(), found.archived), (11, 7), "what was archived stays there");
        }
        running.stop();
        let running = open(folder.path(), Forgetful::new(&folder.path().join("tables")), DROP_ONE);
        assert_eq!(running.books(), (11, 4, 0));
        running.run(&runtime, Job::Retain).expect("dropped");
        assert_eq!(running.books(), (8, 4, 3));
        running.stop();
    }
}

/// Files that nobody names go when they are old, and not before; queries find the same rows.
#[test]
fn vacuum_deletes_what_nobody_names_and_nothing_else() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let running = begun(folder.path(), &runtime, ARCHIVE);
    running.run(&runtime, Job::Archive).expect("archived");
    let table = folder.path().join("tables/lake/default/requests");
    let leftovers = [
        table.join("date=2020-01-01/orphan.parquet"),
        table.join("date=2020-01-01/half.parquet#123"),
        table.join("_delta_log/00000000000000000009.json#456"),
        folder.path().join("tables/archive/default/requests/date=2020-01-01/orphan.parquet"),
    ];
    let stays = table.join("date=2020-01-01/notes.txt");
    for path in leftovers.iter().chain([&stays]) {
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, "left").expect("written");
    }
    let nothing = running.run(&runtime, Job::Vacuum).expect("looked");
    assert_eq!(nothing, Outcome::default(), "all of it is young");
    running.stop();

    let files = Arc::new(Forgetful::new(&folder.path().join("tables")));
    let (wal, _) = Wal::open(WalOptions::new(folder.path().join("log"))).expect("a log");
    let options = LakeOptions { vacuum_after: Duration::ZERO, ..options(folder.path(), &files, ARCHIVE) };
    let running = Running { lake: Lake::open(options, wal.clone()).expect("a lake"), wal, files };
    let outcome = running.run(&runtime, Job::Vacuum).expect("vacuumed");
    assert_eq!((outcome.tables, outcome.files_removed), (2, 2 + 4), "two that were moved, and what was left");
    assert!(leftovers.iter().all(|path| !path.exists()) && stays.exists());
    assert_eq!(running.found(&runtime).counts(15), (15, 10, 0));
    assert_eq!(running.run(&runtime, Job::Vacuum), Ok(Outcome::default()));
    running.stop();
}

/// A file that was written long ago and taken out of the table just now may still be read by a query.
#[test]
fn vacuum_leaves_what_was_removed_a_moment_ago() {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let running = begun(folder.path(), &runtime, DROP);
    let snapshot = runtime.block_on(running.lake.pin("default", PATIENCE)).expect("caught up");
    let files = &snapshot.table(Table::Requests).expect("the table").cold.files;
    for file in files {
        let opened = std::fs::File::options().write(true).open(format!("/{}", file.path)).expect("a file");
        opened.set_modified(std::time::SystemTime::now() - DAY * 10).expect("made older");
    }
    running.run(&runtime, Job::Retain).expect("dropped");
    assert_eq!(running.run(&runtime, Job::Vacuum), Ok(Outcome::default()));
    assert!(files.iter().all(|file| FilePath::new(&format!("/{}", file.path)).exists()));
    running.stop();
}
