//! What one group commit writes: rows gathered, then cut into blocks of the size of a spool value.

use ridealong_common::block::{Block, BlockError};
use ridealong_common::chunk::{Chunk, ChunkError};
use ridealong_common::event::TrackedEvent;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::{HostRow, RequestRow, Resource, SummaryRow};
use ridealong_common::table::Table;
use tokio::sync::oneshot;

use super::row::Class;
use super::{AppendError, Requests, SpoolRows};
use crate::summary::{Counted, Summing};

/// Rows of one chunk: with some 20 compressed bytes a request, a value of about 16 KiB.
const REQUESTS_A_CHUNK: usize = 800;
/// Texts of requests in one chunk, before compression: what a client that sends long ones can make of it.
const TEXT_BYTES_A_CHUNK: usize = 128 << 10;
/// Summaries of one chunk; each has a sketch.
const SUMMARIES_A_CHUNK: usize = 400;
/// Bytes of events in one chunk, before compression.
const EVENT_BYTES_A_CHUNK: usize = 32 << 10;

/// Rows waiting for the next commit.
#[derive(Default)]
pub(super) struct Group {
    /// As the recorders offered them: a row is not moved on its way into a block.
    requests: Vec<Requests>,
    exchanges: usize,
    hosts: Vec<HostRow>,
    events: Vec<TrackedEvent>,
    pub answers: Vec<oneshot::Sender<Result<(), AppendError>>>,
    pub waiting: Vec<oneshot::Sender<()>>,
}

/// An encoded block that has its row and table, but no numbers yet.
pub(super) struct Part {
    pub class: Class,
    pub rows: u32,
    table: Table,
    block: Result<Vec<u8>, BlockError>,
}

impl Group {
    pub fn add(&mut self, rows: SpoolRows) {
        match rows {
            SpoolRows::Requests(requests) => {
                self.exchanges += requests.exchanges() as usize;
                self.requests.push(requests);
            }
            SpoolRows::Host(row) => self.hosts.push(row),
        }
    }

    pub fn add_events(&mut self, events: Vec<TrackedEvent>, answer: oneshot::Sender<Result<(), AppendError>>) {
        self.events.extend(events);
        self.answers.push(answer);
    }

    pub fn rows(&self) -> usize {
        self.exchanges + self.hosts.len() + self.events.len()
    }

    pub fn summaries(&self) -> Vec<SummaryRow> {
        let mut summing = Summing::default();
        for requests in &self.requests {
            requests.rows.iter().for_each(|row| summing.add(&Counted::of_row(row)));
            requests.sampled_out.iter().for_each(|tally| summing.add(&Counted::of_tally(tally)));
        }
        summing.into_rows()
    }

    /// Takes the rows out as blocks. What must be kept comes last, so that nothing is acknowledged before its turn.
    pub fn into_parts(self, summaries: &[SummaryRow], resource: &Resource) -> Vec<Part> {
        let rows = self.requests.iter().flat_map(|requests| &requests.rows);
        let (errors, ordinary): (Vec<_>, Vec<_>) = rows.partition(|row| row.is_error());
        let mut parts = request_parts(Class::Bulk, &ordinary, resource);
        parts.extend(request_parts(Class::Kept, &errors, resource));
        if !self.hosts.is_empty() {
            parts.push(Part::of(Class::Bulk, Table::HostMetrics, &HostRow::block(&self.hosts, resource)));
        }
        let summaries = summaries.chunks(SUMMARIES_A_CHUNK).map(|rows| SummaryRow::block(rows, resource));
        parts.extend(summaries.map(|block| Part::of(Class::Kept, Table::RequestSummaries, &block)));
        let events = event_parts(&self.events).into_iter().map(TrackedEvent::block);
        parts.extend(events.map(|block| Part::of(Class::Kept, Table::Events, &block)));
        parts
    }
}

impl Part {
    /// Not compressed.
    pub fn bytes(&self) -> u64 {
        self.block.as_ref().map_or(0, Vec::len) as u64
    }

    fn of(class: Class, table: Table, block: &Block) -> Self {
        Self { class, rows: block.rows(), table, block: block.encode() }
    }

    pub fn numbered(self, producer: ProducerId, first: u64) -> Result<Chunk, ChunkError> {
        Chunk::of_encoded(producer, self.table, first, self.rows, self.block?)
    }
}

fn request_parts(class: Class, rows: &[&RequestRow], resource: &Resource) -> Vec<Part> {
    let part = |rows: &[&RequestRow]| {
        let block = RequestRow::encoded(rows, resource);
        Part { class, rows: rows.len() as u32, table: Table::Requests, block }
    };
    let mut parts = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, row) in rows.iter().enumerate() {
        let text_bytes = row.text_bytes();
        if at > start && (at - start == REQUESTS_A_CHUNK || bytes + text_bytes > TEXT_BYTES_A_CHUNK) {
            parts.push(part(&rows[start..at]));
            (start, bytes) = (at, 0);
        }
        bytes += text_bytes;
    }
    if start < rows.len() {
        parts.push(part(&rows[start..]));
    }
    parts
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
