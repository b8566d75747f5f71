//! One measurement of a door: sends what was made, and prints what it took, of whom, and that nothing is missing.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use crate::delivery::{Delivered, Door, deliver, percentile};
use crate::frames::{Encoded, Kind};
use crate::fresh::{self, Freshness};
use crate::process::{Memory, Others, memory, processor_time};
use crate::report::{Report, grouped, mebibytes};
use crate::target::Target;

#[derive(Args)]
pub struct How {
    /// Events a second over all connections; without it as many as are taken
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rate: Option<u64>,
    /// Meanwhile send single events, ten a second, and look for each in SQL
    #[arg(long)]
    pub fresh: bool,
}

/// What is sent where.
pub struct Load {
    pub kind: Kind,
    pub service: String,
    pub door: Door,
    pub bodies: Vec<Vec<Encoded>>,
}

struct Costs {
    taken: Duration,
    flushed: Duration,
    flush: Duration,
    ours: Duration,
    others: f64,
    at_end: Memory,
    after: Memory,
    fresh: Option<Freshness>,
}

pub async fn measure(target: &Target, load: Load, how: &How) -> Result<()> {
    let all = || load.bodies.iter().flatten();
    let (rows, bytes) = (all().map(|body| body.rows).sum(), all().map(|body| body.bytes.len() as u64).sum());
    let bodies = all().count() as u64;
    let (before, others) = (processor_time(target.pid)?, Others::now()?);
    let ours_before = processor_time(std::process::id())?;
    let prober = how.fresh.then(|| fresh::Prober::start(target.url.clone()));
    let delivered = deliver(&load.door, load.bodies, how.rate).await?;
    let fresh = match prober {
        Some(prober) => Some(prober.stop().await?),
        None => None,
    };
    let taken = processor_time(target.pid)? - before;
    let ours = processor_time(std::process::id())? - ours_before;
    let others = others.since(taken + ours)?;
    let at_end = memory(target.pid)?;
    let flush = target.flush().await?;
    let flushed = processor_time(target.pid)? - before;
    let costs = Costs { taken, flushed, flush, ours, others, at_end, after: memory(target.pid)?, fresh };
    print((rows, bodies, bytes), &delivered, &costs);
    target.holds(load.kind.table().name(), load.kind.service_column(), &load.service, rows).await?;
    let mut report = Report::new(&["check", "acknowledged", "found by SQL", "distinct ids"]);
    report.row(vec!["every row once".into(), grouped(rows), grouped(rows), grouped(rows)]);
    report.print();
    Ok(())
}

fn print((rows, bodies, bytes): (u64, u64, u64), delivered: &Delivered, costs: &Costs) {
    let a_million = |time: Duration| format!("{:.2}", time.as_secs_f64() * 1e6 / rows as f64);
    let milliseconds = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1e3);
    let mut report = Report::new(&["measure", "value", "unit"]);
    let mut line = |name: &str, value: String, unit: &str| report.row(vec![name.into(), value, unit.into()]);
    line("events", grouped(rows), "");
    line("bodies", grouped(bodies), "");
    line("wire", format!("{:.1}", bytes as f64 / rows as f64), "bytes an event");
    line("throughput", grouped((rows as f64 / delivered.took.as_secs_f64()) as u64), "events/s");
    line("took", format!("{:.2}", delivered.took.as_secs_f64()), "s");
    line("acknowledged p50", milliseconds(delivered.percentile(50)), "ms");
    line("acknowledged p99", milliseconds(delivered.percentile(99)), "ms");
    line("acknowledged max", milliseconds(delivered.percentile(100)), "ms");
    line("put off (429, 503)", grouped(delivered.put_off), "");
    if let Some(fresh) = &costs.fresh {
        line("single events sent and found", grouped(fresh.found_after.len() as u64), "");
        line("sent to in SQL, p50", milliseconds(percentile(&fresh.found_after, 50)), "ms");
        line("sent to in SQL, p99", milliseconds(percentile(&fresh.found_after, 99)), "ms");
        line("sent to in SQL, max", milliseconds(percentile(&fresh.found_after, 100)), "ms");
        line("queries put off (503)", grouped(fresh.put_off), "");
    }
    line("aggregator, until acknowledged", a_million(costs.taken), "CPU-s a million");
    line("aggregator, until in Delta", a_million(costs.flushed), "CPU-s a million");
    line("last flush", milliseconds(costs.flush), "ms");
    line("aggregator's memory at the end", mebibytes(costs.at_end.resident), "MiB");
    line("aggregator's memory, flushed", mebibytes(costs.after.resident), "MiB");
    line("aggregator's memory, peak", mebibytes(costs.after.resident_peak), "MiB");
    line("this program", a_million(costs.ours), "CPU-s a million");
    line("other programs", format!("{:.0}", costs.others * 100.0), "% of the machine");
    report.print();
}
