//! Batches made by hand, as an agent makes them, and forged ones.

use anyhow::{Context, Result};
use bytes::Bytes;
use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::frame::{Frame, MEDIA_TYPE};
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use serde_json::Value;

use crate::api::{Answer, Api};

/// Bytes of a frame before its compressed body.
pub const HEADER_BYTES: usize = 16;

/// A row of the path `/handmade`.
pub fn request_row() -> RequestRow {
    RequestRow {
        event_id: EventId::draw(),
        timestamp: Timestamp::now(),
        method: "GET".into(),
        route: "/handmade".into(),
        path: "/handmade".into(),
        status: Some(200),
        protocol: "HTTP/1.1",
        duration_us: 1_000,
        ttfb_us: Some(900),
        request_bytes: 0,
        response_bytes: 10,
        sample_weight: 1.0,
        ..RequestRow::default()
    }
}

pub fn requests_block(count: usize) -> Block {
    let resource = Resource { service: "handmade".into(), host: "nowhere".into(), ..Resource::default() };
    let rows: Vec<RequestRow> = std::iter::repeat_with(request_row).take(count).collect();
    RequestRow::block(&rows, &resource)
}

/// New requests under the numbers from `first` on.
pub fn requests_chunk(producer: ProducerId, first: u64, count: usize) -> Chunk {
    Chunk::new(producer, Table::Requests, first, &requests_block(count)).expect("a small block makes a chunk")
}

/// An event as an agent's API has read it.
pub fn tracked_event(kind: &str) -> TrackedEvent {
    let event = serde_json::json!({ "eventType": kind, "userId": "user-7", "properties": { "plan": "pro" } });
    TrackedEvent::from_json(&event, &Defaults::default(), Timestamp::now()).expect("it has a type")
}

/// The events of a JSON batch, as an agent would send them.
pub fn events_chunk(producer: ProducerId, first: u64, batch: &Value) -> Result<Chunk> {
    let events = batch["events"].as_array().context("a batch has events")?;
    let read = |event| TrackedEvent::from_json(event, &Defaults::default(), Timestamp::now());
    let rows = events.iter().map(read).collect::<Result<Vec<_>, _>>().context("no event")?;
    Chunk::new(producer, Table::Events, first, &TrackedEvent::block(&rows)).context("too large for a chunk")
}

/// With the clock at 0, so that the body's first bytes are known.
pub fn frame(announced: u64, chunks: Vec<Chunk>) -> Vec<u8> {
    let producer = chunks.first().expect("a frame has chunks").producer;
    Frame { producer, announced, sent_at_us: 0, chunks }.encode().expect("a small frame can be encoded")
}

pub async fn send(api: &Api, frame: impl Into<reqwest::Body>) -> Result<Answer> {
    api.post_bytes("/v1/batches", MEDIA_TYPE, frame).await
}

/// A chunk whose checksum holds whatever it says about itself: what a sender that means harm can make.
pub fn forged_chunk(producer: ProducerId, table: Table, count: u32, block: Vec<u8>) -> Chunk {
    let mut crc = crc32c::crc32c(&[1, table as u8]);
    for part in [
        producer.to_bytes().as_slice(),
        &0u64.to_le_bytes(),
        &count.to_le_bytes(),
        &(block.len() as u32).to_le_bytes(),
        &block,
    ] {
        crc = crc32c::crc32c_append(crc, part);
    }
    Chunk { producer, table, first: 0, count, crc, block: Bytes::from(block) }
}

/// The body of a frame, expanded.
pub fn body_of(frame: &[u8]) -> Result<Vec<u8>> {
    zstd::decode_all(&frame[HEADER_BYTES..]).context("a frame's body is zstd")
}

/// A frame around any body, its checksum sound; `announced_bytes` is what it says about the body's length.
pub fn framed(body: &[u8], announced_bytes: u32) -> Vec<u8> {
    with_checksum(&zstd::bulk::compress(body, 3).expect("memory suffices"), announced_bytes)
}

/// A frame around bytes that are said to be compressed.
pub fn with_checksum(compressed: &[u8], announced_bytes: u32) -> Vec<u8> {
    let mut bytes = b"RLFR\x01\x01\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&announced_bytes.to_le_bytes());
    bytes.extend_from_slice(compressed);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&bytes[4..8]), &bytes[12..]);
    bytes[8..12].copy_from_slice(&crc.to_le_bytes());
    bytes
}
