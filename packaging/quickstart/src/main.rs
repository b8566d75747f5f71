//! `ridealong-quickstart`: an aggregator, an agent and something to look at, from one command. `packaging/quickstart.sh`
//! builds all three and calls it.
//!
//! [`session`] wires everything. What the programs say of themselves comes through their public APIs alone: nothing here
//! links against them, so what works here works for anybody.

mod arguments;
mod session;

mod announcement;
mod folder;
mod program;
mod signals;
mod stack;

mod demo;
mod traffic;

mod api;
mod measurement;
mod verification;

mod introduction;
mod screen;
mod table;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use arguments::Arguments;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let ended = runtime.map_err(anyhow::Error::from).and_then(|runtime| {
        let ended = runtime.block_on(session::run(arguments));
        runtime.shutdown_background();
        ended
    });
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => say(&format!("error: {error:#}")),
    }
}

fn say(text: &str) -> ExitCode {
    // The terminal may be gone; the exit code says enough then.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::FAILURE
}
