//! Where log lines go: standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

/// A plain level is ours; libraries speak from WARN on. Anything else is taken as a filter for all.
pub fn start(level: &str, json: bool) -> Result<()> {
    let plain = level.bytes().all(|letter| letter.is_ascii_alphabetic());
    let filter = if plain { format!("warn,ridealong={level}") } else { level.to_owned() };
    let filter = EnvFilter::try_new(filter).with_context(|| format!("log-level {level:?} is no filter"))?;
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(json);
    if json {
        lines.json().init()
    } else {
        lines.init()
    }
    Ok(())
}
