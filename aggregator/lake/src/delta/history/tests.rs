use std::path::Path;

use ridealong_common::table::Table;
use ridealong_wal::{LogId, Position};

use super::*;
use crate::delta::DeltaLog;
use crate::delta::tests::batch;
use crate::place::Place;

/// Versions and checkpoints in a table's log.
fn logged(folder: &Path) -> (Vec<u64>, usize) {
    let files = std::fs::read_dir(folder.join("_delta_log")).expect("listed");
    let names: Vec<String> = files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    let versions = names.iter().filter_map(|name| name.strip_suffix(".json")?.parse().ok());
    let mut versions: Vec<u64> = versions.collect();
    versions.sort_unstable();
    (versions, names.iter().filter(|name| name.ends_with(".parquet")).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_is_shortened_to_a_checkpoint_and_nothing_of_the_table_is_lost() {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, log) = (Place::folder(folder.path()), LogId::draw());
    let mut table = DeltaLog::open_or_make(&place, Table::Requests, log).await.expect("made");
    for commit in 1..=70 {
        table.append(&[batch(commit, 1, 0)], Position(commit)).await.expect("committed");
    }
    assert_eq!(logged(folder.path()), ((0..=70).collect(), 3), "younger than three days, and not many");
    let deleted = shorten(&table.delta, 20).await.expect("shortened");
    // Version 50 is what is wanted, and 39 is the checkpoint that it needs.
    assert_eq!((deleted, logged(folder.path())), (40, ((39..=70).collect(), 2)));
    assert_eq!(shorten(&table.delta, 20).await.expect("shortened"), 0);

    table.append(&[batch(71, 1, 0)], Position(71)).await.expect("what is in memory can be written on");
    let again = DeltaLog::open_or_make(&place, Table::Requests, log).await.expect("opened");
    assert_eq!(again.position().await.expect("read"), Position(71));
    let cold = again.cold().expect("read");
    assert_eq!((cold.version, cold.rows()), (Some(71), 71));
    let mut old = again.delta.clone();
    old.load_version(50).await.expect("an old version is read again");
    assert_eq!(old.snapshot().expect("a version").log_data().num_files(), 50);
}

#[tokio::test]
async fn a_table_of_an_earlier_program_takes_the_properties_of_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (place, log) = (Place::folder(folder.path()), LogId::draw());
    let table = DeltaLog::open_or_make(&place, Table::Requests, log).await.expect("made");
    let other = [("delta.checkpointInterval".to_owned(), "100".to_owned())];
    table.delta.clone().set_tbl_properties().with_properties(other.into()).await.expect("set");

    let table = DeltaLog::open_or_make(&place, Table::Requests, log).await.expect("opened");
    let found = table.delta.snapshot().expect("a version").metadata().configuration().clone();
    for (name, value) in properties() {
        assert_eq!(found.get(name), Some(&value), "{name}");
    }
    let again = DeltaLog::open_or_make(&place, Table::Requests, log).await.expect("opened");
    assert_eq!(again.cold().expect("read").version, Some(2), "made, set, set back: and no more");
}
