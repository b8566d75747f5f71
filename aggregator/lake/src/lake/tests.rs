use std::sync::Arc;

use ridealong_common::rows::RequestRow;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::{AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::datatypes::Int64Type;
use ridealong_model::location::{Location, Locations};
use ridealong_model::tenant::TenantId;
use ridealong_wal::WalOptions;

use super::*;
use crate::convert::tests::request;
use crate::delta::DeltaLog;
use crate::entries::{of_events, of_requests};
use crate::place::Place;
use crate::visits::tests::event;

const PATIENCE: Duration = Duration::from_secs(20);

/// Where deletions and corrections are kept.
pub(crate) fn journal(folder: &std::path::Path) -> Arc<dyn ridealong_wal::disk::Disk> {
    Arc::new(ridealong_wal::disk::RealDisk::new(&folder.join("journal")).expect("a folder"))
}

pub(crate) struct Sandbox {
    pub folder: tempfile::TempDir,
    pub runtime: Runtime,
}

impl Sandbox {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), runtime: Runtime::new().expect("a runtime") }
    }

    pub fn open(&self, change: impl FnOnce(&mut LakeOptions)) -> (Wal, Lake) {
        let (wal, _) = Wal::open(WalOptions::new(self.folder.path().join("log"))).expect("a log");
        let mut options = LakeOptions::new(Place::folder(self.folder.path().join("lake")), journal(self.folder.path()));
        change(&mut options);
        let lake = Lake::open(options, wal.clone()).expect("a lake");
        (wal, lake)
    }

    pub fn append(&self, wal: &Wal, first: u64, count: u64) {
        let rows: Vec<RequestRow> = (first..first + count).map(request).collect();
        self.runtime.block_on(wal.append(of_requests(&rows))).expect("appended");
    }

    pub fn pin(&self, lake: &Lake) -> Snapshot {
        self.runtime.block_on(lake.pin("default", PATIENCE)).expect("caught up")
    }

    pub fn flush(&self, lake: &Lake) {
        self.runtime.block_on(lake.flush()).expect("flushed");
    }
}

fn rows(snapshot: &Snapshot) -> (usize, u64) {
    let table = snapshot.table(Table::Requests).expect("the table");
    (table.hot.iter().map(RecordBatch::num_rows).sum(), table.cold.rows())
}

#[test]
fn what_is_durable_is_pinned_hot_or_cold_and_never_both() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    assert_eq!(rows(&sandbox.pin(&lake)), (10, 0));
    sandbox.flush(&lake);
    assert_eq!(rows(&sandbox.pin(&lake)), (0, 10));
    sandbox.append(&wal, 10, 5);
    assert_eq!(rows(&sandbox.pin(&lake)), (5, 10));
    lake.close();
}

#[test]
fn a_restart_reads_from_the_log_what_delta_does_not_have() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    sandbox.flush(&lake);
    sandbox.append(&wal, 10, 5);
    // No orderly end of the lake: its last rows are in the log alone.
    lake.shared.closing.cancel();
    wal.close();
    let (wal, lake) = sandbox.open(|_| {});
    let (hot, cold) = rows(&sandbox.pin(&lake));
    assert_eq!((hot as u64 + cold, cold >= 10), (15, true));
    sandbox.append(&wal, 15, 1);
    let (hot, cold) = rows(&sandbox.pin(&lake));
    assert_eq!(hot as u64 + cold, 16);
    lake.close();
}

/// Its rows are in the log alone, below the position that the other table's Delta log names.
#[test]
fn a_table_that_was_never_flushed_survives_a_restart() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    sandbox.pin(&lake);
    // Another table is further on, as if its rows had been many.
    let log = wal.log_id();
    let folder = sandbox.folder.path().join("lake/default/host_metrics");
    let mut other = sandbox
        .runtime
        .block_on(DeltaLog::open_or_make(&Place::folder(&folder), Table::HostMetrics, log))
        .expect("made");
    let nulls = crate::hot::tests::rows(1);
    let times = ridealong_engine::datafusion::arrow::array::TimestampMicrosecondArray::from(vec![1]);
    let mut columns = nulls.columns().to_vec();
    columns[0] = Arc::new(times);
    let row = RecordBatch::try_new(nulls.schema(), columns).expect("fits");
    sandbox.runtime.block_on(other.append(&[row], Position(9))).expect("committed");
    lake.shared.closing.cancel();
    wal.close();
    let (_wal, lake) = sandbox.open(|_| {});
    assert_eq!(rows(&sandbox.pin(&lake)), (10, 0));
    lake.close();
}

#[test]
fn an_orderly_end_leaves_everything_in_delta_and_the_log_is_let_go() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    sandbox.pin(&lake);
    lake.close();
    wal.close();
    let (wal, lake) = sandbox.open(|_| {});
    assert_eq!(rows(&sandbox.pin(&lake)), (0, 10));
    assert_eq!(lake.status().committed, wal.durable().0);
    lake.close();
}

#[test]
fn rows_are_flushed_by_number() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|options| options.flush_rows = 100);
    sandbox.append(&wal, 0, 100);
    let flushed = std::iter::repeat_with(|| rows(&sandbox.pin(&lake))).take(2_000).find(|rows| {
        std::thread::sleep(Duration::from_millis(5));
        rows.1 == 100
    });
    assert_eq!(flushed, Some((0, 100)));
    lake.close();
}

/// Readers count while a writer appends and flushes hand over: no row is seen twice or missed.
#[test]
fn counts_are_exact_while_flushes_go_on() {
    const ENTRIES: u64 = 300;
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|options| options.flush_rows = 50);
    let counted = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            let mut looks = 0;
            while last < ENTRIES * 3 {
                let before = wal.durable().0 * 3;
                let (hot, cold) = sandbox
                    .runtime
                    .block_on(lake.pin("default", PATIENCE))
                    .map_or((0, 0), |pinned| pinned.table(Table::Requests).map_or((0, 0), |_| rows(&pinned)));
                let seen = hot as u64 + cold;
                assert!(seen >= before && seen >= last && seen <= ENTRIES * 3, "{before} {last} {seen}");
                last = seen;
                looks += 1;
            }
            looks
        });
        (0..ENTRIES).for_each(|entry| sandbox.append(&wal, entry * 3, 3));
        reader.join().expect("the reader agrees")
    });
    assert!(counted > 10, "{counted} looks");
    lake.close();
}

#[test]
fn a_lake_that_cannot_be_written_keeps_its_rows_readable_and_says_so() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    sandbox.pin(&lake);
    // A file where the tenant's folder should be.
    std::fs::create_dir_all(sandbox.folder.path().join("lake")).expect("made");
    std::fs::write(sandbox.folder.path().join("lake/default"), "in the way").expect("written");
    assert!(sandbox.runtime.block_on(lake.flush()).is_err());
    assert_eq!(rows(&sandbox.pin(&lake)), (10, 0));
    assert!(lake.status().last_error.is_some());
    std::fs::remove_file(sandbox.folder.path().join("lake/default")).expect("removed");
    sandbox.flush(&lake);
    assert_eq!(rows(&sandbox.pin(&lake)), (0, 10));
    assert_eq!(lake.status().last_error, None);
    lake.close();
}

impl Sandbox {
    pub fn track(&self, wal: &Wal, user: &str, minutes: std::ops::Range<i64>) {
        let rows: Vec<_> = minutes.map(|minute| event(Some(user), None, minute * 60_000_000)).collect();
        self.runtime.block_on(wal.append(of_events(&rows))).expect("appended");
    }
}

/// Events that the hot visits of a snapshot count, and its visits in Delta.
fn visits(snapshot: &Snapshot) -> (i64, u64) {
    let table = snapshot.table(Table::Visits).expect("the table");
    let counted = table.hot.iter().flat_map(|batch| {
        let column = batch.column_by_name("event_count").expect("a column");
        column.as_primitive::<Int64Type>().values().to_vec()
    });
    (counted.sum(), table.cold.rows())
}

#[test]
fn visits_are_flushed_with_their_own_position_and_joined() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    for minute in 0..5 {
        sandbox.track(&wal, "u", minute..minute + 1);
        assert_eq!(visits(&sandbox.pin(&lake)), (minute + 1, 0));
    }
    sandbox.flush(&lake);
    assert_eq!(visits(&sandbox.pin(&lake)), (0, 1), "five of one session are one row");
    lake.shared.closing.cancel();
    wal.close();
    let (wal, lake) = sandbox.open(|_| {});
    assert_eq!(visits(&sandbox.pin(&lake)), (0, 1), "what Delta holds is not derived again");
    sandbox.track(&wal, "u", 5..6);
    assert_eq!(visits(&sandbox.pin(&lake)), (1, 1));
    lake.close();
}

/// Events may be in Delta while their visits are not, and the other way round: each is replayed from where it ends.
#[test]
fn visits_and_events_at_different_positions_survive_a_restart() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|options| options.flush_rows = 100);
    sandbox.track(&wal, "u", 0..100);
    let flushed = std::iter::repeat_with(|| sandbox.pin(&lake)).take(2_000).find(|pinned| {
        std::thread::sleep(Duration::from_millis(5));
        pinned.table(Table::Events).expect("events").cold.rows() == 100
    });
    assert_eq!(visits(&flushed.expect("flushed by number")), (100, 0), "the one visit is still hot");
    lake.shared.closing.cancel();
    wal.close();

    let (wal, lake) = sandbox.open(|_| {});
    let pinned = sandbox.pin(&lake);
    let events = pinned.table(Table::Events).expect("events");
    assert_eq!((events.hot.len(), events.cold.rows()), (0, 100));
    assert_eq!(visits(&pinned), (100, 0));
    // The visits alone get on.
    sandbox.track(&wal, "u", 100..110);
    let pinned = sandbox.pin(&lake);
    let hot = &pinned.table(Table::Visits).expect("visits").hot;
    let folder = sandbox.folder.path().join("lake/default/visits");
    let place = Place::folder(&folder);
    let log = DeltaLog::open_or_make(&place, Table::Visits, wal.log_id());
    let mut delta = sandbox.runtime.block_on(log).expect("made");
    sandbox.runtime.block_on(delta.append(hot, wal.durable())).expect("committed");
    lake.shared.closing.cancel();
    wal.close();

    let (_wal, lake) = sandbox.open(|_| {});
    let pinned = sandbox.pin(&lake);
    assert_eq!(pinned.table(Table::Events).expect("events").hot.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(visits(&pinned), (0, 2));
    lake.close();
}

/// The folder is there, and what the first commit was to become; the commit is not.
#[test]
fn a_kill_within_a_tables_first_commit_does_not_stop_the_next_start() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.track(&wal, "u", 0..3);
    sandbox.pin(&lake);
    lake.shared.closing.cancel();
    wal.close();
    let folder = sandbox.folder.path().join("lake/default/visits/_delta_log");
    std::fs::create_dir_all(&folder).expect("made");
    let unfinished = crate::store::unfinished_name(&folder.join("00000000000000000000.json"));
    std::fs::write(unfinished, "{").expect("written");
    let (_wal, lake) = sandbox.open(|_| {});
    assert_eq!(visits(&sandbox.pin(&lake)), (3, 0));
    sandbox.flush(&lake);
    assert_eq!(visits(&sandbox.pin(&lake)), (0, 1));
    lake.close();
}

#[derive(Debug)]
struct Elsewhere(std::path::PathBuf);

impl Locations for Elsewhere {
    fn location(&self, tenant: &TenantId) -> Option<Location> {
        (tenant.as_str() == "default").then(|| Location::Folder(self.0.clone()))
    }

    fn located(&self) -> Vec<TenantId> {
        vec![TenantId::default_tenant()]
    }
}

#[test]
fn a_tenants_tables_lie_where_the_catalog_says_and_are_found_there_again() {
    let sandbox = Sandbox::new();
    let elsewhere = sandbox.folder.path().join("elsewhere");
    let set = |options: &mut LakeOptions| options.locations = Arc::new(Elsewhere(elsewhere.clone()));
    let (wal, lake) = sandbox.open(set);
    sandbox.append(&wal, 0, 10);
    sandbox.flush(&lake);
    assert!(elsewhere.join("requests/_delta_log").is_dir() && !sandbox.folder.path().join("lake").exists());
    lake.close();
    wal.close();
    let (wal, lake) = sandbox.open(set);
    assert_eq!(rows(&sandbox.pin(&lake)), (0, 10));
    lake.close();
    wal.close();
}

/// Set when there were rows already, which the API refuses and a race may let through.
#[test]
fn a_table_stays_where_it_was_made() {
    let sandbox = Sandbox::new();
    let (wal, lake) = sandbox.open(|_| {});
    sandbox.append(&wal, 0, 10);
    sandbox.flush(&lake);
    lake.close();
    wal.close();
    let elsewhere = sandbox.folder.path().join("elsewhere");
    let set = |options: &mut LakeOptions| options.locations = Arc::new(Elsewhere(elsewhere.clone()));
    let (wal, lake) = sandbox.open(set);
    sandbox.append(&wal, 10, 5);
    sandbox.flush(&lake);
    assert_eq!(rows(&sandbox.pin(&lake)), (0, 15));
    assert!(!elsewhere.join("requests").exists());
    lake.close();
    wal.close();
    // Two of them are more than anybody can tell apart.
    let log = sandbox.runtime.block_on(DeltaLog::open_or_make(
        &Place::folder(elsewhere.join("requests")),
        Table::Requests,
        wal.log_id(),
    ));
    log.expect("made");
    let (wal, _) = Wal::open(WalOptions::new(sandbox.folder.path().join("log"))).expect("a log");
    let mut options =
        LakeOptions::new(Place::folder(sandbox.folder.path().join("lake")), journal(sandbox.folder.path()));
    set(&mut options);
    let error = Lake::open(options, wal).err().expect("refused").to_string();
    assert!(error.contains("two places") && error.contains("/elsewhere/requests/"), "{error}");
}
