//! The job that brings deletions and corrections into the files dies at every one of its calls: what was asked for is in
//! force all the same, no other row is lost or doubled, and the next run completes it.

use std::fs;
use std::path::Path;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::AsArray;
use ridealong_engine::datafusion::arrow::datatypes::Int64Type;
use ridealong_engine::datafusion::physical_plan::collect;
use ridealong_model::jobs::{Job, Worker};
use ridealong_model::mutation::{Mutate, MutationChange, MutationRequest};
use ridealong_model::query::Param;
use ridealong_model::tenant::TenantId;
use tokio::runtime::Runtime;

use crate::lake::faults::{PATIENCE, Running, again, scattered};
use crate::scan::Wanted;

impl Running {
    fn mutate(&self, runtime: &Runtime, condition: &str, change: MutationChange) -> u64 {
        let request = MutationRequest {
            tenant: TenantId::default_tenant(),
            table: Table::Requests,
            condition: condition.to_owned(),
            change,
            dry_run: false,
        };
        runtime.block_on(self.lake.mutate(request)).expect("in force").rows
    }

    fn rewrite(&self, runtime: &Runtime) -> bool {
        runtime.block_on(self.lake.run(Job::Rewrite)).is_ok()
    }

    /// (duration, bytes) of each row as a query sees it, sorted.
    fn shown(&self, runtime: &Runtime) -> Vec<(i64, i64)> {
        let snapshot = runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        let table = snapshot.table(Table::Requests).expect("requests");
        let session = self.lake.shared.reading();
        let plan = table.scan(&session.state(), &Wanted::default()).expect("a plan");
        let batches = runtime.block_on(collect(plan, session.task_ctx())).expect("read");
        let mut rows = Vec::new();
        for batch in &batches {
            let numbers = |name: &str| batch.column_by_name(name).expect("a column").as_primitive::<Int64Type>();
            let (durations, bytes) = (numbers("duration_us").values(), numbers("response_bytes").values());
            rows.extend(durations.iter().copied().zip(bytes.iter().copied()));
        }
        rows.sort_unstable();
        rows
    }
}

/// Fifteen rows in three files, of which three are deleted and three corrected, and two more in memory, one of them deleted.
fn mutated(folder: &Path, runtime: &Runtime) -> Running {
    let running = scattered(folder, runtime);
    running.append(runtime, 15, 2);
    assert_eq!(running.mutate(runtime, "duration_us % 5 = 1", MutationChange::Delete), 4);
    let set = MutationChange::Set(vec![("response_bytes".into(), Param::Integer(-1))]);
    assert_eq!(running.mutate(runtime, "duration_us IN (2, 7, 12)", set), 3);
    running
}

fn expected() -> Vec<(i64, i64)> {
    let left = (0..17).filter(|number| number % 5 != 1);
    left.map(|number| (number, if [2, 7, 12].contains(&number) { -1 } else { number * 2 })).collect()
}

fn copied(from: &Path, into: &Path) {
    fs::create_dir_all(into).expect("a folder");
    for file in fs::read_dir(from).expect("listed").flatten() {
        fs::copy(file.path(), into.join(file.file_name())).expect("copied");
    }
}

fn calls_of_a_rewrite(runtime: &Runtime) -> u64 {
    let folder = tempfile::tempdir().expect("a folder");
    let running = mutated(folder.path(), runtime);
    let before = running.files.calls();
    assert!(running.rewrite(runtime));
    let calls = running.files.calls() - before;
    running.stop();
    assert!(calls >= 24, "three files and three commits, each written, synced, named, and its folder synced: {calls}");
    calls
}

#[test]
fn a_rewrite_that_dies_at_any_call_leaves_what_was_asked_in_force() {
    let runtime = Runtime::new().expect("a runtime");
    for calls in 0..=calls_of_a_rewrite(&runtime) {
        for seed in 0..2 {
            let folder = tempfile::tempdir().expect("a folder");
            let (before, after) = (folder.path().join("before"), folder.path().join("after"));
            let running = mutated(&before, &runtime);
            assert_eq!(running.shown(&runtime), expected());
            running.files.die_after(calls);
            running.rewrite(&runtime);
            assert_eq!(running.shown(&runtime), expected(), "what is still running, after {calls} calls");
            running.stop();
            // Synced, as the log is: the journal has tests of its own for what is not.
            copied(&before.join("journal"), &after.join("journal"));
            let found = again(&running, &before, &after, seed);
            assert_eq!(found.shown(&runtime), expected(), "died after {calls} calls, seed {seed}");
            assert!(found.flush(&runtime) && found.rewrite(&runtime), "it can be run again");
            assert_eq!(found.shown(&runtime), expected());
            assert!(found.lake.mutations(&TenantId::default_tenant()).is_empty(), "nothing is left to do");
            found.stop();
        }
    }
}
