//! The command line.

use std::time::Duration;

use clap::Parser;
use url::Url;

/// Starts an aggregator and an agent in front of a service, and shows what they measure. Everything stays on this machine.
#[derive(Debug, Parser)]
#[command(name = "quickstart.sh", version)]
pub struct Arguments {
    /// The service to ride along with, as http://HOST:PORT. Without it, a small demo service with its own traffic
    #[arg(value_name = "UPSTREAM_URL", value_parser = upstream)]
    pub upstream: Option<Url>,

    /// Run for a few seconds, check by SQL that every request is stored exactly once, print the result as JSON, and end
    #[arg(long)]
    pub once: bool,

    /// How long --once runs
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=3_600))]
    seconds: u16,

    /// Keep the folder with the data, the spool and the logs
    #[arg(long)]
    pub keep: bool,
}

impl Arguments {
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

/// Of the forms that an agent's `--upstream` may take; whether it can proxy to this one, the agent itself says.
fn upstream(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| match url.scheme() {
        "http" | "h2c" => url.has_host(),
        scheme => scheme == "unix",
    });
    url.ok_or_else(|| "it must look like http://127.0.0.1:3000".into())
}
