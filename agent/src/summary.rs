//! Summaries: exact counts and a latency sketch of each route × method × status in each interval.
//!
//! The spool summarises the exchanges of each group commit, those that sampling leaves out as well, and writes the
//! summaries with the rows. They lie in another row of
//! databases than ordinary requests, fsynced a moment before: a crash in between keeps the counts and loses the rows.
//! Several rows of one interval and key add up.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use http::Method;
use parking_lot::Mutex;
use ridealong_common::rows::{RequestRow, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::time::Timestamp;

/// The length of an interval.
pub const INTERVAL: Duration = Duration::from_secs(10);
const INTERVAL_US: i64 = INTERVAL.as_micros() as i64;
/// Intervals kept in memory for `/performance`: five minutes and the one that is running.
const INTERVALS_KEPT: usize = 31;

/// What the summaries want of one exchange.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    pub timestamp: Timestamp,
    pub route: Arc<str>,
    pub method: Cow<'static, str>,
    pub status: Option<u16>,
    pub is_error: bool,
    pub duration_us: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

/// The same, borrowed from a row or a tally.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    timestamp: Timestamp,
    route: &'a Arc<str>,
    method: &'a Cow<'static, str>,
    status: Option<u16>,
    is_error: bool,
    duration_us: u64,
    request_bytes: u64,
    response_bytes: u64,
}

impl<'a> Counted<'a> {
    pub fn of_row(row: &'a RequestRow) -> Self {
        Self {
            timestamp: row.timestamp,
            route: &row.route,
            method: &row.method,
            status: row.status,
            is_error: row.is_error(),
            duration_us: row.duration_us,
            request_bytes: row.request_bytes,
            response_bytes: row.response_bytes,
        }
    }

    pub fn of_tally(tally: &'a Tally) -> Self {
        Self {
            timestamp: tally.timestamp,
            route: &tally.route,
            method: &tally.method,
            status: tally.status,
            is_error: tally.is_error,
            duration_us: tally.duration_us,
            request_bytes: tally.request_bytes,
            response_bytes: tally.response_bytes,
        }
    }
}

/// A method's name; those of HTTP itself are not allocated.
pub fn method_of(method: &Method) -> Cow<'static, str> {
    let known = match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => return Cow::Owned(method.as_str().to_owned()),
    };
    Cow::Borrowed(known)
}

/// Summaries in the making: one for each interval, route, method and status.
#[derive(Default)]
pub struct Summing<'a> {
    rows: Vec<SummaryRow>,
    /// Where in `rows` each key is.
    places: HashMap<Key<'a>, usize, RandomState>,
}

/// Interval, route, method, status.
type Key<'a> = (i64, &'a str, &'a str, Option<u16>);

impl<'a> Summing<'a> {
    pub fn add(&mut self, counted: &Counted<'a>) {
        let start = counted.timestamp.micros().div_euclid(INTERVAL_US) * INTERVAL_US;
        let rows = &mut self.rows;
        let place = *self.places.entry((start, counted.route, counted.method, counted.status)).or_insert_with(|| {
            rows.push(empty(start, counted));
            rows.len() - 1
        });
        let summary = &mut rows[place];
        summary.count += 1;
        summary.error_count += u64::from(counted.is_error);
        summary.duration_sum_us += counted.duration_us;
        summary.duration_max_us = summary.duration_max_us.max(counted.duration_us);
        summary.duration_sketch.add(counted.duration_us);
        summary.request_bytes += counted.request_bytes;
        summary.response_bytes += counted.response_bytes;
    }

    /// By interval, then by route, method and status.
    pub fn into_rows(self) -> Vec<SummaryRow> {
        let mut rows = self.rows;
        rows.sort_unstable_by(|one, other| {
            let by = one.timestamp.cmp(&other.timestamp).then_with(|| one.route.cmp(&other.route));
            by.then_with(|| one.method.cmp(&other.method)).then_with(|| one.status.cmp(&other.status))
        });
        rows
    }
}

fn empty(start: i64, counted: &Counted<'_>) -> SummaryRow {
    SummaryRow {
        timestamp: Timestamp(start),
        route: Arc::clone(counted.route),
        method: counted.method.clone(),
        status: counted.status,
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
            let totals = intervals[at].1.entry(summary.route.to_string()).or_default();
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
