//! Advice on a slow query: another way to ask that was measured to be faster, or files that a range of time would leave
//! out.
//!
//! A way to ask is tried in the background, once for each shape of a statement, one at a time and only while few queries
//! run: the statement as it was and as it could be, both anew. What is not clearly faster is not advised.

mod rewrite;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_engine::datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use ridealong_engine::datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use ridealong_lake::Snapshot;
use tokio::sync::Semaphore;

use super::explained::Totals;
use super::statement::Reads;

pub(super) use rewrite::{Alternative, alternatives};

/// A query that takes longer is slow, unless the engine was told otherwise.
const SLOW: Duration = Duration::from_millis(250);
/// Of the time that the statement took; one that takes more is not worth a change.
const WORTHWHILE: f64 = 0.8;
/// Shapes of statements that were looked at.
const SHAPES_MAX: usize = 1_000;
/// Tables whose `timestamp` says which files hold what.
const TIMED: [Table; 4] = [Table::Events, Table::Requests, Table::RequestSummaries, Table::HostMetrics];
/// Most statements ask for the newest.
const RECENT_US: i64 = 86_400_000_000;

/// What is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub text: String,
    /// What was measured or counted, and which of both.
    pub effect: Option<String>,
}

impl Advice {
    /// Of a way to ask, with the times of both; None when it is not clearly faster.
    pub fn measured(text: &str, before: Duration, after: Duration) -> Option<Self> {
        let (before, after) = (before.as_secs_f64() * 1_000.0, after.as_secs_f64() * 1_000.0);
        let effect = format!("measured: {before:.0} ms as asked, {after:.0} ms so");
        (after <= before * WORTHWHILE).then(|| Self { text: text.to_owned(), effect: Some(effect) })
    }

    /// Of a range of time, when the statement has none and that would leave out files.
    pub fn counted(reads: &Reads, snapshot: &Snapshot, totals: &Totals) -> Option<Self> {
        if reads.bounds_time || totals.files_read < 2 || totals.files_read < totals.files_total {
            return None;
        }
        if reads.tables.iter().any(|table| !TIMED.contains(table)) {
            return None;
        }
        let tables = reads.tables.iter().filter_map(|table| snapshot.table(*table));
        let files: Vec<(i64, i64)> =
            tables.flat_map(|table| &table.cold.files).filter_map(|file| file.timestamps).collect();
        let newest = files.iter().map(|(_, newest)| *newest).max()?;
        let recent = files.iter().filter(|(_, last)| *last >= newest - RECENT_US).count();
        let text = "no range of time: add one if you can, such as timestamp >= now() - interval '1 day'";
        let effect = format!("counted: {} of {} files hold nothing of the last day", files.len() - recent, files.len());
        (recent < files.len()).then(|| Self { text: text.to_owned(), effect: Some(effect) })
    }
}

/// What was found out about statements, by their shape.
#[derive(Debug)]
pub(super) struct Advisor {
    /// A query that takes longer gets advice.
    pub slow: Duration,
    shapes: Mutex<HashMap<String, Option<Advice>>>,
    pub one_at_a_time: Arc<Semaphore>,
}

/// What is known of a shape.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Known {
    /// It is looked at now, by whoever asked.
    Nothing,
    Advice(Option<Advice>),
}

impl Default for Advisor {
    fn default() -> Self {
        Self::new(SLOW)
    }
}

impl Advisor {
    pub fn new(slow: Duration) -> Self {
        Self { slow, shapes: Mutex::default(), one_at_a_time: Arc::new(Semaphore::new(1)) }
    }

    /// What is known; who is told `Nothing` finds out.
    pub fn ask(&self, shape: &str) -> Known {
        let mut shapes = self.shapes.lock();
        if let Some(advice) = shapes.get(shape) {
            return Known::Advice(advice.clone());
        }
        if shapes.len() >= SHAPES_MAX {
            // They are found out anew, which is seldom and in the background.
            shapes.clear();
        }
        shapes.insert(shape.to_owned(), None);
        Known::Nothing
    }

    pub fn learn(&self, shape: &str, advice: Advice) {
        self.shapes.lock().insert(shape.to_owned(), Some(advice));
    }
}

/// A statement without its values: what differs in these is alike.
pub(super) fn shape(sql: &str) -> String {
    let tokens = Tokenizer::new(&PostgreSqlDialect {}, sql).tokenize().unwrap_or_default();
    let mut shape = String::new();
    for token in tokens {
        match token {
            Token::Whitespace(_) => shape.push(' '),
            Token::Number(..) | Token::SingleQuotedString(_) | Token::Placeholder(_) => shape.push('?'),
            other => shape.push_str(&other.to_string()),
        }
    }
    shape
}

#[cfg(test)]
mod tests;
