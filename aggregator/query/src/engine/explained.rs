//! What ran, for a person: the plan as an indented tree of steps in words, each with its rows and time, and what was read
//! of all there is.
//!
//! Times are of all threads together, so they may add up to more than the query took.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use ridealong_engine::datafusion::datasource::physical_plan::FileScanConfig;
use ridealong_engine::datafusion::datasource::source::DataSourceExec;
use ridealong_engine::datafusion::physical_plan::metrics::{MetricValue, MetricsSet};
use ridealong_engine::datafusion::physical_plan::{ExecutionPlan, displayable};

/// Steps that are shown; a plan of more is cut.
const STEPS_MAX: usize = 100;
/// Of what is said about one step.
const DETAIL_CHARS_MAX: usize = 160;

/// What a query has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub bytes_scanned: u64,
    pub files_read: u64,
    /// Of the tables that it names.
    pub files_total: u64,
    pub row_groups_read: u64,
    pub row_groups_total: u64,
    pub rows_scanned: u64,
    pub spilled_bytes: u64,
}

/// Of a query that has run.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub planning: Duration,
    pub running: Duration,
    pub memory_peak: usize,
}

/// Adds up what the plan has counted so far.
pub(super) fn totals(plan: &Arc<dyn ExecutionPlan>, files_total: u64) -> Totals {
    let mut totals = Totals { files_total, ..Totals::default() };
    add(plan, &mut totals);
    // Tables that are made of others read those as often as they need.
    totals.files_total = totals.files_total.max(totals.files_read);
    totals
}

fn add(plan: &Arc<dyn ExecutionPlan>, totals: &mut Totals) {
    if let Some(metrics) = plan.metrics() {
        let scan = Scan::of(plan, &metrics);
        totals.bytes_scanned += scan.bytes;
        totals.files_read += scan.files_read;
        totals.row_groups_read += scan.row_groups_read;
        totals.row_groups_total += scan.row_groups_total;
        totals.spilled_bytes += metrics.spilled_bytes().unwrap_or(0) as u64;
        if plan.children().is_empty() {
            totals.rows_scanned += metrics.output_rows().unwrap_or(0) as u64;
        }
    }
    plan.children().into_iter().for_each(|child| add(child, totals));
}

/// What one step has read of files.
#[derive(Default)]
struct Scan {
    bytes: u64,
    files: u64,
    files_read: u64,
    row_groups_read: u64,
    row_groups_total: u64,
}

impl Scan {
    fn of(plan: &Arc<dyn ExecutionPlan>, metrics: &MetricsSet) -> Self {
        let Some(files) = files(plan) else { return Self::default() };
        let files: u64 = files.file_groups.iter().map(|group| group.len() as u64).sum();
        let opened = count(metrics, "files_opened").unwrap_or(files).min(files);
        let (files_pruned, _) = pruning(metrics, "files_ranges_pruned_statistics");
        let (pruned, matched) = pruning(metrics, "row_groups_pruned_statistics");
        let (by_bloom, _) = pruning(metrics, "row_groups_pruned_bloom_filter");
        let (by_limit, _) = pruning(metrics, "limit_pruned_row_groups");
        Self {
            bytes: count(metrics, "bytes_scanned").unwrap_or(0),
            files,
            files_read: opened.saturating_sub(files_pruned),
            row_groups_read: matched.saturating_sub(by_bloom + by_limit),
            row_groups_total: pruned + matched,
        }
    }
}

fn files(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref::<FileScanConfig>()
}

fn count(metrics: &MetricsSet, name: &str) -> Option<u64> {
    metrics.sum_by_name(name).map(|value| value.as_usize() as u64)
}

/// What was left out and what was not.
fn pruning(metrics: &MetricsSet, name: &str) -> (u64, u64) {
    let values = metrics.iter().filter_map(|metric| match metric.value() {
        MetricValue::PruningMetrics { name: of, pruning_metrics } if of == name => {
            Some((pruning_metrics.pruned() as u64, pruning_metrics.matched() as u64))
        }
        _ => None,
    });
    values.fold((0, 0), |sum, value| (sum.0 + value.0, sum.1 + value.1))
}

/// The tree, with a line about all of it before.
pub(super) fn text(plan: &Arc<dyn ExecutionPlan>, totals: &Totals, spent: &Spent) -> String {
    let mut text = format!(
        "{} ms: {} to plan, {} to run; {} of {} files, {} of {} row groups, {} read; memory {}",
        ms(spent.planning + spent.running),
        ms(spent.planning),
        ms(spent.running),
        totals.files_read,
        totals.files_total,
        totals.row_groups_read,
        totals.row_groups_total,
        bytes(totals.bytes_scanned),
        bytes(spent.memory_peak as u64),
    );
    if totals.spilled_bytes > 0 {
        // Writing to a String cannot fail.
        let _ = write!(text, "; {} spilled", bytes(totals.spilled_bytes));
    }
    text.push('\n');
    let mut steps = 0;
    describe(plan, 0, &mut steps, &mut text);
    if steps > STEPS_MAX {
        let _ = writeln!(text, "… and {} steps more", steps - STEPS_MAX);
    }
    text.truncate(text.trim_end().len());
    text
}

fn describe(plan: &Arc<dyn ExecutionPlan>, depth: usize, steps: &mut usize, text: &mut String) {
    // It only sees to it that others get their turn.
    let is_shown = plan.name() != "CooperativeExec";
    if is_shown {
        *steps += 1;
    }
    if is_shown && *steps <= STEPS_MAX {
        let _ = writeln!(text, "{}{}{}", "  ".repeat(depth), step(plan), counted(plan));
    }
    for child in plan.children() {
        describe(child, depth + usize::from(is_shown), steps, text);
    }
}

/// In words, with what tells it from others of its kind.
fn step(plan: &Arc<dyn ExecutionPlan>) -> String {
    let line = displayable(plan.as_ref()).one_line().to_string().trim().to_owned();
    let detail = line.split_once(": ").map_or("", |(_, detail)| detail.trim());
    let words = match plan.name() {
        "DataSourceExec" => return source(plan, &line),
        "FilterExec" => "keep rows where",
        "ProjectionExec" => "compute",
        "AggregateExec" => "aggregate",
        "SortExec(TopK)" => "keep the first",
        "SortExec" => "sort",
        "SortPreservingMergeExec" => "merge sorted",
        "CoalescePartitionsExec" => "bring threads together",
        "RepartitionExec" => "share out among threads",
        "HashJoinExec" => "join",
        "NestedLoopJoinExec" => "join, trying every pair",
        "CrossJoinExec" => "join each row with each",
        "UnionExec" => "one after the other",
        "GlobalLimitExec" | "LocalLimitExec" => "stop after",
        "WindowAggExec" | "BoundedWindowAggExec" => "window",
        "RecursiveQueryExec" => "repeat until nothing is new",
        "WorkTableExec" => "what was new",
        "EmptyExec" => "nothing",
        "PlaceholderRowExec" => "one row",
        "UnnestExec" => "a row for each element",
        other => other.strip_suffix("Exec").unwrap_or(other),
    };
    if detail.is_empty() { words.to_owned() } else { format!("{words} {}", cut(&plain(detail))) }
}

/// A scan, and of what.
fn source(plan: &Arc<dyn ExecutionPlan>, line: &str) -> String {
    let Some(files) = files(plan) else { return "read rows in memory".to_owned() };
    let first = files.file_groups.iter().flat_map(|group| group.iter()).next();
    let path = first.map(|file| file.object_meta.location.to_string()).unwrap_or_default();
    // A table's folder stands before that of a day.
    let folders = path.split("/date=").next().unwrap_or_default();
    let table = folders.rsplit('/').next().unwrap_or_default();
    let count: usize = files.file_groups.iter().map(|group| group.len()).sum();
    let mut text = format!("read {count} files of {table}");
    if let Some((_, predicate)) = line.split_once("predicate=") {
        let predicate = predicate.split(", pruning_predicate=").next().unwrap_or(predicate);
        text.push_str(" for ");
        text.push_str(&cut(&plain(&once(predicate.trim_end_matches(", ")))));
    }
    text
}

/// A condition without what it says twice: filters are handed to a scan by more than one rule.
fn once(condition: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in condition.split(" AND ") {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    parts.join(" AND ")
}

/// Columns by their names alone, without their places: `route@1` is `route`.
fn plain(text: &str) -> String {
    let mut parts = text.split('@');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|letter: char| letter.is_ascii_digit());
        if rest.len() == part.len() {
            plain.push('@');
        }
        plain.push_str(rest);
    }
    plain
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Rows that came out of a step and the time that it took; what was read, where it reads.
fn counted(plan: &Arc<dyn ExecutionPlan>) -> String {
    let Some(metrics) = plan.metrics() else { return String::new() };
    let mut parts = Vec::new();
    parts.extend(metrics.output_rows().map(|rows| format!("{rows} rows")));
    let computing = metrics.elapsed_compute().map_or(0, |nanos| nanos as u64);
    let nanos = computing.max(count(&metrics, "time_elapsed_processing").unwrap_or(0));
    parts.extend((nanos > 0).then(|| format!("{} ms", ms(Duration::from_nanos(nanos)))));
    let scan = Scan::of(plan, &metrics);
    if scan.files > 0 {
        parts.push(format!("{} of {} files", scan.files_read, scan.files));
        parts.push(format!("{} of {} row groups", scan.row_groups_read, scan.row_groups_total));
        parts.push(bytes(scan.bytes));
    }
    let spilled = metrics.spilled_bytes().filter(|spilled| *spilled > 0);
    parts.extend(spilled.map(|spilled| format!("{} spilled", bytes(spilled as u64))));
    if parts.is_empty() { String::new() } else { format!("  ({})", parts.join(", ")) }
}

fn ms(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1_000.0)
}

fn bytes(bytes: u64) -> String {
    match bytes {
        0..1_024 => format!("{bytes} B"),
        1_024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1_024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests;
