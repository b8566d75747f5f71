//! What recording costs: exchanges through a recorder, the spool with its summaries and fsyncs, and the shipper's frames,
//! without a network. `recording [EXCHANGES] [RATE]` prints processor time an exchange; under
//! `valgrind --tool=callgrind` its instructions are repeatable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use ridealong_agent::books::Books;
use ridealong_agent::exchange::{Exchange, Record};
use ridealong_agent::privacy::{Privacy, PrivacySettings, Salt};
use ridealong_agent::recorder::{Recorder, Recording};
use ridealong_agent::route::RouteTable;
use ridealong_agent::sampling::{Sampling, SamplingHandle};
use ridealong_agent::spool::{Spool, SpoolOptions};
use ridealong_common::frame::Frame;
use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::rows::Resource;

/// Exchanges between two ticks of the thread: 20,000 a second.
const TICK: u64 = 1_000;
/// As the shipper's parcels.
const PARCEL_BYTES: usize = 1 << 20;

#[allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a program for the eyes of whoever measures")]
fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<f64>().ok());
    let count = arguments.next().unwrap_or(200_000.0) as u64;
    let rate = arguments.next().unwrap_or(1.0);
    let folder = tempfile::tempdir().expect("a folder");
    let recording = recording(folder.path(), rate);
    let recorder = Recorder::new(&recording);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let exchanges: Vec<Exchange> = (0..count.min(20_000)).map(exchange).collect();
    let (started, before) = (Instant::now(), processor_time());
    let mut random = fastrand::Rng::with_seed(1);
    let mut bytes = 0;
    for number in 0..count {
        let mut next = exchanges[number as usize % exchanges.len()].clone();
        next.event_id = EventId::from_u128(0x0199_0000_0000_7abc_8123_4567_0000_0000 + u128::from(number));
        next.started_at_us += 50 * number as i64;
        next.duration_us += random.u64(0..2_000);
        recorder.record(next);
        if number % TICK == TICK - 1 {
            recorder.tick();
            // A group commit each 2,000 exchanges: 100 ms at 20,000 a second.
            if number % (2 * TICK) == 2 * TICK - 1 {
                runtime.block_on(recording.spool.commit());
            }
            if number % (20 * TICK) == 20 * TICK - 1 {
                bytes += runtime.block_on(shipped(&recording.spool));
            }
        }
    }
    recorder.tick();
    runtime.block_on(recording.spool.commit());
    bytes += runtime.block_on(shipped(&recording.spool));
    let cost = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let books = recording.books.snapshot();
    println!("exchanges        {count} at rate {rate}, rows dropped {:?}", books.dropped);
    println!("processor time   {:.3} us an exchange", cost(processor_time() - before));
    println!("time             {:.3} us an exchange", cost(started.elapsed()));
    println!("shipped          {:.1} bytes an exchange", bytes as f64 / count as f64);
}

async fn shipped(spool: &Spool) -> usize {
    let mut bytes = 0;
    while let Some(parcel) = spool.next(PARCEL_BYTES).await {
        let frame = Frame {
            producer: parcel.producer,
            announced: parcel.announced,
            sent_at_us: 0,
            chunks: parcel.chunks.clone(),
        };
        bytes += frame.encode().expect("within the limits").len();
        let rows = parcel.rows();
        spool.acknowledge(parcel.keys, rows).await;
    }
    bytes
}

fn recording(folder: &std::path::Path, rate: f64) -> Recording {
    let books = Arc::new(Books::default());
    let options = SpoolOptions {
        folder: folder.into(),
        bytes_max: 256 << 20,
        producer: ProducerId::draw(),
        resource: Resource { service: "shop".into(), host: "host-1".into(), ..Resource::default() },
    };
    Recording {
        spool: Spool::open(options, Arc::clone(&books), Arc::default()).expect("a spool"),
        books,
        routes: Arc::new(RouteTable::new(Vec::new())),
        privacy: Arc::new(Privacy::new(PrivacySettings::default(), Salt::draw())),
        sampling: SamplingHandle::new(Sampling { rate, ..Sampling::default() }),
    }
}

/// A shop's traffic: 40 paths and 1,000 users, some errors and refusals, half the bodies empty.
fn exchange(number: u64) -> Exchange {
    let mut random = fastrand::Rng::with_seed(number);
    let status = match random.u32(0..1_000) {
        0 => 503,
        1..20 => 404,
        20..60 => 304,
        _ => 200,
    };
    let path = match random.u32(0..4) {
        0 => format!("/users/{}/orders", random.u32(0..1_000)),
        1 => format!("/items/{}", random.u32(0..5_000)),
        2 => "/api/v1/cart".to_owned(),
        _ => format!("/pages/{}", ["home", "about", "contact", "search"][random.usize(0..4)]),
    };
    let ttfb_us = (400.0 / random.f64().max(1e-3).sqrt()) as u64;
    let event_id = EventId::default();
    Exchange {
        host: Some("shop.example".into()),
        client: Some([10, 0, random.u8(0..4), random.u8(..)].into()),
        status: Some(status),
        duration_us: ttfb_us + 30,
        ttfb_us: Some(ttfb_us),
        request_complete_us: Some(random.u64(5..40)),
        upstream_connected_us: Some(random.u64(40..90)),
        response_complete_us: Some(ttfb_us + 20),
        overhead_us: Some(random.u64(20..90)),
        response_bytes: if status == 200 { random.u64(200..20_000) } else { 0 },
        ..Exchange::begun(
            event_id,
            1_700_000_000_000_000,
            if random.u32(0..10) == 0 { Method::POST } else { Method::GET },
            path,
            "HTTP/1.1",
        )
    }
}

/// Of all threads that run.
fn processor_time() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let of_thread = |path: std::path::PathBuf| {
        let text = std::fs::read_to_string(path.join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    };
    Duration::from_nanos(threads.filter_map(|thread| of_thread(thread.path())).sum())
}
