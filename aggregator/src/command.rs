//! Commands that work on data: through the running server if there is one, otherwise on the locked folder.

mod export;
mod folder;
mod progress;
mod server;
mod source;
mod sql;
mod table;

use anyhow::{Context, Result};
use clap::{ArgMatches, Command};

use crate::config::Config;
use source::Source;

/// The commands, without the settings' flags.
pub fn all() -> [Command; 2] {
    [export::command(), sql::command()]
}

pub fn run(name: &str, config: &Config, flags: &ArgMatches) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    // Opened and closed out here: a folder's lake has a runtime of its own.
    let source = Source::find(config, &runtime)?;
    let done = runtime.block_on(async {
        match name {
            "export" => export::run(&source, flags).await,
            _ => sql::run(&source, flags).await,
        }
    });
    source.close();
    done
}
