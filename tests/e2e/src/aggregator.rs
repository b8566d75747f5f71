//! The aggregator in the sandbox: its process, its folder, and what tests ask of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::api::{Answer, Api};
use crate::process::Process;
use crate::wait::free_address;

const NAME: &str = "ridealong-aggregator";
/// A query that is answered 503 (behind, busy) is asked again for so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// Rows that one query may return.
const PAGE: usize = 10_000;

pub struct Aggregator {
    /// Before the folder, so that it can still show what it wrote there.
    process: Option<Process>,
    folder: TempDir,
    flags: Vec<String>,
    /// What `--data` says.
    data: String,
    environment: Vec<(String, String)>,
    address: SocketAddr,
    api: Api,
}

impl Aggregator {
    pub async fn start(flags: &[&str]) -> Result<Self> {
        let mut aggregator = Self::absent(flags)?;
        aggregator.address = SocketAddr::from(([127, 0, 0, 1], 0));
        aggregator.restart().await?;
        Ok(aggregator)
    }

    /// Its tables at `data`, its state in a folder of its own when that is a URL, with these variables in its environment.
    pub async fn start_at(data: &str, environment: &[(&str, &str)], flags: &[&str]) -> Result<Self> {
        let mut aggregator = Self::absent(flags)?;
        if data.contains("://") {
            aggregator.flags.extend(["--state".to_owned(), "state".to_owned()]);
        }
        aggregator.data = data.to_owned();
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        aggregator.environment = environment.iter().map(owned).collect();
        aggregator.address = SocketAddr::from(([127, 0, 0, 1], 0));
        aggregator.restart().await?;
        Ok(aggregator)
    }

    /// One that is not there yet, but has its address.
    pub fn absent(flags: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ridealong-aggregator-").tempdir().context("no folder")?;
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let address = free_address()?;
        let (data, environment) = ("data".to_owned(), Vec::new());
        Ok(Self {
            folder,
            flags,
            data,
            environment,
            address,
            process: None,
            api: Api::new(format!("http://{address}")),
        })
    }

    /// Starts it on its folder and its address.
    pub async fn restart(&mut self) -> Result<()> {
        self.restart_with(&[]).await
    }

    /// The same with flags that hold for this start only.
    pub async fn restart_with(&mut self, flags: &[&str]) -> Result<()> {
        assert!(self.process.is_none(), "it runs already");
        let (process, line) = start_patiently(NAME, &self.folder, &self.arguments(flags), &self.environment).await?;
        let url = line.strip_prefix("ridealong-aggregator listening on http://");
        self.address =
            url.and_then(|address| address.parse().ok()).with_context(|| format!("not understood: {line}"))?;
        self.api = Api::new(format!("http://{}", self.address));
        self.process = Some(process);
        Ok(())
    }

    /// Starts it and kills it after so long, wherever it is by then.
    pub async fn stumble(&mut self, after: Duration) -> Result<()> {
        assert!(self.process.is_none(), "it runs already");
        let process = Process::spawn(NAME, self.folder.path(), &self.arguments(&[]), &self.environment)?;
        tokio::time::sleep(after).await;
        process.kill().await
    }

    fn arguments(&self, flags: &[&str]) -> Vec<String> {
        let address = self.address.to_string();
        let fixed = ["serve", "--data", &self.data, "--listen", &address];
        fixed.iter().chain(flags).map(|part| (*part).to_owned()).chain(self.flags.iter().cloned()).collect()
    }

    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("it does not run")?.kill().await
    }

    pub async fn terminate(&mut self) -> Result<(ExitStatus, Duration)> {
        self.process.take().context("it does not run")?.terminate(Duration::from_secs(30)).await
    }

    pub fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("it runs")
    }

    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The folder that it runs in.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub async fn sql(&self, sql: &str) -> Result<Answer> {
        self.ask(json!({ "sql": sql, "maxRows": PAGE, "timeoutMs": 30_000 })).await
    }

    async fn ask(&self, body: Value) -> Result<Answer> {
        let started = Instant::now();
        loop {
            let answer = self.api.post("/api/analytics/query", &body).await?;
            if answer.status != 503 || started.elapsed() > PATIENCE {
                return Ok(answer);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The rows of a query, which is expected to succeed and not to be cut.
    pub async fn rows(&self, sql: &str) -> Result<Vec<Value>> {
        let answer = self.sql(sql).await?.expect(200).json();
        anyhow::ensure!(answer["truncated"] == false, "more than {PAGE} rows: {sql}");
        answer["data"].as_array().cloned().context("no rows")
    }

    /// The first row's columns as integers; null counts as 0.
    pub async fn integers(&self, sql: &str) -> Result<Vec<i64>> {
        let rows = self.rows(sql).await?;
        let row = rows.first().and_then(Value::as_object).with_context(|| format!("no row: {sql}"))?;
        Ok(row.values().map(|value| value.as_i64().unwrap_or(0)).collect())
    }

    pub async fn count(&self, from: &str) -> Result<i64> {
        Ok(self.integers(&format!("SELECT count(*) FROM {from}")).await?[0])
    }

    /// All values of a text column, page by page.
    pub async fn column(&self, table: &str, column: &str) -> Result<Vec<String>> {
        let mut found: Vec<String> = Vec::new();
        loop {
            let from = format!("SELECT {column} AS it FROM {table} WHERE {column} IS NOT NULL");
            let sql = format!("{from} ORDER BY {column} LIMIT {PAGE} OFFSET {}", found.len());
            let rows = self.rows(&sql).await?;
            found.extend(rows.iter().filter_map(|row| row["it"].as_str().map(str::to_owned)));
            if rows.len() < PAGE {
                return Ok(found);
            }
        }
    }

    pub async fn stats(&self) -> Result<Value> {
        Ok(self.api.get("/api/analytics/stats").await?.expect(200).json())
    }

    /// Everything acknowledged lies in Delta afterwards.
    pub async fn flush(&self) -> Result<()> {
        self.api.post("/api/analytics/flush", &json!({})).await?.expect(200);
        Ok(())
    }
}

/// A port of our own may be taken for a moment by somebody's outgoing connection while the program is away.
pub(crate) async fn start_patiently(
    name: &'static str,
    folder: &TempDir,
    arguments: &[String],
    environment: &[(String, String)],
) -> Result<(Process, String)> {
    let started = Instant::now();
    loop {
        match Process::start(name, folder.path(), arguments, environment).await {
            Err(error) if error.to_string().contains("Address already in use") && started.elapsed() < PATIENCE => {}
            done => return done,
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
