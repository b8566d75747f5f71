//! Summaries: exact counts and a latency sketch of each route × method × status in each interval.
//!
//! The spool summarises the rows of each group commit and writes the summaries with them. They lie in another row of
//! databases than ordinary requests, fsynced a moment before: a crash in between keeps the counts and loses the rows.
//! Several rows of one interval and key add up.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use ridealong_common::rows::{RequestRow, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::time::Timestamp;

/// The length of an interval.
pub const INTERVAL: Duration = Duration::from_secs(10);
const INTERVAL_US: i64 = INTERVAL.as_micros() as i64;
/// Intervals kept in memory for `/performance`: five minutes and the one that is running.
const INTERVALS_KEPT: usize = 31;

/// One row for each interval, route, method and status among the requests.
pub fn summarised(rows: &[RequestRow]) -> Vec<SummaryRow> {
    let mut summaries: BTreeMap<(i64, &str, &str, Option<u16>), SummaryRow> = BTreeMap::new();
    for row in rows {
        let start = row.timestamp.micros().div_euclid(INTERVAL_US) * INTERVAL_US;
        let key = (start, row.route.as_str(), row.method.as_str(), row.status);
        let summary = summaries.entry(key).or_insert_with(|| empty(start, row));
        summary.count += 1;
        summary.error_count += u64::from(row.is_error());
        summary.duration_sum_us += row.duration_us;
        summary.duration_max_us = summary.duration_max_us.max(row.duration_us);
        summary.duration_sketch.add(row.duration_us);
        summary.request_bytes += row.request_bytes;
        summary.response_bytes += row.response_bytes;
    }
    summaries.into_values().collect()
}

fn empty(start: i64, row: &RequestRow) -> SummaryRow {
    SummaryRow {
        timestamp: Timestamp(start),
        route: row.route.clone(),
        method: row.method.clone(),
        status: row.status,
        count: 0,
        error_count: 0,
        duration_sum_us: 0,
        duration_max_us: 0,
        duration_sketch: Sketch::new(),
        request_bytes: 0,
        response_bytes: 0,
    }
}

/// What one route saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RouteTotals {
    pub count: u64,
    pub errors: u64,
    pub duration_max_us: u64,
    pub sketch: Sketch,
}

/// The last minutes by route, for the agent's own `/performance`.
#[derive(Debug, Default)]
pub struct LastMinutes {
    intervals: Mutex<VecDeque<(i64, BTreeMap<String, RouteTotals>)>>,
}

impl LastMinutes {
    pub fn add(&self, summaries: &[SummaryRow]) {
        let mut intervals = self.intervals.lock();
        for summary in summaries {
            let start = summary.timestamp.micros();
            let at = intervals.partition_point(|(other, _)| *other < start);
            if intervals.get(at).is_none_or(|(other, _)| *other != start) {
                intervals.insert(at, (start, BTreeMap::new()));
            }
            let totals = intervals[at].1.entry(summary.route.clone()).or_default();
            totals.count += summary.count;
            totals.errors += summary.error_count;
            totals.duration_max_us = totals.duration_max_us.max(summary.duration_max_us);
            totals.sketch.merge(&summary.duration_sketch);
        }
        while intervals.len() > INTERVALS_KEPT {
            intervals.pop_front();
        }
    }

    /// Totals by route of the intervals that end after `since`.
    pub fn since(&self, since: Timestamp) -> BTreeMap<String, RouteTotals> {
        let mut routes: BTreeMap<String, RouteTotals> = BTreeMap::new();
        for (start, interval) in self.intervals.lock().iter() {
            if start + INTERVAL_US <= since.micros() {
                continue;
            }
            for (route, seen) in interval {
                let totals = routes.entry(route.clone()).or_default();
                totals.count += seen.count;
                totals.errors += seen.errors;
                totals.duration_max_us = totals.duration_max_us.max(seen.duration_max_us);
                totals.sketch.merge(&seen.sketch);
            }
        }
        routes
    }
}

#[cfg(test)]
mod tests;
