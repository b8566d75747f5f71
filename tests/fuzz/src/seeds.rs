//! The first inputs: the golden files of `ridealong-common`, and real rows of every table as they really travel.
//!
//! A target writes its own when it is started with `--seeds=FOLDER`, which libFuzzer passes over.

use std::fs;
use std::path::PathBuf;

use ridealong_common::block::Block;
use ridealong_common::chunk::Chunk;
use ridealong_common::event::{Defaults, TrackedEvent};
use ridealong_common::frame::Frame;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::{HostRow, RequestRow, Resource, SummaryRow};
use ridealong_common::sketch::Sketch;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;

const GOLDEN_FRAME: &[u8] = include_bytes!("../../../common/src/frame/golden/frame_v1.bin");
const GOLDEN_CHUNK: &[u8] = include_bytes!("../../../common/src/chunk/golden/host_metrics_v1.bin");
const GOLDEN_BLOCK: &[u8] = include_bytes!("../../../common/src/block/golden/requests_v1.bin");
const GOLDEN_SKETCH: &[u8] = include_bytes!("../../../common/src/sketch/golden/sketch_v1.bin");

const NOON_US: i64 = 1_795_176_000_000_000;

/// Writes `seeds` where the command line says, and ends the program there.
pub fn write_if_asked(seeds: fn() -> Vec<Vec<u8>>) {
    let folder = std::env::args().find_map(|argument| argument.strip_prefix("--seeds=").map(PathBuf::from));
    let Some(folder) = folder else { return };
    fs::create_dir_all(&folder).expect("the folder of the seeds can be made");
    for (at, seed) in seeds().into_iter().enumerate() {
        fs::write(folder.join(format!("seed-{at:02}")), seed).expect("a seed can be written");
    }
    std::process::exit(0);
}

/// Whole frames, and the bodies of frames.
pub fn frames() -> Vec<Vec<u8>> {
    let mut seeds = vec![GOLDEN_FRAME.to_vec(), expanded(GOLDEN_FRAME)];
    for chunks in real_chunks().chunks(1).chain([real_chunks().as_slice()]) {
        let frame = Frame { producer: producer(), announced: 500, sent_at_us: NOON_US, chunks: chunks.to_vec() };
        let bytes = frame.encode().expect("a small frame");
        seeds.push(expanded(&bytes));
        seeds.push(bytes);
    }
    seeds
}

pub fn chunks() -> Vec<Vec<u8>> {
    let real = real_chunks();
    std::iter::once(GOLDEN_CHUNK.to_vec()).chain(real.iter().map(Chunk::encode)).collect()
}

/// The number of the table, then the block.
pub fn blocks() -> Vec<Vec<u8>> {
    let with_table = |table: Table, block: &[u8]| [&[table as u8], block].concat();
    let real = real_chunks();
    let real = real.iter().map(|chunk| with_table(chunk.table, &chunk.block));
    std::iter::once(with_table(Table::Requests, GOLDEN_BLOCK)).chain(real).collect()
}

/// Requests, responses and chunked bodies, each behind the place where it is cut.
pub fn messages() -> Vec<Vec<u8>> {
    let messages: [&str; 7] = [
        "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: x, close\r\n\r\n",
        "\r\nPOST http://a/b HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nUpgrade: x\r\nTE: trailers\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "5;a=b ; c=\"d\\\"\"\r\nhello\r\n00\r\nX-Sum: 7\r\nHost: a\r\n\r\n",
        "ffffff\r\n",
    ];
    messages.iter().map(|message| [&[9], message.as_bytes()].concat()).collect()
}

pub fn sketches() -> Vec<Vec<u8>> {
    vec![GOLDEN_SKETCH.to_vec(), Sketch::new().encode(), sketch(1).encode(), sketch(300).encode()]
}

fn expanded(frame: &[u8]) -> Vec<u8> {
    zstd::bulk::decompress(&frame[16..], 1 << 20).expect("a frame's body")
}

fn producer() -> ProducerId {
    ProducerId::from_bytes(*b"producer of seed")
}

fn real_chunks() -> Vec<Chunk> {
    let resource =
        Resource { service: "shop".into(), version: Some("1.2".into()), host: "db-1".into(), ..Resource::default() };
    let chunk = |table, first, block: Block| Chunk::new(producer(), table, first, &block).expect("a small block");
    vec![
        chunk(Table::Requests, 0, RequestRow::block(&requests(1), &resource)),
        chunk(Table::Requests, 1, RequestRow::block(&requests(40), &resource)),
        chunk(Table::Events, 41, TrackedEvent::block(&events())),
        chunk(Table::HostMetrics, 47, HostRow::block(&hosts(), &resource)),
        chunk(Table::RequestSummaries, 50, SummaryRow::block(&summaries(), &resource)),
    ]
}

fn requests(count: u64) -> Vec<RequestRow> {
    let row = |at: u64| RequestRow {
        event_id: EventId::from_u128((0x01a1_faaa_0000_7be4_8000 << 48) + u128::from(at)),
        timestamp: Timestamp(NOON_US + 700 * at as i64),
        method: if at % 4 == 0 { "POST" } else { "GET" }.into(),
        route: ["/", "/items/{id}", "/fail"][at as usize % 3].into(),
        path: format!("/items/{at}"),
        status: (at % 9 != 8).then_some(200 + 100 * (at % 3) as u16),
        protocol: "HTTP/1.1",
        duration_us: 300 + at * at,
        ttfb_us: (at % 9 != 8).then_some(250 + at),
        request_bytes: 10 * at,
        response_bytes: 2_048,
        error: (at % 9 == 8).then_some("upstream_reset"),
        request_id: (at % 5 == 0).then(|| format!("request-{at}")),
        sample_weight: 1.0,
        ..RequestRow::default()
    };
    (0..count).map(row).collect()
}

fn events() -> Vec<TrackedEvent> {
    let event = |at: usize| {
        let json = [
            r#"{"eventType":"page_view","timestamp":"1969-12-31T23:59:59.999999Z","properties":{"größe":[1,null,{"a":"b"}]}}"#,
            r#"{"eventType":"order_placed","userId":"u1","sessionId":"s1","context":{"location":{"country":"CH","latitude":47.4}}}"#,
            r#"{"eventId":"not a uuid","eventType":"login","source":"app","context":{"consent":{"analytics":true}}}"#,
        ][at % 3];
        let json = serde_json_value(json);
        TrackedEvent::from_json(&json, &Defaults::default(), Timestamp(NOON_US)).expect("a valid event")
    };
    (0..6).map(event).collect()
}

fn serde_json_value(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("valid JSON")
}

fn hosts() -> Vec<HostRow> {
    let row = |at: u64| HostRow {
        timestamp: Timestamp(NOON_US + 10_000_000 * at as i64),
        cpu_utilization: 0.25 * at as f64,
        memory_used_bytes: 1 << 32,
        memory_total_bytes: 1 << 34,
        disk_used_bytes: 1 << 36,
        disk_total_bytes: 1 << 38,
        load_1m: 0.5,
        load_5m: 1.5,
        load_15m: 2.5,
        swap_used_bytes: 0,
        network_received_bytes: 1_000_000 * at,
        network_transmitted_bytes: 999 * at,
    };
    (0..3).map(row).collect()
}

fn summaries() -> Vec<SummaryRow> {
    let row = |at: u64| SummaryRow {
        timestamp: Timestamp(NOON_US),
        route: "/items/{id}".into(),
        method: "GET".into(),
        status: (at > 0).then_some(200),
        count: at * 100,
        error_count: 0,
        duration_sum_us: 12_345,
        duration_max_us: 999,
        duration_sketch: sketch(at * 30),
        request_bytes: 0,
        response_bytes: 4_096,
    };
    (0..4).map(row).collect()
}

fn sketch(values: u64) -> Sketch {
    let mut sketch = Sketch::new();
    (0..values).for_each(|at| sketch.add(at * at * 17));
    sketch
}
