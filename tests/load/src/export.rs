//! `export`: rows a second out of the lake in each format, and what they take of the aggregator's memory.
//!
//! The bytes are counted and thrown away, so that little more than HTTP is left to do for this program, which runs on the
//! same machine. Rows are requests as agents make them, or events; all of them are in Delta tables before it begins.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use futures::StreamExt;

use crate::batches::{Make, door, frames};
use crate::delivery::deliver;
use crate::frames::Kind;
use crate::process::{memory, processor_time};
use crate::report::{Report, grouped, mebibytes};
use crate::target::{Target, client};

#[derive(Args)]
pub struct Options {
    /// Folder for the data, which stays, and is used as it is when it holds some; without it one that goes afterwards
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Further flags for the aggregator, such as --with=--query-threads=1
    #[arg(long = "with", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Rows of each table, when they are made
    #[arg(long, value_name = "N", default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Formats
    #[arg(long, value_name = "NAME", value_delimiter = ',', default_value = "parquet,arrow,ndjson,csv")]
    formats: Vec<String>,
    /// Each that often; the best counts
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    times: u64,
}

struct Taken {
    rows: u64,
    time: Duration,
    processor: Duration,
    bytes: u64,
    /// Resident memory before and at most, as seen every few megabytes.
    before: u64,
    peak: u64,
}

/// Pieces between two looks at the memory.
const LOOK: usize = 64;

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ridealong-export-").tempdir().context("cannot make a folder")?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    if !data.join("lake").is_dir() {
        let target = Target::start(Some(&data), &options.flags, binaries)?;
        for kind in [Kind::Requests, Kind::Events] {
            fill(&target, kind, options.rows).await?;
        }
    }
    // Anew, so that memory is what exports take.
    let target = Target::start(Some(&data), &options.flags, binaries)?;
    let mut report = Report::new(&[
        "table",
        "format",
        "rows",
        "rows a second",
        "bytes a row",
        "CPU-s a million",
        "MiB before",
        "MiB at most",
    ]);
    for kind in [Kind::Requests, Kind::Events] {
        for format in &options.formats {
            let mut best = export(&target, kind, format).await?;
            for _ in 1..options.times {
                let taken = export(&target, kind, format).await?;
                if taken.time < best.time {
                    best = taken;
                }
            }
            report.row(line(kind, format, &best));
        }
    }
    report.print();
    Ok(())
}

fn line(kind: Kind, format: &str, taken: &Taken) -> Vec<String> {
    let rows = taken.rows as f64;
    vec![
        kind.table().name().into(),
        format.into(),
        grouped(taken.rows),
        grouped((rows / taken.time.as_secs_f64()) as u64),
        format!("{:.1}", taken.bytes as f64 / rows),
        format!("{:.2}", taken.processor.as_secs_f64() * 1e6 / rows),
        mebibytes(taken.before),
        mebibytes(taken.peak),
    ]
}

async fn fill(target: &Target, kind: Kind, rows: u64) -> Result<()> {
    let make =
        Make { kind, log: None, rows, connections: 8, frame_rows: 4_000, chunk_rows: 400, seed: 1, whole: false };
    deliver(&door(&target.url), frames(&make, "export").await?, None).await?;
    target.flush().await?;
    Ok(())
}

async fn export(target: &Target, kind: Kind, format: &str) -> Result<Taken> {
    let table = kind.table().name();
    let count = target.query(&format!("SELECT count(*) AS n FROM {table}")).await?;
    let rows = count["n"].as_u64().context("an answer without a count")?;
    let before = memory(target.pid)?.resident;
    let (began, processor) = (Instant::now(), processor_time(target.pid)?);
    let url = format!("{}/api/analytics/export?table={table}&format={format}", target.url);
    let answer = client()?.get(url).send().await?;
    ensure!(answer.status().is_success(), "the export was answered {}", answer.status());
    let (mut bytes, mut peak, mut seen, mut pieces) = (0, before, 0, answer.bytes_stream());
    while let Some(piece) = pieces.next().await {
        bytes += piece?.len() as u64;
        seen += 1;
        if seen % LOOK == 0 {
            peak = peak.max(memory(target.pid)?.resident);
        }
    }
    Ok(Taken { rows, time: began.elapsed(), processor: processor_time(target.pid)? - processor, bytes, before, peak })
}
