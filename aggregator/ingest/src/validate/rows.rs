//! The rules that the rows of agents must keep, table by table. Looked at column by column; a column without a fault costs
//! one pass over its values or, of texts, over its distinct ones.

use std::collections::BTreeMap;

use ridealong_common::block::{Cell, CheckedBlock, Values};
use ridealong_common::limits::EVENT_BYTES_MAX;
use ridealong_common::table::{Table, events, host_metrics, request_summaries, requests};
use serde_json::{Map, Value};

use super::kinds::{is_of_a_kind, kind_fault};

/// Longer texts than any that an agent makes.
const TEXT_BYTES_MAX: usize = 64 << 10;

/// A row that breaks a rule; the first rule that it breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowFault {
    pub row: usize,
    pub reason: &'static str,
    pub detail: String,
}

enum Rule {
    Between(i64, i64),
    Positive,
    Fraction,
    NotEmpty,
    Degrees(f64),
}

const INTEGERS: Rule = Rule::Between(0, i64::MAX);
const STATUS: Rule = Rule::Between(100, 599);

fn rules(table: Table) -> &'static [(u16, Rule)] {
    match table {
        Table::Requests => &[
            (requests::METHOD, Rule::NotEmpty),
            (requests::ROUTE, Rule::NotEmpty),
            (requests::STATUS, STATUS),
            (requests::DURATION_US, INTEGERS),
            (requests::TTFB_US, INTEGERS),
            (requests::REQUEST_BYTES, INTEGERS),
            (requests::RESPONSE_BYTES, INTEGERS),
            (requests::SAMPLE_WEIGHT, Rule::Positive),
            (requests::REQUEST_COMPLETE_US, INTEGERS),
            (requests::UPSTREAM_CONNECTED_US, INTEGERS),
            (requests::RESPONSE_COMPLETE_US, INTEGERS),
        ],
        Table::Events => &[
            (events::EVENT_TYPE, Rule::NotEmpty),
            (events::LATITUDE, Rule::Degrees(90.0)),
            (events::LONGITUDE, Rule::Degrees(180.0)),
        ],
        Table::HostMetrics => &[
            (host_metrics::HOST, Rule::NotEmpty),
            (host_metrics::CPU_UTILIZATION, Rule::Fraction),
            (host_metrics::MEMORY_USED_BYTES, INTEGERS),
            (host_metrics::MEMORY_TOTAL_BYTES, INTEGERS),
            (host_metrics::DISK_USED_BYTES, INTEGERS),
            (host_metrics::DISK_TOTAL_BYTES, INTEGERS),
        ],
        Table::RequestSummaries => &[
            (request_summaries::METHOD, Rule::NotEmpty),
            (request_summaries::ROUTE, Rule::NotEmpty),
            (request_summaries::STATUS, STATUS),
            (request_summaries::COUNT, INTEGERS),
            (request_summaries::ERROR_COUNT, INTEGERS),
            (request_summaries::DURATION_SUM_US, INTEGERS),
            (request_summaries::DURATION_MAX_US, INTEGERS),
        ],
        Table::Quarantine | Table::Visits => &[],
    }
}

/// The rows that break a rule, in order.
pub(crate) fn row_faults(block: &CheckedBlock) -> Vec<RowFault> {
    let mut faults = BTreeMap::new();
    for (id, rule) in rules(block.table()) {
        rule.check(block, *id, &mut faults);
    }
    for column in block.table().columns() {
        let bytes_max = if column.id == events::PROPERTIES && block.table() == Table::Events {
            EVENT_BYTES_MAX
        } else {
            TEXT_BYTES_MAX
        };
        check_texts(block, column.id, &mut faults, |text| {
            (text.len() > bytes_max)
                .then(|| ("too_long", format!("has {} bytes, at most {bytes_max} are taken", text.len())))
        });
    }
    if block.table() == Table::Events {
        check_kinds(block, &mut faults);
    }
    faults.into_values().collect()
}

type Faults = BTreeMap<usize, RowFault>;

fn note(faults: &mut Faults, block: &CheckedBlock, row: usize, id: u16, reason: &'static str, what: &str) {
    let name = block.table().column(id).map_or("", |column| column.name);
    faults.entry(row).or_insert_with(|| RowFault { row, reason, detail: format!("{name} {what}") });
}

impl Rule {
    fn check(&self, block: &CheckedBlock, id: u16, faults: &mut Faults) {
        match self {
            Rule::Between(min, max) => check_integers(block, id, faults, *min, *max),
            Rule::NotEmpty => check_texts(block, id, faults, |text| {
                text.trim().is_empty().then(|| ("missing_field", "is empty: it must hold a text".to_owned()))
            }),
            Rule::Positive => check_floats(block, id, faults, 0.0, f64::MAX),
            // A sample may be a hair above: it is a quotient of two readings.
            Rule::Fraction => check_floats(block, id, faults, 0.0, 1.01),
            Rule::Degrees(most) => check_floats(block, id, faults, -most, *most),
        }
    }
}

fn check_integers(block: &CheckedBlock, id: u16, faults: &mut Faults, min: i64, max: i64) {
    let Some(values) = block.values(id) else { return };
    let sound = |value: &i64| (min..=max).contains(value);
    let all_sound = match values {
        Values::Integer(value) => sound(value),
        Values::Integers(values) => values.iter().all(sound),
        Values::OptionalIntegers(values) => values.iter().flatten().all(sound),
        _ => false,
    };
    if all_sound {
        return;
    }
    for (row, value) in values.integers(block.rows()).into_iter().enumerate() {
        if let Some(value) = value.filter(|value| !sound(value)) {
            let limits =
                if max == i64::MAX { format!("not be below {min}") } else { format!("lie between {min} and {max}") };
            note(faults, block, row, id, "out_of_range", &format!("is {value}, it must {limits}"));
        }
    }
}

fn check_floats(block: &CheckedBlock, id: u16, faults: &mut Faults, min: f64, max: f64) {
    let sound = |value: f64| (min..=max).contains(&value);
    let mut each = |row: usize, value: f64| {
        if !sound(value) {
            let limits =
                if max == f64::MAX { format!("not be below {min}") } else { format!("lie between {min} and {max}") };
            note(faults, block, row, id, "out_of_range", &format!("is {value}, it must {limits}"));
        }
    };
    match block.values(id) {
        Some(Values::Floats(values)) => values.iter().enumerate().for_each(|(row, value)| each(row, *value)),
        Some(Values::OptionalFloats(values)) => {
            values.iter().enumerate().for_each(|(row, value)| value.iter().for_each(|value| each(row, *value)));
        }
        _ => {}
    }
}

fn check_texts(
    block: &CheckedBlock,
    id: u16,
    faults: &mut Faults,
    fault: impl Fn(&str) -> Option<(&'static str, String)>,
) {
    match block.values(id) {
        Some(Values::Text(text)) => {
            if let Some((reason, what)) = fault(text) {
                (0..block.rows()).for_each(|row| note(faults, block, row, id, reason, &what));
            }
        }
        Some(Values::Dictionary { texts, index }) => {
            let found: Vec<_> = texts.iter().map(|text| fault(text)).collect();
            if found.iter().all(Option::is_none) {
                return;
            }
            for (row, entry) in index.iter().enumerate() {
                if let Some((reason, what)) = entry.checked_sub(1).and_then(|at| found[at as usize].as_ref()) {
                    note(faults, block, row, id, reason, what);
                }
            }
        }
        _ => {}
    }
}

/// Properties are read only where a kind asks for something.
fn check_kinds(block: &CheckedBlock, faults: &mut Faults) {
    let types = match block.values(events::EVENT_TYPE) {
        Some(Values::Text(text)) => std::slice::from_ref(text),
        Some(Values::Dictionary { texts, .. }) => texts.as_slice(),
        _ => &[],
    };
    if !types.iter().any(|text| is_of_a_kind(text, None)) {
        return;
    }
    for row in 0..block.rows() {
        let (event_type, category) = (text(block, row, events::EVENT_TYPE), text(block, row, events::EVENT_CATEGORY));
        let event_type = event_type.unwrap_or_default();
        if !is_of_a_kind(event_type, category) {
            continue;
        }
        let properties = text(block, row, events::PROPERTIES);
        let properties = properties.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        if let Some(fault) = kind_fault(event_type, category, properties.as_ref()) {
            faults.entry(row).or_insert_with(|| RowFault { row, reason: fault.reason(), detail: fault.to_string() });
        }
    }
}

fn text(block: &CheckedBlock, row: usize, id: u16) -> Option<&str> {
    match block.cell(row, id) {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}

pub(super) fn source(block: &CheckedBlock, row: usize) -> Option<String> {
    let id = match block.table() {
        Table::Requests => requests::SERVICE,
        Table::Events => events::SOURCE,
        Table::HostMetrics => host_metrics::SERVICE,
        Table::RequestSummaries => request_summaries::SERVICE,
        Table::Quarantine | Table::Visits => return None,
    };
    text(block, row, id).map(str::to_owned)
}

pub(super) fn event_type(block: &CheckedBlock, row: usize) -> Option<String> {
    let is_event = block.table() == Table::Events;
    is_event.then(|| text(block, row, events::EVENT_TYPE)).flatten().map(str::to_owned)
}

#[cfg(test)]
mod tests;
