use ridealong_common::table::Table;

use super::*;
use crate::convert;

pub(crate) fn batch(first: u64, count: u64, micros: i64) -> RecordBatch {
    let rows: Vec<_> = (first..first + count)
        .map(|number| {
            let mut row = convert::tests::request(number);
            row.timestamp = ridealong_common::time::Timestamp(micros + number as i64);
            row
        })
        .collect();
    convert::tests::rows(&rows)
}

#[tokio::test]
async fn a_commit_carries_the_position_and_is_found_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogId::draw();
    let mut table = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("made");
    assert_eq!(table.position().await.expect("read"), Position(0));
    table.append(&[batch(0, 10, 1_700_000_000_000_000)], Position(7)).await.expect("committed");
    table.append(&[batch(10, 5, 1_700_000_000_000_000)], Position(9)).await.expect("committed");

    let table = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("opened");
    assert_eq!(table.position().await.expect("read"), Position(9));
    let cold = table.cold().expect("read");
    assert_eq!((cold.version, cold.rows(), cold.files.len()), (Some(2), 15, 2));
    let another =
        DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, LogId::draw()).await.expect("opened");
    assert_eq!(another.position().await.expect("read"), Position(0), "a new log begins anew");
}

/// Killed while the table was being made: its folders are there, and of its first version at most the beginning, under
/// a name that is not yet its own.
#[tokio::test]
async fn a_table_that_was_never_finished_is_made() {
    for leftover in [false, true] {
        let folder = tempfile::tempdir().expect("a folder");
        let versions = folder.path().join("_delta_log");
        std::fs::create_dir(&versions).expect("a folder");
        if leftover {
            let name = crate::store::unfinished_name(&versions.join("00000000000000000000.json"));
            std::fs::write(name, "{\"protocol\":").expect("written");
        }
        let table = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, LogId::draw()).await;
        let mut table = table.unwrap_or_else(|error| panic!("{leftover:?}: {error:?}"));
        table.append(&[batch(0, 3, 0)], Position(7)).await.expect("committed");
        assert_eq!(table.cold().expect("read").rows(), 3);
    }
}

#[tokio::test]
async fn the_same_position_is_not_committed_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut table =
        DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, LogId::draw()).await.expect("made");
    table.append(&[batch(0, 3, 0)], Position(7)).await.expect("committed");
    let error = table.append(&[batch(0, 3, 0)], Position(7)).await.expect_err("again");
    assert!(matches!(error, DeltaError::Overtaken { .. }), "{error}");
    assert_eq!(table.cold().expect("read").rows(), 3);
}

#[tokio::test]
async fn a_second_writer_with_an_old_view_conflicts_instead_of_storing_twice() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogId::draw();
    let mut one = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("made");
    let mut two = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("opened");
    one.append(&[batch(0, 3, 0)], Position(7)).await.expect("committed");
    let error = two.append(&[batch(0, 3, 0)], Position(7)).await.expect_err("conflict");
    assert!(matches!(error, DeltaError::Table { .. } | DeltaError::Overtaken { .. }), "{error}");
    two.refresh().await.expect("refreshed");
    assert_eq!(two.position().await.expect("read"), Position(7), "so only the hand-over is left");
    assert_eq!(two.cold().expect("read").rows(), 3);
}

#[tokio::test]
async fn rows_lie_by_day_and_bounds_hold_every_time() {
    const DAY: i64 = 86_400_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut table =
        DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, LogId::draw()).await.expect("made");
    let times = [-DAY - 1, 0, 1_582_934_400_000_000, 1_700_000_000_123_456];
    let batches: Vec<_> = times.iter().map(|micros| batch(1, 1, micros - 1)).collect();
    let rows = convert::joined(Table::Requests, &batches).expect("joined");
    table.append(&[rows], Position(1)).await.expect("committed");
    let cold = table.cold().expect("read");
    let days: Vec<&str> = cold.files.iter().filter_map(|file| file.path.split("date=").nth(1)?.get(..10)).collect();
    assert_eq!(days, ["2023-11-14", "2020-02-29", "1970-01-01", "1969-12-30"]);
    for (file, time) in cold.files.iter().zip(times.iter().rev()) {
        let (oldest, newest) = file.timestamps.expect("bounds");
        assert!(oldest <= *time && *time <= newest, "{time} in {oldest}..{newest}");
    }
}

#[tokio::test]
async fn a_table_of_an_earlier_program_takes_the_columns_that_came_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let log = LogId::draw();
    let url = url::Url::from_directory_path(folder.path()).expect("an absolute path");
    let earlier: Vec<_> = stored_schema(Table::Requests)
        .fields()
        .iter()
        .filter(|field| !["dnt", "client_address", "grpc_status"].contains(&field.name().as_str()))
        .cloned()
        .collect();
    let delta = DeltaTableBuilder::from_url(url).and_then(DeltaTableBuilder::build).expect("a place");
    make(delta, Table::Requests, &Schema::new(earlier)).await.expect("made");

    let mut table = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("opened");
    table.append(&[batch(0, 3, 0)], Position(7)).await.expect("committed");
    let columns = table.delta.snapshot().expect("a version").schema();
    for field in stored_schema(Table::Requests).fields() {
        assert!(columns.field(field.name()).is_some(), "{}", field.name());
    }
    let again = DeltaLog::open_or_make(&Place::folder(folder.path()), Table::Requests, log).await.expect("opened");
    assert_eq!(again.cold().expect("read").version, Some(2), "made, grown, written: and no more");
}
