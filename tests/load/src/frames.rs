//! Frames made before the clock starts: numbered chunks of rows, encoded as they travel.

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::ValueEnum;
use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::TrackedEvent;
use ridealong_common::frame::Frame;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;

use crate::access_log::Line;
use crate::tracked::Tracked;
use crate::workload::{self, Workload};

/// What the rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Proxied requests, without a duplicate check by id
    Requests,
    /// Tracked events: enriched, and deduplicated by id
    Events,
}

impl Kind {
    pub fn table(self) -> Table {
        match self {
            Kind::Requests => Table::Requests,
            Kind::Events => Table::Events,
        }
    }

    /// The column that says which run a row is of.
    pub fn service_column(self) -> &'static str {
        match self {
            Kind::Requests => "service",
            Kind::Events => "source",
        }
    }
}

/// How many rows are cut into what.
#[derive(Clone, Copy)]
pub struct Cut {
    pub kind: Kind,
    pub rows: u64,
    pub rows_a_frame: u64,
    pub rows_a_chunk: u64,
    /// Requests with all that an agent records by default, drawn from the log.
    pub whole: bool,
    pub times: Times,
}

/// When the rows of a producer happened.
#[derive(Clone, Copy)]
pub enum Times {
    /// From now on, as densely as a busy agent sees them.
    Now,
    /// From then on, so far apart on average; events in sessions, as visitors make them.
    Past { start: Timestamp, gap_us: f64 },
}

/// A frame as it is sent.
#[derive(Clone)]
pub struct Encoded {
    pub bytes: Bytes,
    pub rows: u64,
}

/// All frames of one producer.
pub fn of_producer(cut: Cut, service: &str, lines: &[Line], seed: u64) -> Result<Vec<Encoded>> {
    let producer = ProducerId::draw();
    let mut rows = Rows::new(cut, service, lines, seed);
    let mut frames = Vec::new();
    let mut first = 0;
    while first < cut.rows {
        let frame_rows = cut.rows_a_frame.min(cut.rows - first);
        let mut chunks = Vec::new();
        let mut done = 0;
        while done < frame_rows {
            let count = cut.rows_a_chunk.min(frame_rows - done);
            let chunk = Chunk::new(producer, cut.kind.table(), first + done, &rows.block(count)?);
            chunks.push(chunk.context("a chunk is over a limit: take fewer rows a chunk")?);
            done += count;
        }
        let announced = first + frame_rows;
        let frame = Frame { producer, announced, sent_at_us: Timestamp::now().micros(), chunks };
        let bytes = frame.encode().context("a frame is over a limit: take fewer rows a frame")?;
        frames.push(Encoded { bytes: Bytes::from(bytes), rows: frame_rows });
        first = announced;
    }
    Ok(frames)
}

/// Where rows of either kind come from.
enum Rows<'a> {
    Requests(Box<Workload<'a>>, Resource),
    Events(Tracked),
}

impl<'a> Rows<'a> {
    fn new(cut: Cut, service: &str, lines: &'a [Line], seed: u64) -> Self {
        let (start, gap_us) = match cut.times {
            Times::Now => (Timestamp::now(), workload::GAP_US),
            Times::Past { start, gap_us } => (start, gap_us),
        };
        match cut.kind {
            Kind::Requests => {
                let resource = Resource {
                    service: service.to_owned(),
                    version: Some("1.0.0".to_owned()),
                    environment: Some("load".to_owned()),
                    host: format!("host-{seed}"),
                };
                Rows::Requests(Box::new(Workload::new(lines, seed, start, gap_us, cut.whole)), resource)
            }
            Kind::Events => Rows::Events(match cut.times {
                Times::Now => Tracked::new(service, seed, start, cut.whole),
                Times::Past { .. } => Tracked::in_sessions(service, seed, start, gap_us),
            }),
        }
    }

    fn block(&mut self, count: u64) -> Result<Block> {
        match self {
            Rows::Requests(workload, resource) => {
                let rows: Vec<RequestRow> = (0..count).map(|_| workload.row()).collect();
                Ok(RequestRow::block(&rows, resource))
            }
            Rows::Events(tracked) => {
                let rows = (0..count).map(|_| tracked.event()).collect::<Result<Vec<_>>>()?;
                Ok(TrackedEvent::block(&rows))
            }
        }
    }
}
