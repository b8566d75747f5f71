//! Third stage: what a tenant has asked to have corrected. Nothing is until it is switched on; each change stands in the
//! row's `corrections` with before and after.
//!
//! | rule | what | where |
//! |---|---|---|
//! | `clockSkew` | a timestamp moves by how far the sender's clock is off ours, when that is more than 5 s | JSON events with `timestamp` and `sentAt`; events in agents' batches, which say when they were sent |
//! | `numbersAsText` | a number that came as text, or a text that came as a number | JSON events |
//! | `oversizeText` | a text that is too long is cut | JSON events |
//! | `casing` | country upper case; category, environment, device type lower case | both |
//!
//! A wrong type or size is a fault: an event is validated first, and what its fault allows is mended and looked at again.

mod casing;
mod mend;

use ridealong_catalog::Corrections;
use ridealong_common::block::{Block, Cell, CheckedBlock};
use ridealong_common::event::TrackedEvent;
use ridealong_common::table::{Table, events};
use ridealong_common::time::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::validate::{ValidChunk, Validated};

use self::casing::CASED;
pub(crate) use self::mend::mended;

/// Less is the network, not a clock.
const SKEW_MIN_US: i64 = 5_000_000;

/// One change of one event.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Change {
    pub field: String,
    pub rule: &'static str,
    pub before: Value,
    pub after: Value,
}

/// A frame of which nothing more will be changed.
pub(crate) struct Corrected(pub Validated);

pub(crate) fn correct(mut frame: Validated, corrections: Corrections, now: Timestamp) -> Corrected {
    let skew = frame.sent_at.filter(|_| corrections.clock_skew).and_then(|sent_at| skew(sent_at, now));
    if skew.is_some() || corrections.casing {
        for chunk in frame.chunks.iter_mut().filter(|chunk| chunk.chunk.table == Table::Events) {
            correct_chunk(chunk, corrections.casing, skew);
        }
    }
    Corrected(frame)
}

/// What an event that was read is changed in, besides what mended its faults.
pub(crate) fn correct_event(
    event: &mut TrackedEvent,
    corrections: Corrections,
    now: Timestamp,
    mut changes: Vec<Change>,
) {
    let skew = event.sent_at.filter(|_| corrections.clock_skew).and_then(|sent_at| skew(sent_at, now));
    if let Some(moved) = skew.and_then(|skew| moved(event.timestamp, skew)) {
        changes.push(clock_change(event.timestamp, moved));
        event.timestamp = moved;
    }
    if corrections.casing {
        let fields = [
            &mut event.context.country,
            &mut event.event_category,
            &mut event.environment,
            &mut event.context.device_type,
        ];
        for (cased, text) in CASED.iter().zip(fields) {
            if let Some((after, change)) = text.as_deref().and_then(|text| cased.change(text)) {
                *text = Some(after);
                changes.push(change);
            }
        }
    }
    event.corrections = written(&changes);
}

fn correct_chunk(chunk: &mut ValidChunk, casing: bool, skew: Option<i64>) {
    let Some(block) = &chunk.block else { return };
    let times: Vec<Timestamp> =
        block.integers(events::TIMESTAMP).into_iter().map(|micros| Timestamp(micros.unwrap_or_default())).collect();
    let moved_times: Vec<Timestamp> =
        times.iter().map(|time| skew.and_then(|skew| moved(*time, skew)).unwrap_or(*time)).collect();
    let mut changes: Vec<Vec<Change>> = times
        .iter()
        .zip(&moved_times)
        .map(|(before, after)| (before != after).then(|| clock_change(*before, *after)).into_iter().collect())
        .collect();
    let mut columns = Block::of_rows(block.rows()).growing(events::TIMESTAMP, moved_times.iter().map(|time| time.0));
    if casing {
        columns = CASED.iter().fold(columns, |columns, cased| cased.correct(block, columns, &mut changes));
    }
    if changes.iter().all(Vec::is_empty) {
        return;
    }
    let texts: Vec<Option<String>> = changes.iter().map(|changes| written(changes)).collect();
    columns = columns.texts(events::CORRECTIONS, texts.iter().map(Option::as_deref));
    let amended = block.clone().encode_amended(&chunk.chunk.block, columns);
    let read = amended.ok().and_then(|bytes| Some((read(&bytes)?, bytes)));
    // Without room for the log of its changes a block stays as it came.
    if let Some((block, bytes)) = read {
        (chunk.block, chunk.chunk.block) = (Some(block), bytes.into());
    }
}

fn read(bytes: &[u8]) -> Option<CheckedBlock> {
    Block::decode(bytes).and_then(|block| block.check(Table::Events)).ok()
}

/// How far the sender's clock is behind ours, when that is more than the network explains.
fn skew(sent_at: Timestamp, now: Timestamp) -> Option<i64> {
    Some(now.micros().wrapping_sub(sent_at.micros())).filter(|skew| skew.unsigned_abs() > SKEW_MIN_US as u64)
}

fn moved(time: Timestamp, skew: i64) -> Option<Timestamp> {
    time.micros().checked_add(skew).and_then(|micros| Timestamp(micros).checked())
}

fn clock_change(before: Timestamp, after: Timestamp) -> Change {
    let text = |time: Timestamp| Value::from(time.to_string());
    Change { field: "timestamp".to_owned(), rule: "clockSkew", before: text(before), after: text(after) }
}

fn written(changes: &[Change]) -> Option<String> {
    (!changes.is_empty()).then(|| serde_json::to_string(changes).unwrap_or_default())
}

fn text_of(block: &CheckedBlock, row: usize, id: u16) -> Option<&str> {
    match block.cell(row, id) {
        Cell::Text(text) => Some(text),
        _ => None,
    }
}
