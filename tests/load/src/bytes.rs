//! `bytes`: what a row takes in the lake, column by column, beside what its entropy allows.
//!
//! Requests are rows as an agent records them by default, made of a real access log whose lines are drawn one by one: in
//! their own order, over and over, they would compress as no traffic does. Events are those of `batches --kind events`. The
//! files' footers are read by `lake_bytes.py`, since the libraries that read Parquet here belong to the aggregator.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::batches::{Make, door, frames};
use crate::delivery::deliver;
use crate::frames::Kind;
use crate::process::processor_time;
use crate::report::{Report, grouped};
use crate::target::Target;

const READER: &str = include_str!("../lake_bytes.py");

#[derive(Args)]
pub struct Options {
    /// Access log in the combined format to make requests from; without it the one of the tests' data
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Rows of each table
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    rows: u64,
    /// Agents at once
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1_024))]
    connections: u64,
    /// Rows of one frame: what an agent sends at once
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    frame_rows: u64,
    /// Seed of what is made up
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Folder for the data, which stays; without it one that goes afterwards
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only look at the tables in this data folder; nothing is made
    #[arg(long, value_name = "DIR", conflicts_with_all = ["log", "data"])]
    look: Option<PathBuf>,
    /// Further flags for the aggregator, such as --with=--flush-age=1h
    #[arg(long = "with", value_name = "FLAG", allow_hyphen_values = true)]
    flags: Vec<String>,
    /// Python with deltalake, numpy and pyarrow; without it the one that tests/readers/run.sh installs
    #[arg(long, value_name = "FILE")]
    python: Option<PathBuf>,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let python = options.python.clone().map_or_else(readers, Ok)?;
    if let Some(folder) = &options.look {
        return look(&python, folder);
    }
    let folder = tempfile::Builder::new().prefix("ridealong-bytes-").tempdir().context("cannot make a folder")?;
    let data = options.data.clone().unwrap_or_else(|| folder.path().join("data"));
    let target = Target::start(Some(&data), &options.flags, binaries)?;
    let mut report = Report::new(&["table", "rows", "CPU-s a million, from frame to Delta"]);
    for kind in [Kind::Requests, Kind::Events] {
        let make = Make {
            kind,
            log: if kind == Kind::Requests { Some(log(options.log.clone())?) } else { None },
            rows: options.rows,
            connections: options.connections,
            frame_rows: options.frame_rows,
            chunk_rows: options.frame_rows.min(400),
            seed: options.seed,
            whole: true,
        };
        let bodies = frames(&make, "shop").await?;
        let before = processor_time(target.pid)?;
        deliver(&door(&target.url), bodies, None).await?;
        target.flush().await?;
        let taken = processor_time(target.pid)? - before;
        let a_million = taken.as_secs_f64() * 1e6 / options.rows as f64;
        report.row(vec![kind.table().name().into(), grouped(options.rows), format!("{a_million:.2}")]);
    }
    // Stopped, so that nothing changes files under the reader.
    drop(target);
    report.print();
    look(&python, &data)
}

/// The real log of the tests' data.
fn log(told: Option<PathBuf>) -> Result<PathBuf> {
    let data = std::env::var_os("RIDEALONG_TEST_DATA").map_or_else(|| PathBuf::from("../shared/data"), PathBuf::from);
    let log = told.unwrap_or_else(|| data.join("access.log"));
    ensure!(
        log.is_file(),
        "{} is no file: name an access log with --log or its folder in RIDEALONG_TEST_DATA",
        log.display()
    );
    Ok(log)
}

fn readers() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let python = cache.context("neither XDG_CACHE_HOME nor HOME is set")?.join("ridealong/readers-venv/bin/python");
    ensure!(python.is_file(), "{} is missing: run tests/readers/run.sh once, or name --python", python.display());
    Ok(python)
}

fn look(python: &Path, data: &Path) -> Result<()> {
    let mut reader = Command::new(python)
        .args(["-", &data.to_string_lossy()])
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", python.display()))?;
    reader.stdin.take().context("the reader has no input")?.write_all(READER.as_bytes())?;
    let status = reader.wait()?;
    ensure!(status.success(), "the reader of {} ended with {status}", data.display());
    Ok(())
}
