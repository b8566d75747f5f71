//! A question that has been checked: every name is known, every metric has every dimension, and the range is cut into
//! buckets.

pub mod filter;
pub mod metric;

use std::fmt::Write;
use std::time::Duration;

use ridealong_common::table::{Column, ColumnKind, Table};
use ridealong_common::time::Timestamp;
use ridealong_model::metrics::{
    AskedFilter, BUCKETS_MAX, CACHE_TTL_MAX, DIMENSIONS_MAX, FILTERS_MAX, GRANULARITY_MIN, METRICS_MAX, MetricsError,
    MetricsRequest, Moment,
};

use self::filter::Filter;
use self::metric::Metric;
use crate::cells::family::{Group, Level, SUMMARIES, SUMMARY_INTERVAL_US};
use crate::cells::grid::Buckets;
use crate::cells::kernel::Window;

const DAY_US: i64 = Level::Day.micros();
/// The first Monday: weeks begin on one.
const MONDAY_US: i64 = 4 * DAY_US;

#[derive(Clone, Debug)]
pub struct Question {
    pub metrics: Vec<Metric>,
    /// As they were asked for.
    pub dimensions: Vec<String>,
    pub has_buckets: bool,
    pub buckets: Buckets,
    /// As asked for, µs.
    pub range: Window,
    pub parts: Vec<Part>,
}

/// What one table has to say.
#[derive(Clone, Debug)]
pub struct Part {
    pub table: Table,
    /// Each once.
    pub groups: Vec<Group>,
    /// Columns, in the order of the question's dimensions.
    pub dimensions: Vec<&'static str>,
    pub filters: Vec<Filter>,
    /// The range, of summaries whole intervals.
    pub window: Window,
}

impl Question {
    /// Every fault of a request is one that its sender can mend.
    pub fn check(request: &MetricsRequest, now: Timestamp) -> Result<Self, MetricsError> {
        let metrics = metrics(&request.metrics)?;
        let dimensions = &request.dimensions;
        if dimensions.len() > DIMENSIONS_MAX {
            return Err(MetricsError::invalid("dimensions", format!("at most {DIMENSIONS_MAX}")));
        }
        if let Some(twice) = dimensions.iter().enumerate().find(|(at, name)| dimensions[..*at].contains(name)) {
            return Err(MetricsError::invalid(
                format!("dimensions[{}]", twice.0),
                format!("{} is there twice", twice.1),
            ));
        }
        if request.filters.len() > FILTERS_MAX {
            return Err(MetricsError::invalid("filters", format!("at most {FILTERS_MAX}")));
        }
        if request.cache_ttl.is_some_and(|ttl| ttl > CACHE_TTL_MAX) {
            return Err(MetricsError::invalid("cacheTTL", format!("at most {} seconds", CACHE_TTL_MAX.as_secs())));
        }
        let range = range(request, now)?;
        let buckets = buckets(request.granularity, range)?;
        let mut question = Self {
            metrics,
            dimensions: dimensions.clone(),
            has_buckets: request.granularity.is_some(),
            buckets,
            range,
            parts: Vec::new(),
        };
        question.parts = question.parts(&request.filters)?;
        Ok(question)
    }

    /// The part that a metric is read from.
    pub fn part_of(&self, metric: Metric) -> usize {
        let of = |part: &Part| metric.tables().contains(&part.table);
        self.parts.iter().position(of).unwrap_or_default()
    }

    /// The range that was answered: of all parts together.
    pub fn answered(&self) -> Window {
        let from = self.parts.iter().map(|part| part.window.0).min();
        let to = self.parts.iter().map(|part| part.window.1).max();
        (from.unwrap_or(self.range.0), to.unwrap_or(self.range.1))
    }

    /// How many seconds of a part's window lie in a bucket.
    pub fn seconds(&self, part: &Part, bucket: i64) -> f64 {
        let (from, to) = match self.has_buckets {
            true => {
                let start = self.buckets.start(bucket);
                (start.max(part.window.0), (start + self.buckets.length).min(part.window.1))
            }
            false => part.window,
        };
        (to - from).max(1) as f64 / 1e6
    }

    fn parts(&self, filters: &[AskedFilter]) -> Result<Vec<Part>, MetricsError> {
        let mut parts: Vec<Part> = Vec::new();
        for metric in &self.metrics {
            if let Some(part) = parts.iter_mut().find(|part| metric.tables().contains(&part.table)) {
                if !part.groups.contains(&metric.group()) {
                    part.groups.push(metric.group());
                }
                continue;
            }
            parts.push(self.part(*metric, filters)?);
        }
        Ok(parts)
    }

    /// From the first of the metric's tables that has all that is asked for.
    fn part(&self, metric: Metric, filters: &[AskedFilter]) -> Result<Part, MetricsError> {
        let summaries_do = |column: &str| SUMMARIES.contains(&column);
        for table in metric.tables() {
            let is_last = Some(table) == metric.tables().last();
            if *table == Table::RequestSummaries {
                let names = self.dimensions.iter().chain(filters.iter().map(|filter| &filter.field));
                let has_all = names.into_iter().all(|name| summaries_do(renamed(*table, name)));
                if !has_all || !self.buckets.consist_of(Level::TenSeconds) {
                    continue;
                }
            }
            debug_assert!(is_last || *table == Table::RequestSummaries, "one choice only");
            return self.part_from(*table, metric, filters);
        }
        unreachable!("the last of a metric's tables is taken as it is")
    }

    fn part_from(&self, table: Table, metric: Metric, filters: &[AskedFilter]) -> Result<Part, MetricsError> {
        let named = |key: String, name: &str| {
            column(table, name).ok_or_else(|| {
                let columns = table.columns().iter().map(|column| column.name);
                let columns: Vec<&str> = columns.collect();
                let problem = format!(
                    "{name:?} is no column of {}, which {} is made of{}",
                    table.name(),
                    metric.name(),
                    nearest(name, &columns)
                );
                MetricsError::invalid(key, problem)
            })
        };
        let mut dimensions = Vec::new();
        for (at, name) in self.dimensions.iter().enumerate() {
            let key = format!("dimensions[{at}]");
            let column = named(key.clone(), name)?;
            if matches!(column.kind, ColumnKind::Time | ColumnKind::Float | ColumnKind::Sketch) {
                let problem = match column.kind {
                    ColumnKind::Time => format!("{name} is a time; use granularity"),
                    _ => format!("{name} is no text, integer or boolean, so it makes no groups; filter by it"),
                };
                return Err(MetricsError::invalid(key, problem));
            }
            dimensions.push(column.name);
        }
        let read = filters.iter().enumerate().map(|(at, asked)| {
            let column = named(format!("filters[{at}].field"), &asked.field)?;
            Filter::read(asked, column).map_err(|problem| MetricsError::invalid(format!("filters[{at}]"), problem))
        });
        let filters = read.collect::<Result<_, _>>()?;
        let window = match table {
            Table::RequestSummaries => intervals(self.range),
            _ => self.range,
        };
        Ok(Part { table, groups: vec![metric.group()], dimensions, filters, window })
    }
}

/// A column by the name that people use: the source of an event and the service of a request are the same notion.
fn column(table: Table, name: &str) -> Option<&'static Column> {
    let name = renamed(table, name);
    table.columns().iter().find(|column| column.name == name)
}

fn renamed(table: Table, name: &str) -> &str {
    match (table, name) {
        (Table::Events, "service") => "source",
        (Table::Requests | Table::RequestSummaries | Table::HostMetrics, "source") => "service",
        _ => name,
    }
}

/// Whole intervals of summaries: one that the range cuts counts whole.
fn intervals((from, to): Window) -> Window {
    let down = from.div_euclid(SUMMARY_INTERVAL_US) * SUMMARY_INTERVAL_US;
    let up = (to + SUMMARY_INTERVAL_US - 1).div_euclid(SUMMARY_INTERVAL_US) * SUMMARY_INTERVAL_US;
    (down, up)
}

fn metrics(names: &[String]) -> Result<Vec<Metric>, MetricsError> {
    if names.is_empty() || names.len() > METRICS_MAX {
        return Err(MetricsError::invalid("metrics", format!("name 1 to {METRICS_MAX} metrics")));
    }
    let mut metrics = Vec::with_capacity(names.len());
    for (at, name) in names.iter().enumerate() {
        let key = format!("metrics[{at}]");
        let Some(metric) = Metric::from_name(name) else {
            let known = Metric::ALL.map(Metric::name);
            let problem = format!("{name:?} is no metric{}; there are {}", nearest(name, &known), known.join(", "));
            return Err(MetricsError::invalid(key, problem));
        };
        if metrics.contains(&metric) {
            return Err(MetricsError::invalid(key, format!("{name} is there twice")));
        }
        metrics.push(metric);
    }
    Ok(metrics)
}

fn range(request: &MetricsRequest, now: Timestamp) -> Result<Window, MetricsError> {
    let at = |moment| match moment {
        Moment::At(time) => Some(time),
        Moment::Ago(ago) => Timestamp(now.micros().saturating_sub(micros(ago)?)).checked(),
    };
    let early = |key: &str| MetricsError::invalid(key, "lies before the year 1");
    let from = at(request.from).ok_or_else(|| early("timeRange.from"))?;
    let to = at(request.to).ok_or_else(|| early("timeRange.to"))?;
    if from >= to {
        return Err(MetricsError::invalid("timeRange", format!("from ({from}) must lie before to ({to})")));
    }
    Ok((from.micros(), to.micros()))
}

fn buckets(granularity: Option<Duration>, (from, to): Window) -> Result<Buckets, MetricsError> {
    let Some(granularity) = granularity else { return Ok(Buckets::ONE) };
    let invalid = |problem: String| MetricsError::invalid("granularity", problem);
    if granularity < GRANULARITY_MIN || !granularity.as_micros().is_multiple_of(1_000_000) {
        return Err(invalid("must be a whole number of seconds, for example 10s, 1m, 15m, 1h or 1d".to_owned()));
    }
    let length = micros(granularity).ok_or_else(|| invalid("is longer than time".to_owned()))?;
    let origin = if length % (7 * DAY_US) == 0 { MONDAY_US } else { 0 };
    let buckets = Buckets { length, origin };
    let count = (buckets.of_time(to - 1) - buckets.of_time(from)) as u64 + 1;
    if count > BUCKETS_MAX {
        let least = ((to - from) as u64).div_ceil(BUCKETS_MAX * 1_000_000);
        return Err(invalid(format!(
            "makes {count} buckets of this range, at most {BUCKETS_MAX}; take {least}s or more, or a shorter range"
        )));
    }
    Ok(buckets)
}

fn micros(duration: Duration) -> Option<i64> {
    i64::try_from(duration.as_micros()).ok()
}

/// "; did you mean …?", when something like it is known.
pub(crate) fn nearest(name: &str, known: &[&str]) -> String {
    const LIKENESS_MIN: f64 = 0.7;
    let likeness = |known: &&str| strsim::jaro_winkler(name, known);
    let best = known.iter().map(|known| (likeness(known), known)).max_by(|one, other| one.0.total_cmp(&other.0));
    let mut text = String::new();
    if let Some((likeness, known)) = best
        && likeness >= LIKENESS_MIN
    {
        // Writing to a String cannot fail.
        let _ = write!(text, "; did you mean {known}?");
    }
    text
}

#[cfg(test)]
mod tests;
