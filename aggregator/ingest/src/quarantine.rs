//! What is set aside, and why: rows of the table `quarantine`.
//!
//! A row is never changed: what becomes of an event that was set aside is another row of the same `event_id` with the next
//! `revision`; the highest one is in force. Each has an id of its own for finding repeats, made of both, so that whatever
//! is sent again is set aside once, and of two changes at once one is told that it was too late.

use bytes::Bytes;
use ridealong_common::block::{Block, BlockError};
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS_MAX, EVENT_BYTES_MAX};
use ridealong_common::table::{Table, quarantine};
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use ridealong_wal::NewEntry;
use uuid::Uuid;

/// A payload that is longer is left out.
pub const PAYLOAD_BYTES_MAX: usize = EVENT_BYTES_MAX;
const DETAIL_BYTES_MAX: usize = 1_000;

/// What became of an event that was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Open,
    /// Its payload was changed by hand; still to be replayed.
    Corrected,
    Replayed,
    Discarded,
}

impl Standing {
    pub const ALL: [Standing; 4] = [Standing::Open, Standing::Corrected, Standing::Replayed, Standing::Discarded];

    pub const fn name(self) -> &'static str {
        match self {
            Standing::Open => "open",
            Standing::Corrected => "corrected",
            Standing::Replayed => "replayed",
            Standing::Discarded => "discarded",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|standing| standing.name() == name)
    }
}

/// One event that was set aside.
#[derive(Clone, Debug, PartialEq)]
pub struct QuarantineRow {
    pub event_id: EventId,
    /// When it was first set aside.
    pub timestamp: Timestamp,
    pub source_table: String,
    /// A short, stable word.
    pub reason: String,
    /// A sentence that names the field and the mend.
    pub detail: String,
    /// The event as it was sent, JSON; of a chunk that cannot be read its block in base64.
    pub payload: Option<String>,
    pub source: Option<String>,
    pub event_type: Option<String>,
    pub standing: Standing,
    /// 1 when it is set aside.
    pub revision: i64,
}

impl QuarantineRow {
    pub(crate) fn new(event_id: EventId, table: Table, reason: &str, detail: String, now: Timestamp) -> Self {
        Self {
            event_id,
            timestamp: now,
            source_table: table.name().to_owned(),
            reason: reason.to_owned(),
            detail: bounded(detail, DETAIL_BYTES_MAX),
            payload: None,
            source: None,
            event_type: None,
            standing: Standing::Open,
            revision: 1,
        }
    }

    /// With the event as it was sent, unless that is too long.
    #[must_use]
    pub(crate) fn with_payload(mut self, payload: String) -> Self {
        if payload.len() <= PAYLOAD_BYTES_MAX {
            self.payload = Some(payload);
        } else {
            self.detail.push_str("; it is too long to be kept");
        }
        self
    }

    fn size(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        128 + self.detail.len() + length(&self.payload) + length(&self.source) + length(&self.event_type)
    }

    /// What tells a repeat of this row from another.
    fn repeat_id(&self) -> EventId {
        let name = [&self.event_id.to_bytes()[..], &self.revision.to_be_bytes()].concat();
        EventId::from_u128(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).as_u128())
    }
}

/// The id of a row, or of a whole chunk, of a producer: the same when it is sent again.
pub(crate) fn row_id(producer: ProducerId, number: u64, is_chunk: bool) -> EventId {
    let name = [&producer.to_bytes()[..], &number.to_be_bytes(), &[u8::from(is_chunk)]].concat();
    EventId::from_u128(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).as_u128())
}

/// Where rows of quarantine come from: it says where else they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Events without numbers: nothing else of them is in the log.
    Events,
    /// Rows of chunks, whose numbers say what became of them; or changes of what is in quarantine.
    Counted,
}

/// The rows as entries for the log, none larger than a block may be.
pub(crate) fn entries(
    tenant: &TenantId,
    rows: &[QuarantineRow],
    origin: Origin,
    now: Timestamp,
) -> Result<Vec<NewEntry>, BlockError> {
    let parts = parts(rows, QuarantineRow::size);
    let entry = |part: &[QuarantineRow]| {
        Ok(NewEntry {
            tenant: tenant.to_shared(),
            table: Table::Quarantine,
            received_at_us: now.micros(),
            numbers: None,
            announced: 0,
            rows: part.len() as u32,
            event_ids: Some(part.iter().map(QuarantineRow::repeat_id).collect()),
            quarantined_rows: Vec::new(),
            in_place_of_events: origin == Origin::Events,
            payload: Bytes::from(block(part).encode()?),
        })
    };
    parts.into_iter().map(entry).collect()
}

fn block(rows: &[QuarantineRow]) -> Block {
    let text = |read: fn(&QuarantineRow) -> Option<&str>| rows.iter().map(read);
    Block::of_rows(rows.len())
        .ids(quarantine::EVENT_ID, rows.iter().map(|row| row.event_id))
        .growing(quarantine::TIMESTAMP, rows.iter().map(|row| row.timestamp.micros()))
        .texts(quarantine::SOURCE_TABLE, text(|row| Some(&row.source_table)))
        .texts(quarantine::REASON, text(|row| Some(&row.reason)))
        .texts(quarantine::DETAIL, text(|row| Some(&row.detail)))
        .texts(quarantine::PAYLOAD, text(|row| row.payload.as_deref()))
        .texts(quarantine::SOURCE, text(|row| row.source.as_deref()))
        .texts(quarantine::EVENT_TYPE, text(|row| row.event_type.as_deref()))
        .texts(quarantine::STATUS, text(|row| Some(row.standing.name())))
        .integers(quarantine::REVISION, rows.iter().map(|row| row.revision))
}

/// Splits rows so that each part fits into one block.
pub(crate) fn parts<T>(rows: &[T], size: impl Fn(&T) -> usize) -> Vec<&[T]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (at, row) in rows.iter().enumerate() {
        let size = size(row);
        if at > start && (bytes + size > BLOCK_BYTES_MAX / 2 || at - start >= BLOCK_ROWS_MAX as usize) {
            parts.push(&rows[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += size;
    }
    if start < rows.len() {
        parts.push(&rows[start..]);
    }
    parts
}

/// The text's beginning, cut between characters.
pub(crate) fn bounded(mut text: String, bytes_max: usize) -> String {
    text.truncate(text.floor_char_boundary(bytes_max));
    text
}
