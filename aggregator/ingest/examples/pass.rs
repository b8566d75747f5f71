//! What each stage of the pass costs: `cargo run --release -p ridealong-ingest --example pass -- [USER_AGENTS [GEO_FILE]]`,
//! where USER_AGENTS is a file of user agents, one a line. CPU-seconds of this thread for a million events.

#![allow(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use ridealong_catalog::{Catalog, Corrections};
use ridealong_common::chunk::Chunk;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::frame::Frame;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::{RequestRow, Resource};
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_enrich::Places;
use ridealong_ingest::{Enricher, Ingest};
use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::RealDisk;
use ridealong_wal::{Wal, WalOptions};
use serde_json::{Value, json};

const EVENTS: usize = 200_000;
/// Rows of one chunk of an agent: about 16 KiB.
const CHUNK: usize = 250;
const CHUNKS_OF_FRAME: usize = 16;

type Measured = BTreeMap<&'static str, u64>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = arguments.first().map(|file| std::fs::read_to_string(file).expect("a file of user agents"));
    let agents: Vec<&str> = text.as_deref().map_or_else(Vec::new, |text| text.lines().collect());
    let places = arguments.get(1).map_or_else(Places::default, |file| Places::open(Path::new(file)).expect("places"));
    let folder = std::env::temp_dir().join(format!("ridealong-pass-{}", std::process::id()));
    let (wal, _) = Wal::open(WalOptions::new(folder.join("log"))).expect("a log");
    let catalog =
        Catalog::open(Arc::new(RealDisk::new(&folder.join("catalog")).expect("a folder"))).expect("a catalog");
    let ingest = Ingest::new(wal.clone(), catalog.clone(), Enricher::new(places));
    let tenant = TenantId::default_tenant();
    let events: Vec<Value> = (0..EVENTS).map(|number| event(number, &agents)).collect();
    println!("CPU-seconds for a million, {EVENTS} events each, the second of two rounds");
    for corrections in [false, true] {
        let all = corrections;
        let on = Corrections { clock_skew: all, numbers_as_text: all, oversize_text: all, casing: all };
        let set = catalog.change(&tenant, |settings| {
            settings.corrections = on;
            Ok(())
        });
        set.expect("set");
        println!("corrections {}", if corrections { "on" } else { "off" });
        let frames = [("requests", request_frames()), ("events", event_frames(&events))];
        for (what, frames) in &frames {
            shown(what, || framed(&ingest, &tenant, frames));
        }
        shown("JSON events", || {
            let mut measured = Measured::new();
            let mut last = cpu_nanoseconds();
            for batch in events.chunks(500) {
                let rehearsed = ingest.rehearse_events(&tenant, batch, |stage| mark(&mut measured, &mut last, stage));
                rehearsed.expect("sound events");
            }
            measured
        });
    }
    wal.close();
    // Left behind it would do no harm.
    let _ = std::fs::remove_dir_all(folder);
}

fn framed(ingest: &Ingest, tenant: &TenantId, frames: &[Bytes]) -> Measured {
    let mut measured = Measured::new();
    let mut last = cpu_nanoseconds();
    for frame in frames {
        let rehearsed = ingest.rehearse_frame(tenant, frame, |stage| mark(&mut measured, &mut last, stage));
        rehearsed.expect("a sound frame");
    }
    measured
}

fn mark(measured: &mut Measured, last: &mut u64, stage: &'static str) {
    let now = cpu_nanoseconds();
    *measured.entry(stage).or_default() += now - std::mem::replace(last, now);
}

fn shown(what: &str, run: impl Fn() -> Measured) {
    run();
    for (stage, nanoseconds) in run() {
        println!("  {what:<12} {stage:<22} {:>7.3}", nanoseconds as f64 / 1e9 * 1e6 / EVENTS as f64);
    }
}

/// Of this thread.
fn cpu_nanoseconds() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn event(number: usize, agents: &[&str]) -> Value {
    let agent = agents.get(number % agents.len().max(1)).copied().unwrap_or("curl/8.14.1");
    let event_type = ["page_viewed", "order_placed", "clicked"][number % 3];
    json!({
        "eventId": EventId::from_u128((7 << 76) | (number as u128 * 0x9e37_79b9_7f4a_7c15)).to_string(),
        "eventType": event_type,
        "timestamp": Timestamp(1_760_000_000_000_000 + number as i64 * 1_000).to_string(),
        "userId": format!("user-{}", number % 5_000),
        "sessionId": format!("session-{}", number / 20),
        "properties": { "path": format!("/p/{}", number % 100), "value": number % 977 },
        "context": { "userAgent": agent, "ipAddress": format!("81.{}.{}.7", number % 200, number % 250) },
        "source": "shop",
    })
}

fn event_frames(events: &[Value]) -> Vec<Bytes> {
    let read = |event| TrackedEvent::from_json(event, &Defaults::default(), Timestamp(0)).expect("an event");
    let rows: Vec<TrackedEvent> = events.iter().map(read).collect();
    frames(Table::Events, rows.chunks(CHUNK).map(TrackedEvent::block))
}

fn request_frames() -> Vec<Bytes> {
    let row = |number: usize| RequestRow {
        event_id: EventId::from_u128((7 << 76) | number as u128),
        timestamp: Timestamp(1_760_000_000_000_000 + number as i64 * 100),
        method: "GET".into(),
        route: ["/", "/cart", "/p/{id}"][number % 3].into(),
        path: format!("/p/{}", number % 500),
        status: Some(200),
        protocol: "HTTP/1.1",
        duration_us: 900 + number as u64 % 5_000,
        ttfb_us: Some(800),
        request_bytes: 300,
        response_bytes: 1_024,
        sample_weight: 1.0,
        ..RequestRow::default()
    };
    let resource = Resource { service: "shop".into(), host: "host".into(), ..Resource::default() };
    let rows: Vec<RequestRow> = (0..EVENTS).map(row).collect();
    frames(Table::Requests, rows.chunks(CHUNK).map(|rows| RequestRow::block(rows, &resource)))
}

fn frames(table: Table, blocks: impl Iterator<Item = ridealong_common::block::Block>) -> Vec<Bytes> {
    let producer = ProducerId::draw();
    let mut first = 0;
    let chunks: Vec<Chunk> = blocks
        .map(|block| {
            let chunk = Chunk::new(producer, table, first, &block).expect("a chunk");
            first = chunk.end();
            chunk
        })
        .collect();
    let frame = |chunks: &[Chunk]| Frame { producer, announced: first, sent_at_us: 0, chunks: chunks.to_vec() };
    chunks.chunks(CHUNKS_OF_FRAME).map(|chunks| frame(chunks).encode().expect("encodes").into()).collect()
}
