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

/// The commands, without the settings' flags.
pub fn all() -> [Command; 2] {
    [export::command(), sql::command()]
}

pub fn run(name: &str, config: &Config, flags: &ArgMatches) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start a runtime")?;
    runtime.block_on(async {
        match name {
            "export" => export::run(config, flags).await,
            _ => sql::run(config, flags).await,
        }
    })
}
