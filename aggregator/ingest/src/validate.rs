//! Second stage: every block is read and checked against its table, so that followers of the log can read it.

use ridealong_common::block::{Block, CheckedBlock};
use ridealong_common::chunk::Chunk;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::{Table, events};

use crate::decode::Decoded;
use crate::refusal::Refusal;

/// A frame whose every row can be stored.
pub(crate) struct Validated {
    pub producer: ProducerId,
    pub announced: u64,
    pub chunks: Vec<ValidChunk>,
}

pub(crate) struct ValidChunk {
    pub chunk: Chunk,
    /// One a row for tracked events, which are deduplicated by id; none for rows that are by number alone.
    pub event_ids: Option<Vec<EventId>>,
}

pub(crate) fn validate(Decoded(frame): Decoded) -> Result<Validated, Refusal> {
    let announced = frame.chunks.iter().map(Chunk::end).fold(frame.announced, u64::max);
    let chunks = frame.chunks.into_iter().enumerate().map(|(at, chunk)| {
        let block = Block::decode(&chunk.block).and_then(|block| block.check(chunk.table));
        let block = block.map_err(|source| Refusal::Block { at, source })?;
        let held = block.rows() as u32;
        if held != chunk.count {
            return Err(Refusal::Count { at, counted: chunk.count, held });
        }
        Ok(ValidChunk { event_ids: event_ids(&block), chunk })
    });
    Ok(Validated { producer: frame.producer, announced, chunks: chunks.collect::<Result<_, _>>()? })
}

pub(crate) fn event_ids(block: &CheckedBlock) -> Option<Vec<EventId>> {
    (block.table() == Table::Events).then(|| block.ids(events::EVENT_ID))
}
