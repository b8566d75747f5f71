mod soak;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;

use chrono::NaiveDate;
use ridealong_common::rows::RequestRow;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_engine::datafusion::arrow::array::{Array, AsArray, RecordBatch};
use ridealong_engine::datafusion::arrow::compute::concat_batches;
use ridealong_engine::datafusion::arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use ridealong_engine::datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ridealong_model::jobs::{Job, Worker};
use ridealong_model::lake::Lake as _;
use ridealong_wal::{Wal, WalOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::convert::tests::{request, rows};
use crate::entries::entry;
use crate::lake::Lake;
use crate::lake::tests::journal;
use crate::options::LakeOptions;
use crate::place::Place;
use crate::snapshot::{ColdFile, TableSnapshot};
use crate::visits::tests::event;
use crate::write::TableWriter;

const PATIENCE: Duration = Duration::from_secs(20);
const HOUR_US: i64 = 3_600_000_000;
const DAY_US: i64 = 24 * HOUR_US;

/// The numbers of all rows of a table of requests, hot and cold, in order.
pub(crate) fn ids(table: &TableSnapshot) -> Vec<u128> {
    let cold = table.cold.files.iter().flat_map(read);
    let batches: Vec<RecordBatch> = table.hot.iter().cloned().chain(cold).collect();
    let mut ids: Vec<u128> = batches.iter().flat_map(ids_of).collect();
    ids.sort_unstable();
    ids
}

fn ids_of(rows: &RecordBatch) -> Vec<u128> {
    let column = rows.column_by_name("event_id").expect("ids").as_binary::<i32>();
    column.iter().map(|id| u128::from_be_bytes(id.expect("an id").try_into().expect("16 bytes"))).collect()
}

fn times_of(rows: &RecordBatch) -> Vec<i64> {
    rows.column_by_name("timestamp").expect("times").as_primitive::<TimestampMicrosecondType>().values().to_vec()
}

fn read(file: &ColdFile) -> Vec<RecordBatch> {
    let file = File::open(format!("/{}", file.path)).expect("a file of the table");
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).expect("Parquet").build().expect("read");
    reader.map(|batch| batch.expect("rows")).collect()
}

struct Sandbox {
    folder: TempDir,
    runtime: Runtime,
    wal: Wal,
    lake: Lake,
}

impl Sandbox {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (wal, _) = Wal::open(WalOptions::new(folder.path().join("log"))).expect("a log");
        let mut options = LakeOptions::new(Place::folder(folder.path().join("lake")), journal(folder.path()));
        options.flush_age = Duration::from_secs(100_000);
        let lake = Lake::open(options, wal.clone()).expect("a lake");
        Self { folder, runtime: Runtime::new().expect("a runtime"), wal, lake }
    }

    /// Requests with these numbers and times, in one flush.
    fn flush(&self, requests: impl IntoIterator<Item = (u64, i64)>) {
        let rows: Vec<RequestRow> = requests.into_iter().map(|(number, time)| timed(number, time)).collect();
        let payload = RequestRow::block(&rows, &Default::default()).encode().expect("encodes").into();
        self.append(Table::Requests, rows.len(), payload);
    }

    fn append(&self, table: Table, rows: usize, payload: bytes::Bytes) {
        self.runtime.block_on(self.wal.append(entry(table, rows, payload))).expect("appended");
        self.runtime.block_on(self.lake.flush()).expect("flushed");
    }

    fn table(&self, table: Table) -> TableSnapshot {
        let pinned = self.runtime.block_on(self.lake.pin("default", PATIENCE)).expect("caught up");
        pinned.table(table).expect("the table").clone()
    }

    fn compact(&self) -> Outcome {
        self.runtime.block_on(self.lake.run(Job::Compact)).expect("compacted")
    }
}

fn timed(number: u64, time: i64) -> RequestRow {
    let mut row = request(number);
    row.timestamp = Timestamp(time);
    row
}

/// Which day a file's name says, and its rows.
fn day_and_rows(file: &ColdFile) -> (NaiveDate, RecordBatch) {
    let date = file.name.strip_prefix("date=").and_then(|name| name.get(..10)).expect("a day");
    let rows = read(file);
    (date.parse().expect("a date"), concat_batches(&rows[0].schema(), &rows).expect("joined"))
}

#[test]
fn late_events_of_any_age_lie_in_their_day_and_become_one_file_a_day() {
    let sandbox = Sandbox::new();
    let now = chrono::Utc::now().timestamp_micros();
    // 1970 to today, 200 days that differ, in no order; twice, at other times of the day.
    let day = |number: u64| (now / DAY_US - 3) * (number as i64 * 83 % 200) / 199;
    for round in 0..2 {
        sandbox
            .flush((0..200).map(|number| (round * 200 + number, day(number) * DAY_US + (5 - round as i64) * HOUR_US)));
    }
    let before = sandbox.table(Table::Requests);
    assert_eq!(before.cold.files.len(), 400);
    sandbox.compact();
    let after = sandbox.table(Table::Requests);
    assert_eq!(after.cold.files.len(), 200);
    let mut days = BTreeMap::new();
    for file in &after.cold.files {
        let (date, rows) = day_and_rows(file);
        for time in times_of(&rows) {
            let of_row = chrono::DateTime::from_timestamp_micros(time).expect("a time").date_naive();
            assert_eq!(of_row, date);
        }
        assert!(times_of(&rows).is_sorted());
        assert!(days.insert(date, rows.num_rows()).is_none(), "one file of {date}");
    }
    assert!(days.values().all(|rows| *rows == 2));
    assert_eq!(ids(&after), (0..400).collect::<Vec<_>>());
    assert_eq!(sandbox.compact(), Outcome::default(), "nothing is left to do");
    sandbox.lake.close();
}

#[test]
fn merged_files_hold_the_same_rows_in_the_order_of_time() {
    let sandbox = Sandbox::new();
    // 40,000 rows of one day in five flushes that overlap: more than is merged at once.
    for flush in 0..5_u64 {
        let rows = (0..8_000).map(|row| row * 5 + flush);
        sandbox.flush(rows.map(|number| (number, (number as i64 * 7_919 % 40_000) * 1_000_000)));
    }
    let before: BTreeMap<u128, String> = shown(&sandbox.table(Table::Requests));
    let outcome = sandbox.compact();
    assert_eq!((outcome.tables, outcome.files_removed, outcome.files_added, outcome.rows), (1, 5, 1, 40_000));
    let table = sandbox.table(Table::Requests);
    let (_, rows) = day_and_rows(&table.cold.files[0]);
    assert!(times_of(&rows).is_sorted());
    assert!(shown(&table) == before, "every value of every row");
    assert_eq!(table.cold.files[0].timestamps, Some((0, 39_999_000_999)));
    sandbox.lake.close();
}

fn shown(table: &TableSnapshot) -> BTreeMap<u128, String> {
    let mut shown = BTreeMap::new();
    for batch in table.cold.files.iter().flat_map(read) {
        for (row, id) in ids_of(&batch).into_iter().enumerate() {
            let values = batch.columns().iter().map(|column| format!("{:?}", column.slice(row, 1)));
            assert!(shown.insert(id, values.collect()).is_none(), "row {id} twice");
        }
    }
    shown
}

#[test]
fn a_table_with_many_files_is_compacted_without_being_asked() {
    let sandbox = Sandbox::new();
    for flush in 0..=FILES_CROWDED as u64 {
        sandbox.flush([(flush, flush as i64)]);
    }
    let few = std::iter::repeat_with(|| sandbox.table(Table::Requests)).take(4_000).find(|table| {
        std::thread::sleep(Duration::from_millis(5));
        table.cold.files.len() < 10
    });
    assert_eq!(ids(&few.expect("it becomes few files")), (0..=FILES_CROWDED as u128).collect::<Vec<_>>());
    sandbox.lake.close();
}

#[test]
fn a_file_that_cannot_be_read_keeps_only_its_own_day_from_being_merged() {
    let sandbox = Sandbox::new();
    for number in 0..6 {
        sandbox.flush([(number, (number % 3) as i64 * DAY_US)]);
    }
    let broken =
        sandbox.table(Table::Requests).cold.files.iter().find(|file| file.name.contains("1970-01-02")).cloned();
    let broken = broken.expect("a file of the second day");
    let whole = std::fs::read(format!("/{}", broken.path)).expect("read");
    std::fs::write(format!("/{}", broken.path), &whole[..whole.len() / 2]).expect("cut");
    let error = sandbox.runtime.block_on(sandbox.lake.run(Job::Compact)).expect_err("it says so");
    assert!(error.to_string().contains(&broken.name), "{error}");
    assert_eq!(sandbox.table(Table::Requests).cold.files.len(), 4, "the other two days are one file each");
    std::fs::write(format!("/{}", broken.path), &whole).expect("mended");
    assert_eq!(sandbox.compact().files_removed, 2);
    assert_eq!(ids(&sandbox.table(Table::Requests)), (0..6).collect::<Vec<_>>());
    sandbox.lake.close();
}

#[test]
fn visits_are_joined_by_compaction() {
    use ridealong_common::event::TrackedEvent;
    let sandbox = Sandbox::new();
    for minute in 0..4 {
        let rows = [event(Some("u"), None, minute * 60_000_000)];
        sandbox.append(Table::Events, 1, TrackedEvent::block(&rows).encode().expect("encodes").into());
    }
    assert_eq!(sandbox.table(Table::Visits).cold.rows(), 4);
    sandbox.compact();
    let visits = sandbox.table(Table::Visits);
    assert_eq!((visits.cold.rows(), visits.cold.files.len()), (1, 1));
    let (_, rows) = day_and_rows(&visits.cold.files[0]);
    assert_eq!(rows.column_by_name("event_count").expect("counts").as_primitive::<Int64Type>().value(0), 4);
    assert_eq!(sandbox.table(Table::Events).cold.rows(), 4);
    sandbox.lake.close();
}

/// Merges files that were written as given, each batch behind the other.
struct Files {
    _folder: TempDir,
    place: Place,
    files: Vec<ColdFile>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { place: Place::folder(folder.path()), _folder: folder, files: Vec::new() }
    }

    async fn write(&mut self, rows: &[RecordBatch]) {
        let mut writer = TableWriter::new(self.place.clone(), Table::Requests);
        for rows in rows {
            writer.write(rows).await.expect("written");
        }
        let added = writer.finish().await.expect("stored");
        let count = rows.iter().map(|rows| rows.num_rows() as u64).sum();
        let cold: Vec<ColdFile> = added.iter().map(|file| self.cold(file, count)).collect();
        self.files.extend(cold);
    }

    fn cold(&self, file: &Add, rows: u64) -> ColdFile {
        ColdFile {
            store: Arc::from("file:///"),
            path: format!("{}/{}", self.place.path(), file.path),
            name: file.path.clone(),
            archived: false,
            pending: Arc::default(),
            masked: 0,
            bytes: file.size as u64,
            rows,
            modified_ms: 0,
            timestamps: None,
        }
    }

    async fn merged(&self) -> Result<Vec<RecordBatch>, merge::MergeError> {
        let mut added = Vec::new();
        merge(&self.place, Table::Requests, &Merge { files: self.files.clone(), is_settled: true }, &mut added).await?;
        Ok(added.iter().flat_map(|file| read(&self.cold(file, 0))).collect())
    }
}

fn at(number: u64, time: i64) -> RecordBatch {
    rows(&[timed(number, time)])
}

#[tokio::test]
async fn rows_without_any_order_are_sorted() {
    let mut files = Files::new();
    // Hundreds of steps back in time: nobody of ours writes such a file.
    let backwards: Vec<RecordBatch> = (0..300).map(|number| at(number, 1_000 - number as i64)).collect();
    files.write(&backwards).await;
    // A few pieces, as a flush has them.
    files.write(&[at(300, 500), at(301, 900), at(302, 100), at(303, 2_000), at(304, 50)]).await;
    let merged = files.merged().await.expect("merged");
    let times: Vec<i64> = merged.iter().flat_map(times_of).collect();
    assert!(times.is_sorted() && times.len() == 305, "{times:?}");
    assert_eq!(merged.iter().flat_map(ids_of).collect::<BTreeSet<_>>().len(), 305);
}

#[tokio::test]
async fn what_an_earlier_program_did_not_know_is_null_and_what_a_later_one_knows_is_not_lost() {
    use ridealong_engine::datafusion::parquet::arrow::ArrowWriter;
    let mut files = Files::new();
    files.write(&[at(1, 10)]).await;
    files.write(&[at(2, 20)]).await;
    let whole = at(2, 20);
    let earlier: Vec<usize> =
        (0..whole.num_columns()).filter(|column| whole.schema().field(*column).name() != "status").collect();
    let replace = |files: &mut Files, rows: &RecordBatch| {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).expect("a writer");
        writer.write(rows).expect("written");
        writer.close().expect("closed");
        std::fs::write(format!("/{}", files.files[1].path), &bytes).expect("written");
        files.files[1].bytes = bytes.len() as u64;
    };
    replace(&mut files, &whole.project(&earlier).expect("fewer columns"));
    let merged = files.merged().await.expect("merged");
    let status = merged[0].column_by_name("status").expect("a column");
    assert!(status.is_valid(0) && status.is_null(1));

    let column = whole.column_by_name("path").expect("a column").clone();
    let later = whole.columns().iter().cloned().chain([column]);
    let later_names = whole.schema();
    let later_names = later_names.fields().iter().map(|field| field.name().as_str()).chain(["of_tomorrow"]);
    let later = RecordBatch::try_from_iter(later_names.zip(later)).expect("more columns");
    replace(&mut files, &later);
    let error = files.merged().await.expect_err("a column would be lost");
    assert!(error.to_string().contains("of_tomorrow"), "{error}");
}

#[tokio::test]
async fn rows_that_are_missing_are_noticed() {
    let mut files = Files::new();
    files.write(&[at(1, 10)]).await;
    files.write(&[at(2, 20)]).await;
    files.files[0].rows = 2;
    let error = files.merged().await.expect_err("a row less than the table says");
    assert!(matches!(error, merge::MergeError::Miscounted { expected: 3, found: 2 }), "{error}");
}
