//! What one group commit writes: rows gathered, then cut into blocks of the size of a spool value.

use ridealong_common::block::Block;
use ridealong_common::chunk::{Chunk, ChunkError};
use ridealong_common::event::TrackedEvent;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::{HostRow, RequestRow, Resource, SummaryRow};
use ridealong_common::table::Table;
use tokio::sync::oneshot;

use super::row::Class;
use super::{AppendError, SpoolRows};
use crate::summary::{Tally, summarised};

/// Rows of one chunk: with some 40 compressed bytes a request, a value of about 16 KiB.
const REQUESTS_A_CHUNK: usize = 400;
/// Bytes of events in one chunk, before compression.
const EVENT_BYTES_A_CHUNK: usize = 32 << 10;

/// Rows waiting for the next commit.
#[derive(Default)]
pub(super) struct Group {
    requests: Vec<RequestRow>,
    /// Counted, not stored.
    sampled_out: Vec<Tally>,
    hosts: Vec<HostRow>,
    events: Vec<TrackedEvent>,
    pub answers: Vec<oneshot::Sender<Result<(), AppendError>>>,
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// A block that has its row and table, but no numbers yet.
pub(super) struct Part {
    pub class: Class,
    pub table: Table,
    pub block: Block,
}

impl Group {
    pub fn add(&mut self, rows: SpoolRows) {
        match rows {
            SpoolRows::Requests(requests) => {
                self.requests.extend(requests.rows);
                self.sampled_out.extend(requests.sampled_out);
            }
            SpoolRows::Host(row) => self.hosts.push(row),
        }
    }

    pub fn add_events(&mut self, events: Vec<TrackedEvent>, answer: oneshot::Sender<Result<(), AppendError>>) {
        self.events.extend(events);
        self.answers.push(answer);
    }

    pub fn rows(&self) -> usize {
        self.requests.len() + self.sampled_out.len() + self.hosts.len() + self.events.len()
    }

    pub fn summaries(&self) -> Vec<SummaryRow> {
        summarised(self.requests.iter().map(Tally::of).chain(self.sampled_out.iter().cloned()))
    }

    /// Takes the rows out as blocks. What must be kept comes last, so that nothing is acknowledged before its turn.
    pub fn into_parts(self, summaries: &[SummaryRow], resource: &Resource) -> Vec<Part> {
        let (errors, ordinary): (Vec<_>, Vec<_>) = self.requests.into_iter().partition(RequestRow::is_error);
        let requests = |class, rows: &[RequestRow]| {
            let blocks = rows.chunks(REQUESTS_A_CHUNK).map(|rows| RequestRow::block(rows, resource));
            blocks.map(|block| Part { class, table: Table::Requests, block }).collect::<Vec<_>>()
        };
        let mut parts = requests(Class::Bulk, &ordinary);
        parts.extend(requests(Class::Kept, &errors));
        if !self.hosts.is_empty() {
            let block = HostRow::block(&self.hosts, resource);
            parts.push(Part { class: Class::Bulk, table: Table::HostMetrics, block });
        }
        parts.extend(summaries.chunks(REQUESTS_A_CHUNK).map(|rows| Part {
            class: Class::Kept,
            table: Table::RequestSummaries,
            block: SummaryRow::block(rows, resource),
        }));
        parts.extend(event_parts(&self.events).into_iter().map(|rows| Part {
            class: Class::Kept,
            table: Table::Events,
            block: TrackedEvent::block(rows),
        }));
        parts
    }
}

impl Part {
    pub fn numbered(&self, producer: ProducerId, first: u64) -> Result<Chunk, ChunkError> {
        Chunk::new(producer, self.table, first, &self.block)
    }
}

fn event_parts(events: &[TrackedEvent]) -> Vec<&[TrackedEvent]> {
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, event) in events.iter().enumerate() {
        if at > start && bytes + event.size() > EVENT_BYTES_A_CHUNK {
            parts.push(&events[start..at]);
            (start, bytes) = (at, 0);
        }
        bytes += event.size();
    }
    if start < events.len() {
        parts.push(&events[start..]);
    }
    parts
}
