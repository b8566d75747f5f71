//! Second stage: every block is read and checked against its table, every row against the rules of its kind. What fails
//! goes to quarantine, a row alone or, where its block cannot be read, a chunk whole; its neighbours do not notice.

mod kinds;
mod rows;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ridealong_common::block::{Block, BlockError, Cell, CheckedBlock};
use ridealong_common::chunk::Chunk;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::{Table, events};
use ridealong_common::time::Timestamp;

use crate::decode::Decoded;
use crate::quarantine::{PAYLOAD_BYTES_MAX, QuarantineRow, row_id};
use crate::row_json::row_json;

pub(crate) use kinds::kind_fault;
pub(crate) use rows::{RowFault, row_faults};

/// What is kept of the faulty rows of one chunk; past it they are set aside without their payload. A forged chunk can
/// name one long text in very many rows.
const PAYLOADS_BYTES_MAX: usize = 4 << 20;

/// A frame whose every row is either sound or set aside.
pub(crate) struct Validated {
    pub producer: ProducerId,
    pub announced: u64,
    /// The sender's clock, if it told.
    pub sent_at: Option<Timestamp>,
    pub chunks: Vec<ValidChunk>,
}

pub(crate) struct ValidChunk {
    pub chunk: Chunk,
    /// None: nothing of it can be read, all of it is set aside.
    pub block: Option<CheckedBlock>,
    /// Indexes of the rows that are set aside, ascending.
    pub quarantined_rows: Vec<u32>,
    pub quarantine: Vec<QuarantineRow>,
}

pub(crate) fn validate(Decoded(frame): Decoded, now: Timestamp) -> Validated {
    let announced = frame.chunks.iter().map(Chunk::end).fold(frame.announced, u64::max);
    let sent_at = Some(Timestamp(frame.sent_at_us)).filter(|time| time.micros() > 0);
    let chunks = frame.chunks.into_iter().map(|chunk| valid(chunk, now)).collect();
    Validated { producer: frame.producer, announced, sent_at, chunks }
}

fn valid(chunk: Chunk, now: Timestamp) -> ValidChunk {
    let block = match read(&chunk) {
        Ok(block) => block,
        Err(fault) => return unreadable(chunk, &fault, now),
    };
    let faults = row_faults(&block);
    let mut payload_bytes = 0;
    let row = |fault: &RowFault| {
        let id = event_id(&chunk, &block, fault.row);
        let mut row = QuarantineRow::new(id, chunk.table, fault.reason, fault.detail.clone(), now);
        if payload_bytes < PAYLOADS_BYTES_MAX {
            let payload = row_json(&block, fault.row).to_string();
            payload_bytes += payload.len();
            row = row.with_payload(payload);
        } else {
            row.detail.push_str("; too many came at once for it to be kept");
        }
        row.source = rows::source(&block, fault.row);
        row.event_type = rows::event_type(&block, fault.row);
        row
    };
    let quarantine = faults.iter().map(row).collect();
    let quarantined_rows = faults.iter().map(|fault| fault.row as u32).collect();
    ValidChunk { block: Some(block), quarantined_rows, quarantine, chunk }
}

fn read(chunk: &Chunk) -> Result<CheckedBlock, String> {
    let block = Block::decode(&chunk.block).and_then(|block| block.check(chunk.table));
    let block = block.map_err(|error: BlockError| error.to_string())?;
    match block.rows() {
        held if held == chunk.count as usize => Ok(block),
        held => Err(format!("it counts {} events and holds {held}", chunk.count)),
    }
}

/// The sender would send it again for ever if it were refused; its checksum says that it is what the sender made.
fn unreadable(chunk: Chunk, fault: &str, now: Timestamp) -> ValidChunk {
    let (first, last) = (chunk.first, chunk.end() - 1);
    let detail = format!("events {first} to {last} of producer {} cannot be read: {fault}", chunk.producer);
    let id = row_id(chunk.producer, chunk.first, true);
    let mut row = QuarantineRow::new(id, chunk.table, "unreadable_chunk", detail, now);
    let kept = &chunk.block[..chunk.block.len().min(PAYLOAD_BYTES_MAX / 4 * 3)];
    row.payload = Some(STANDARD.encode(kept));
    let quarantined_rows = (0..chunk.count).collect();
    ValidChunk { block: None, quarantined_rows, quarantine: vec![row], chunk }
}

/// The row's own id where its table has one, else one that is made of its number.
fn event_id(chunk: &Chunk, block: &CheckedBlock, row: usize) -> EventId {
    match block.cell(row, events::EVENT_ID) {
        Cell::Id(id) => id,
        _ => row_id(chunk.producer, chunk.first + row as u64, false),
    }
}

pub(crate) fn event_ids(block: &CheckedBlock) -> Option<Vec<EventId>> {
    (block.table() == Table::Events).then(|| block.ids(events::EVENT_ID))
}
