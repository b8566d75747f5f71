use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::compute::concat_batches;

use super::*;
use crate::convert::tests::{request, rows};

fn at(number: u64, micros: i64) -> RecordBatch {
    let mut row = request(number);
    row.timestamp = Timestamp(micros);
    rows(&[row])
}

#[tokio::test]
async fn each_day_has_files_of_its_own_with_rows_and_bounds_in_their_statistics() {
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place::folder(folder.path());
    let mut writer = TableWriter::new(place, Table::Requests);
    // The last microsecond of 1969, the first of 1970, and back again.
    let batches = [at(1, -1), at(2, 0), at(3, -1_500), at(4, DAY_US - 1)];
    writer.write(&concat_batches(&batches[0].schema(), &batches).expect("joined")).await.expect("written");
    let files = writer.finish().await.expect("stored");
    let dates: Vec<_> = files.iter().map(|file| file.partition_values["date"].clone().expect("a date")).collect();
    assert_eq!(dates, ["1969-12-31", "1970-01-01"]);
    for (file, (least, greatest)) in files.iter().zip([
        ("1969-12-31T23:59:59.998500", "1969-12-31T23:59:59.999999"),
        ("1970-01-01T00:00:00.000000", "1970-01-01T23:59:59.999999"),
    ]) {
        assert_eq!(std::fs::metadata(folder.path().join(&file.path)).expect("a file").len() as i64, file.size);
        let stats: Value = serde_json::from_str(file.stats.as_deref().expect("statistics")).expect("JSON");
        assert_eq!(stats["numRecords"], 2);
        assert_eq!(
            (&stats["minValues"]["timestamp"], &stats["maxValues"]["timestamp"]),
            (&json!(least), &json!(greatest))
        );
        assert_eq!(stats["nullCount"]["timestamp"], 0);
    }
}
