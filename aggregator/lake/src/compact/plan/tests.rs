use std::sync::Arc;

use proptest::prelude::*;

use super::unit::FILE_WEIGHT;
use super::*;
use crate::mutations::Mutation;
use crate::write::date_of;

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * HOUR_US;
/// 2026-11-01.
const BEGIN_US: i64 = 20_758 * DAY_US;
const MIB: u64 = 1 << 20;

/// A file that knows its rows: of each the time and a number of its own.
#[derive(Clone, Debug)]
struct File {
    cold: ColdFile,
    rows: Vec<(i64, u64)>,
}

fn file(number: u64, mut rows: Vec<(i64, u64)>, bytes: u64) -> File {
    rows.sort_unstable();
    let (oldest, newest) = (rows[0].0, rows[rows.len() - 1].0);
    assert_eq!(day_of(oldest), day_of(newest), "a file is of one day");
    let name = format!("{DATE}={}/{number}.parquet", date_of(day_of(oldest)));
    let cold = ColdFile {
        store: Arc::from("file:///"),
        path: name.clone(),
        name,
        archived: false,
        pending: Arc::default(),
        masked: 0,
        bytes,
        rows: rows.len() as u64,
        modified_ms: 0,
        timestamps: Some((oldest, newest + WIDENED_US)),
    };
    File { cold, rows }
}

/// One table over many days.
#[derive(Default)]
struct Simulated {
    files: Vec<File>,
    numbers: u64,
    rows: u64,
    flushed_files: u64,
    flushed_bytes: u64,
    merged_bytes: u64,
}

impl Simulated {
    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Rows of any days: each day becomes a file.
    fn flush(&mut self, times: &[i64], bytes_a_row: u64) {
        let mut by_day: BTreeMap<i32, Vec<(i64, u64)>> = BTreeMap::new();
        for time in times {
            self.rows += 1;
            by_day.entry(day_of(*time)).or_default().push((*time, self.rows));
        }
        for rows in by_day.into_values() {
            let bytes = rows.len() as u64 * bytes_a_row;
            let new = file(self.number(), rows, bytes);
            self.flushed_files += 1;
            self.flushed_bytes += bytes;
            self.files.push(new);
        }
    }

    fn cold(&self) -> Vec<ColdFile> {
        self.files.iter().map(|file| file.cold.clone()).collect()
    }

    /// Merges until nothing is due.
    fn compact(&mut self, now_us: i64) {
        for _ in 0..50 {
            let due = plan(&self.cold(), now_us);
            if due.is_empty() {
                return;
            }
            due.iter().for_each(|merge| self.merge(merge));
        }
        panic!("it comes to no end: {:?}", plan(&self.cold(), now_us));
    }

    fn merge(&mut self, merge: &Merge) {
        assert!(merge.files.len() >= 2, "one file alone is not written again");
        let names: Vec<&str> = merge.files.iter().map(|file| &*file.name).collect();
        let days: Vec<_> = names.iter().map(|name| day_in(name)).collect();
        assert!(days.windows(2).all(|days| days[0] == days[1]), "days stay apart: {names:?}");
        let (taken, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.files).into_iter().partition(|file| names.contains(&&*file.cold.name));
        assert_eq!(taken.len(), names.len(), "each file once");
        self.files = kept;
        let bytes = merge.bytes();
        self.merged_bytes += bytes;
        let mut rows: Vec<_> = taken.into_iter().flat_map(|file| file.rows).collect();
        rows.sort_unstable();
        let each = rows.len().div_ceil(outputs(bytes));
        for chunk in rows.chunks(each) {
            let new = file(self.number(), chunk.to_vec(), bytes * chunk.len() as u64 / rows.len() as u64);
            self.files.push(new);
        }
    }

    fn check_rows(&self) {
        let mut rows: Vec<u64> = self.files.iter().flat_map(|file| file.rows.iter().map(|row| row.1)).collect();
        rows.sort_unstable();
        assert!(rows.iter().copied().eq(1..=self.rows), "every row in exactly one file");
    }

    fn days(&self) -> usize {
        self.files.iter().map(|file| day_in(&file.cold.name)).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Written by merges, over what has been flushed with what a file weighs.
    fn amplification(&self) -> f64 {
        self.merged_bytes as f64 / (self.flushed_bytes + FILE_WEIGHT * self.flushed_files) as f64
    }
}

/// Marsaglia's xorshift: good enough to choose by.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    days: i64,
    job_minutes: i64,
    rows_a_flush: u64,
    bytes_a_row: u64,
    /// Of a hundred flushes these bring late rows,
    late_percent: u64,
    /// each for so many days of the past.
    late_days: u64,
    /// Every so many flushes one is many times larger.
    burst_every: u64,
    seed: u64,
}

impl Pattern {
    /// Whether a day may be more than one file.
    fn days_are_long(&self) -> bool {
        self.rows_a_flush * self.bytes_a_row * 12 * 24 * 2 > 96 * MIB
    }
}

/// A flush each five minutes.
fn run(pattern: Pattern) -> Simulated {
    let mut table = Simulated::default();
    let mut random = Random(pattern.seed | 1);
    let flushes = pattern.days * 24 * 12;
    for flush in 0..flushes {
        let now = BEGIN_US + (flush + 1) * 5 * MINUTE_US;
        let mut count = pattern.rows_a_flush;
        if pattern.burst_every > 0 && random.below(pattern.burst_every) == 0 {
            count *= 8;
        }
        // Up to two minutes on the way.
        let mut times: Vec<i64> = (0..count).map(|_| now - random.below(7 * MINUTE_US as u64) as i64).collect();
        if random.below(100) < pattern.late_percent {
            for _ in 0..pattern.late_days {
                times.push(now - random.below((now - BEGIN_US + DAY_US) as u64) as i64);
            }
        }
        table.flush(&times, pattern.bytes_a_row);
        if (flush * 5) % pattern.job_minutes == 0 {
            table.compact(now);
            let files = table.files.len();
            // What does not fit into a file of a unit's own is in files of this size at least.
            let more = table.flushed_bytes.checked_div(32 * MIB).filter(|_| pattern.days_are_long()).unwrap_or(0);
            let files_max = table.days() + 48 + SLACK;
            assert!(files <= files_max.max(FILES_AIM) + more as usize, "{files} files, {pattern:?}");
            assert!(files <= 150 || pattern.days_are_long(), "{files} of {} days, {pattern:?}", table.days());
        }
    }
    table.compact(BEGIN_US + pattern.days * DAY_US);
    table.check_rows();
    table
}

fn bounded(pattern: Pattern, bound: f64) {
    let table = run(pattern);
    let amplification = table.amplification();
    println!("{pattern:?}: {} files of {} days, {amplification:.1} times", table.files.len(), table.days());
    assert!(amplification <= bound, "{amplification:.1} times, {pattern:?}");
}

/// Rows of a flush stand for its bytes: 8 of them up to 16 MiB, so that a day is at most 4.6 GiB.
fn pattern() -> impl Strategy<Value = Pattern> {
    let sizes = prop_oneof![Just(2_000_u64), Just(20_000), Just(400_000), Just(2 * MIB)];
    let late = prop_oneof![Just((0_u64, 0_u64)), Just((5, 3)), Just((50, 2)), Just((100, 1))];
    let often = prop_oneof![Just(5_i64), Just(15), Just(60), Just(240)];
    (3..25_i64, often, sizes, late, prop_oneof![Just(0_u64), Just(40)], any::<u64>()).prop_map(
        |(days, job_minutes, bytes_a_row, (late_percent, late_days), burst_every, seed)| Pattern {
            days: if bytes_a_row > 40_000 { days.min(8) } else { days },
            job_minutes,
            rows_a_flush: 8,
            bytes_a_row,
            late_percent,
            late_days,
            burst_every,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_arrives_files_stay_few_and_are_seldom_written_again(pattern in pattern()) {
        bounded(pattern, if pattern.late_percent == 0 { 4.0 } else { 10.0 });
    }
}

#[test]
fn ninety_days_with_late_rows_of_any_age_take_at_most_150_files() {
    let pattern = Pattern {
        days: 90,
        job_minutes: 15,
        rows_a_flush: 4,
        bytes_a_row: 20_000,
        late_percent: 20,
        late_days: 2,
        burst_every: 0,
        seed: 7,
    };
    bounded(pattern, 10.0);
}

#[test]
fn an_hour_that_is_over_is_one_file_and_so_is_a_day() {
    let mut table = Simulated::default();
    let minute = |minute: i64| BEGIN_US + minute * MINUTE_US;
    for flush in 1..=48 {
        table.flush(&[minute(flush * 5 - 4), minute(flush * 5 - 1)], 1_000);
        table.compact(minute(flush * 5));
    }
    // Four hours, all over but for what comes next.
    table.compact(minute(240));
    assert_eq!(table.files.len(), 4);
    table.compact(BEGIN_US + DAY_US + HOUR_US);
    assert_eq!(table.files.len(), 4, "yesterday is by the hour");
    table.compact(BEGIN_US + 2 * DAY_US);
    assert_eq!(table.files.len(), 1);
    assert!(table.files[0].rows.is_sorted());
}

#[test]
fn a_late_row_does_not_have_a_large_file_written_again_until_there_are_more() {
    let mut table = Simulated::default();
    let now = BEGIN_US + 10 * DAY_US;
    table.flush(&[BEGIN_US, BEGIN_US + DAY_US - 1], 45 * MIB);
    for late in 1..=4 {
        table.flush(&[BEGIN_US + late * HOUR_US], 1_000);
        table.compact(now);
        assert_eq!((table.files.len(), table.merged_bytes < MIB), (2, true), "late rows are put together");
    }
    table.flush(&[BEGIN_US + HOUR_US], 5 * MIB);
    table.compact(now);
    assert_eq!(table.files.len(), 1);
}

#[test]
fn a_large_day_is_a_row_of_files_and_only_what_overlaps_is_written_again() {
    let mut table = Simulated::default();
    let now = BEGIN_US + 10 * DAY_US;
    // 24 flushes of 40 MiB, each an hour long and a little into the next.
    for hour in 0..24_i64 {
        let times: Vec<i64> = (0..8).map(|row| (hour * 60 + row * 9).min(1_439)).collect();
        table.flush(&times.iter().map(|minute| BEGIN_US + minute * MINUTE_US).collect::<Vec<_>>(), 5 * MIB);
    }
    table.compact(now);
    let mut cold = table.cold();
    cold.sort_by_key(|file| file.timestamps);
    assert_eq!(cold.len(), 10);
    assert!(cold.windows(2).all(|pair| bounds(&pair[0]).map(|it| it.1) <= bounds(&pair[1]).map(|it| it.0)));
    assert!(cold.iter().all(|file| file.bytes <= crate::write::FILE_BYTES_MAX as u64));
    let before = table.merged_bytes;
    // A quarter of the day's bytes, all of one minute.
    table.flush(&[BEGIN_US + 5 * MINUTE_US + 1; 8], 31 * MIB);
    table.compact(now);
    assert!(table.merged_bytes - before < 400 * MIB, "{} MiB", (table.merged_bytes - before) / MIB);
    table.check_rows();
}

#[test]
fn what_has_mutations_pending_or_no_day_is_left_alone() {
    use ridealong_engine::datafusion::prelude::lit;
    let mut table = Simulated::default();
    for _ in 0..6 {
        table.flush(&[BEGIN_US], 1_000);
    }
    let mut files = table.cold();
    let delete = Mutation { number: 1, filter: lit(true), action: crate::mutations::Action::Delete };
    files[0].pending = Arc::from([Arc::new(delete)]);
    files[1].name = "part-0001.parquet".into();
    let due = plan(&files, BEGIN_US + 10 * DAY_US);
    let names: Vec<Vec<&str>> = due.iter().map(|merge| merge.files.iter().map(|file| &*file.name).collect()).collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].len(), 4);
    assert!(!names[0].contains(&&*files[0].name) && !names[0].contains(&&*files[1].name));
}

#[test]
fn nothing_is_due_in_an_empty_table() {
    assert!(plan(&[], BEGIN_US).is_empty());
}
