//! `batches`: the aggregator's door for agents under load.
//!
//! All frames are made before the clock starts, so that little more than HTTP is left to do for this program, which runs
//! on the same machine. Every acknowledgement counted is durable; at the end SQL must find every row exactly once.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::Args;
use ridealong_common::frame::MEDIA_TYPE;
use ridealong_common::time::Timestamp;

use crate::delivery::Door;
use crate::frames::{Cut, Encoded, Kind, Times, of_producer};
use crate::measured::{How, Load, measure};
use crate::target::Which;
use crate::tracked::Tracked;
use crate::{access_log, workload};

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    make: Make,
    /// Write the events as JSON too, one a line, for other programs to read; with --kind events
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
}

/// What frames are made.
#[derive(Args, Clone)]
pub struct Make {
    /// What the rows are
    #[arg(long, value_enum, default_value_t = Kind::Requests)]
    pub kind: Kind,
    /// Access log in the combined format to make requests from; without it they are made up
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
    /// Rows in all
    #[arg(long, value_name = "N", default_value_t = 2_000_000)]
    pub rows: u64,
    /// Agents at once, each with its connection
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    pub connections: u64,
    /// Rows of one frame
    #[arg(long, value_name = "N", default_value_t = 4_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub frame_rows: u64,
    /// Rows of one chunk; the agent's are 400
    #[arg(long, value_name = "N", default_value_t = 400, value_parser = clap::value_parser!(u64).range(1..=65_536))]
    pub chunk_rows: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Requests with all that an agent records by default, drawn from the log
    #[arg(skip)]
    pub whole: bool,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let service = format!("load-{:08x}", fastrand::u32(..));
    let bodies = frames(&options.make, &service).await?;
    if let Some(file) = &options.save {
        save(&options.make, &service, file)?;
    }
    let target = options.which.start(binaries)?;
    let load = Load { kind: options.make.kind, service, door: door(&target.url), bodies };
    measure(&target, load, &options.how).await
}

/// As many events of the same making as the first sender's, and no more than are sent.
fn save(make: &Make, service: &str, file: &Path) -> Result<()> {
    ensure!(make.kind == Kind::Events, "--save is for --kind events");
    let mut out = BufWriter::new(File::create(file).with_context(|| format!("cannot make {}", file.display()))?);
    let mut tracked = Tracked::new(service, make.seed, Timestamp::now(), make.whole);
    for _ in 0..make.rows {
        writeln!(out, "{}", tracked.json())?;
    }
    out.flush().context("cannot write the events")
}

pub fn door(url: &str) -> Door {
    Door { url: format!("{url}/v1/batches"), media_type: MEDIA_TYPE, stored: &["stored", "duplicate"] }
}

/// The frames of each connection.
pub async fn frames(make: &Make, service: &str) -> Result<Vec<Vec<Encoded>>> {
    let lines = match &make.log {
        Some(file) => access_log::read(file)?,
        None => workload::made_up(make.seed),
    };
    let lines = std::sync::Arc::new(lines);
    let connections = make.connections;
    let mut making = Vec::new();
    for at in 0..connections {
        // What does not divide goes to the first ones.
        let rows = make.rows / connections + u64::from(at < make.rows % connections);
        let cut = Cut {
            kind: make.kind,
            rows,
            rows_a_frame: make.frame_rows,
            rows_a_chunk: make.chunk_rows,
            whole: make.whole,
            times: Times::Now,
        };
        let (lines, service, seed) = (lines.clone(), service.to_owned(), make.seed.wrapping_add(at));
        making.push(tokio::task::spawn_blocking(move || of_producer(cut, &service, &lines, seed)));
    }
    let mut producers = Vec::new();
    for each in making {
        producers.push(each.await??);
    }
    Ok(producers)
}
