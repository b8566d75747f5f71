//! The aggregator under load: one that runs already, or one started here on a folder of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use reqwest::Client;
use serde_json::{Value, json};

use crate::program::Program;

#[derive(Args)]
pub struct Which {
    /// An aggregator that runs already; without it one is started on an empty folder
    #[arg(long, value_name = "URL", requires = "pid")]
    aggregator: Option<String>,
    /// Its process, to measure it
    #[arg(long, value_name = "PID", requires = "aggregator")]
    pid: Option<u32>,
    /// Folder for the data of an aggregator started here; without it one that goes afterwards
    #[arg(long, value_name = "DIR", conflicts_with = "aggregator")]
    data: Option<PathBuf>,
    /// Further flags for an aggregator started here, such as --with=--flush-age=1h
    #[arg(long = "with", value_name = "FLAG", allow_hyphen_values = true, conflicts_with = "aggregator")]
    flags: Vec<String>,
}

pub struct Target {
    pub url: String,
    pub pid: u32,
    /// What was started here, with its folder.
    _started: Option<(Program, tempfile::TempDir)>,
}

impl Which {
    pub fn start(&self, binaries: &Path) -> Result<Target> {
        if let (Some(url), Some(pid)) = (&self.aggregator, self.pid) {
            return Ok(Target { url: url.trim_end_matches('/').to_owned(), pid, _started: None });
        }
        Target::start(self.data.as_deref(), &self.flags, binaries)
    }
}

impl Target {
    /// Starts one on a folder; without it on one that goes afterwards.
    pub fn start(data: Option<&Path>, flags: &[String], binaries: &Path) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ridealong-load-").tempdir().context("cannot make a folder")?;
        let data = data.map_or_else(|| folder.path().join("data"), Path::to_owned);
        let data = data.to_string_lossy();
        let mut arguments = vec!["serve", "--listen", "127.0.0.1:0", "--data", &data];
        arguments.extend(flags.iter().map(String::as_str));
        let log = folder.path().join("aggregator.log");
        let program = Program::start(&binaries.join("ridealong-aggregator"), &arguments, &log)?;
        let url = program.addresses[0].clone();
        Ok(Self { url, pid: program.pid(), _started: Some((program, folder)) })
    }

    /// How long a flush of everything takes.
    pub async fn flush(&self) -> Result<Duration> {
        let started = Instant::now();
        let answer = client()?.post(format!("{}/api/analytics/flush", self.url)).send().await?;
        ensure!(answer.status().is_success(), "the flush was answered {}", answer.status());
        Ok(started.elapsed())
    }

    /// The first row of the answer.
    pub async fn query(&self, sql: &str) -> Result<Value> {
        let body = json!({ "sql": sql, "timeoutMs": 30_000 });
        let answer = client()?.post(format!("{}/api/analytics/query", self.url)).json(&body).send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{sql} was answered {status}: {text}");
        }
        Ok(serde_json::from_str::<Value>(&text)?["data"][0].clone())
    }

    /// Every row of a run exactly once.
    pub async fn holds(&self, table: &str, column: &str, service: &str, rows: u64) -> Result<()> {
        let found = self.rows_and_ids(table, column, service).await?;
        if found != (rows, rows) {
            bail!("{rows} rows were acknowledged, SQL finds {} with {} ids", found.0, found.1);
        }
        Ok(())
    }

    /// Rows of a run, and distinct ids among them. By the last digit of the ids: all at once would take a query more memory
    /// than it may have.
    pub async fn rows_and_ids(&self, table: &str, column: &str, service: &str) -> Result<(u64, u64)> {
        let mut found = (0, 0);
        for digit in "0123456789abcdef".chars() {
            let sql = format!(
                "select count(*) as n, count(distinct event_id) as ids from {table} \
                where {column} = '{service}' and right(event_id, 1) = '{digit}'"
            );
            let row = self.query(&sql).await?;
            found.0 += row["n"].as_u64().context("an answer without a count")?;
            found.1 += row["ids"].as_u64().context("an answer without a count")?;
        }
        Ok(found)
    }
}

pub fn client() -> Result<Client> {
    Ok(Client::builder().no_proxy().build()?)
}
