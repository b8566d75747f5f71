//! `dashboards`: a thousand people look at dashboards while events come in: sockets that are told numbers each second,
//! panels that ask questions, and how soon an event is seen. Latency of a question counts from when it was due.

mod questions;
mod sockets;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use ridealong_common::time::Timestamp;

use crate::batches::door;
use crate::delivery::{deliver, percentile};
use crate::frames::{Cut, Encoded, Kind, Times, of_producer};
use crate::idle::raise_descriptors;
use crate::process::{Others, memory, processor_time};
use crate::report::{Report, grouped, mebibytes};
use crate::target::{Target, Which};
use crate::workload;

use questions::{Asked, ask};
use sockets::{Looked, Sockets};

/// Descriptors beside the sockets.
const SPARE_DESCRIPTORS: u64 = 1_000;
const FRAME_ROWS: u64 = 10_000;
const CHUNK_ROWS: u64 = 400;
/// Frames of the stream: one each 40 ms at 10,000 a second.
const STREAM_FRAME_ROWS: u64 = 400;
const DAY: Duration = Duration::from_secs(86_400);

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    /// Rows that are there before it begins: two thirds requests, one third events
    #[arg(long, value_name = "N", default_value_t = 3_000_000)]
    rows: u64,
    /// Days that they lie in
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=30))]
    days: u32,
    /// WebSockets that are told numbers each second
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=20_000))]
    sockets: u64,
    /// Questions a second
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    questions: u64,
    /// Which questions: of POST /query, of POST /metrics, or both in turn
    #[arg(long, value_enum, default_value_t = questions::Mix::Both)]
    mix: questions::Mix,
    /// Events a second that come in meanwhile
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..))]
    rate: u64,
    #[arg(long, value_name = "N", default_value_t = 30)]
    seconds: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    // Inherited by the aggregator.
    raise_descriptors(options.sockets + SPARE_DESCRIPTORS)?;
    let service = format!("load-{:08x}", fastrand::u32(..));
    let target = options.which.start(binaries)?;
    fill(&options, &target, &service).await?;
    let stream = streamed(&options, &service)?;
    let at_rest = memory(target.pid)?;
    let sockets = Sockets::open(&target.url, options.sockets).await?;
    let each =
        memory(target.pid)?.anonymous.saturating_sub(at_rest.anonymous) as f64 / options.sockets as f64 / 1_024.0;
    let (before, others) = (processor_time(target.pid)?, Others::now()?);
    let (ours_before, started) = (processor_time(std::process::id())?, Instant::now());
    let time = Duration::from_secs(options.seconds);
    let asking = ask(&target.url, &service, options.mix, options.questions, time);
    let door = door(&target.url);
    let streaming = deliver(&door, stream, Some(options.rate));
    let (asked, streamed) = tokio::join!(asking, streaming);
    let (asked, streamed) = (asked?, streamed?);
    let took = started.elapsed();
    let taken = processor_time(target.pid)? - before;
    let ours = processor_time(std::process::id())? - ours_before;
    let others = others.since(taken + ours)?;
    let looked = sockets.close().await?;
    let at_end = memory(target.pid)?;
    print_questions(&asked);
    print_sockets(&looked, options.sockets);
    let mut report = Report::new(&["measure", "value", "unit"]);
    let mut line = |name: &str, value: String, unit: &str| report.row(vec![name.into(), value, unit.into()]);
    let a_second = |time: Duration| format!("{:.2}", time.as_secs_f64() / took.as_secs_f64());
    line("events acknowledged p50", milliseconds(streamed.percentile(50)), "ms");
    line("events acknowledged p99", milliseconds(streamed.percentile(99)), "ms");
    line("events put off (429, 503)", grouped(streamed.put_off), "");
    line("aggregator", a_second(taken), "CPU-s a second");
    line("this program", a_second(ours), "CPU-s a second");
    line("a socket, when opened", format!("{each:.1}"), "KiB of its memory");
    line("aggregator's memory", mebibytes(at_end.resident), "MiB");
    line("aggregator's memory, peak", mebibytes(at_end.resident_peak), "MiB");
    line("other programs", format!("{:.0}", others * 100.0), "% of the machine");
    report.print();
    Ok(())
}

/// Puts the rows of some days there.
async fn fill(options: &Options, target: &Target, service: &str) -> Result<()> {
    let span = DAY * options.days;
    let begin = Timestamp(Timestamp::now().micros() - span.as_micros() as i64);
    let lines = workload::made_up(options.seed);
    let of = |kind, rows| {
        let cut = Cut {
            kind,
            rows,
            rows_a_frame: FRAME_ROWS,
            rows_a_chunk: CHUNK_ROWS,
            whole: true,
            times: Times::Past { start: begin, gap_us: span.as_secs_f64() * 1e6 / rows.max(1) as f64 },
        };
        of_producer(cut, service, &lines, options.seed)
    };
    let events = options.rows / 3;
    for frames in [of(Kind::Requests, options.rows - events)?, of(Kind::Events, events)?] {
        deliver(&door(&target.url), vec![frames], None).await?;
    }
    target.flush().await?;
    Ok(())
}

/// The events that come while it is looked.
fn streamed(options: &Options, service: &str) -> Result<Vec<Vec<Encoded>>> {
    let connections = 4;
    let cut = Cut {
        kind: Kind::Events,
        rows: options.rate * options.seconds / connections,
        rows_a_frame: STREAM_FRAME_ROWS,
        rows_a_chunk: STREAM_FRAME_ROWS,
        whole: false,
        times: Times::Now,
    };
    (0..connections).map(|at| of_producer(cut, service, &[], options.seed + 100 + at)).collect()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}

fn print_questions(asked: &[Asked]) {
    let mut report =
        Report::new(&["question", "asked", "p50, ms", "p95, ms", "p99, ms", "max, ms", "put off", "other faults"]);
    for each in asked {
        let at = |percent| milliseconds(percentile(&each.answered_after, percent));
        report.row(vec![
            each.name.clone(),
            grouped(each.answered_after.len() as u64 + each.put_off + each.faults),
            at(50),
            at(95),
            at(99),
            at(100),
            grouped(each.put_off),
            grouped(each.faults),
        ]);
    }
    report.print();
}

fn print_sockets(looked: &Looked, sockets: u64) {
    let mut report = Report::new(&["sockets", "value", "unit"]);
    let mut line = |name: &str, value: String, unit: &str| report.row(vec![name.into(), value, unit.into()]);
    line("open", grouped(sockets), "");
    line("messages with numbers", grouped(looked.numbers), "");
    line("between two of them p50", milliseconds(percentile(&looked.between, 50)), "ms");
    line("between two of them p99", milliseconds(percentile(&looked.between, 99)), "ms");
    line("events seen (probes × sockets)", grouped(looked.sent_to_seen.len() as u64), "");
    line("events missed", grouped(looked.missed), "");
    for (percent, name) in [(50, "p50"), (99, "p99"), (100, "max")] {
        line(&format!("sent to seen {name}"), milliseconds(percentile(&looked.sent_to_seen, percent)), "ms");
    }
    for (percent, name) in [(50, "p50"), (99, "p99"), (100, "max")] {
        line(
            &format!("acknowledged to seen {name}"),
            milliseconds(percentile(&looked.acknowledged_to_seen, percent)),
            "ms",
        );
    }
    report.print();
}
