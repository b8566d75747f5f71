//! Frames made before the clock starts: numbered chunks of request rows, encoded as they travel.

use anyhow::{Context, Result};
use bytes::Bytes;
use ridealong_common::chunk::Chunk;
use ridealong_common::frame::Frame;
use ridealong_common::ids::ProducerId;
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;

use crate::access_log::Line;
use crate::workload::Workload;

/// How many rows are cut into what.
#[derive(Clone, Copy)]
pub struct Cut {
    pub rows: u64,
    pub rows_a_frame: u64,
    pub rows_a_chunk: u64,
}

/// A frame as it is sent.
pub struct Encoded {
    pub bytes: Bytes,
    pub rows: u64,
}

/// All frames of one producer.
pub fn of_producer(cut: Cut, service: &str, lines: &[Line], seed: u64) -> Result<Vec<Encoded>> {
    let producer = ProducerId::draw();
    let resource = Resource {
        service: service.to_owned(),
        version: Some("1.0.0".to_owned()),
        environment: Some("load".to_owned()),
        host: format!("host-{seed}"),
    };
    let mut workload = Workload::new(lines, seed, Timestamp::now());
    let mut frames = Vec::new();
    let mut first = 0;
    while first < cut.rows {
        let rows = cut.rows_a_frame.min(cut.rows - first);
        let mut chunks = Vec::new();
        let mut done = 0;
        while done < rows {
            let count = cut.rows_a_chunk.min(rows - done);
            let rows: Vec<RequestRow> = (0..count).map(|_| workload.row()).collect();
            let block = RequestRow::block(&rows, &resource);
            chunks
                .push(Chunk::new(producer, Table::Requests, first + done, &block).context("a chunk is over a limit")?);
            done += count;
        }
        let frame = Frame { producer, announced: first + rows, sent_at_us: Timestamp::now().micros(), chunks };
        let bytes = frame.encode().context("a frame is over a limit: take fewer rows a frame")?;
        frames.push(Encoded { bytes: Bytes::from(bytes), rows });
        first += rows;
    }
    Ok(frames)
}
