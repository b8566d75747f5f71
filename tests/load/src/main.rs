//! `ridealong-load`: measures what a running system does. `batches` loads the aggregator as agents do, `json` as services do, `bytes` looks at
//! what lies in the lake then, `history` fills a folder with past days, `rest` at both programs when nothing happens, `idle` at the agent with many silent connections.
//!
//! Prints tables; exits with 1 when something was lost. Compares no proxies: that is `proxy.sh` beside it.

mod access_log;
mod batches;
mod bytes;
mod dashboards;
mod delivery;
mod export;
mod frames;
mod fresh;
mod history;
mod idle;
mod json;
mod measured;
mod metrics;
mod overload;
mod process;
mod program;
mod report;
mod rest;
mod target;
mod tracked;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "ridealong-load", about = "Measures Ridealong", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Folder with ridealong-agent and ridealong-aggregator; without it that of this program
    #[arg(long, global = true, value_name = "DIR")]
    binaries: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Command {
    /// Events a second through POST /v1/batches, acknowledged when fsynced
    Batches(batches::Options),
    /// What a row takes in the lake, column by column, beside what entropy allows
    Bytes(bytes::Options),
    /// A thousand sockets and 200 questions a second while events come in
    Dashboards(dashboards::Options),
    /// A data folder with some days of rows, for tests/load/queries.sh
    History(history::Options),
    /// Rows a second through GET /export, by format, and the memory it takes
    Export(export::Options),
    /// JSON events a second through POST /batch-track, acknowledged when fsynced
    Json(json::Options),
    /// Answers of POST /metrics over days of data: cold, warm, again, and while events come in
    Metrics(metrics::Options),
    /// Goodput, memory and health at many times what can be taken
    Overload(overload::Options),
    /// Memory of the agent with many silent connections
    Idle(idle::Options),
    /// Start-up time of both programs, and memory and processor time when idle
    Rest(rest::Options),
}

#[allow(clippy::print_stderr, reason = "a command says on standard error what went wrong")]
fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<()> {
    let binaries = program::folder(arguments.binaries)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match arguments.command {
        Command::Batches(options) => runtime.block_on(batches::run(options, &binaries)),
        Command::Bytes(options) => runtime.block_on(bytes::run(options, &binaries)),
        Command::Dashboards(options) => runtime.block_on(dashboards::run(options, &binaries)),
        Command::History(options) => runtime.block_on(history::run(options, &binaries)),
        Command::Export(options) => runtime.block_on(export::run(options, &binaries)),
        Command::Json(options) => runtime.block_on(json::run(options, &binaries)),
        Command::Metrics(options) => runtime.block_on(metrics::run(options, &binaries)),
        Command::Overload(options) => runtime.block_on(overload::run(options, &binaries)),
        Command::Idle(options) => runtime.block_on(idle::run(options, &binaries)),
        Command::Rest(options) => runtime.block_on(rest::run(options, &binaries)),
    }
}
