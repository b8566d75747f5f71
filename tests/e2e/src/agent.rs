//! The agent in the sandbox: its process, its spool, and what tests ask of it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::aggregator::start_patiently;
use crate::api::Api;
use crate::process::Process;

const NAME: &str = "ridealong-agent";
/// A flush is asked for again so long: one call waits 30 s for the aggregator.
const FLUSH: Duration = Duration::from_secs(90);

pub struct Agent {
    /// Before the folder, so that it can still show what it wrote there.
    process: Option<Process>,
    folder: TempDir,
    flags: Vec<String>,
    addresses: [SocketAddr; 2],
    proxy: Api,
    api: Api,
}

/// The agent's books at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Books {
    pub produced: u64,
    pub carried_over: u64,
    pub acknowledged: u64,
    pub pending: u64,
    pub dropped: u64,
}

impl Books {
    /// Nothing appears from nowhere, nothing vanishes.
    pub fn assert_balanced(&self) {
        let (came, went) = (self.produced + self.carried_over, self.acknowledged + self.pending + self.dropped);
        assert_eq!(came, went, "{self:?}");
    }
}

impl Agent {
    /// An agent of the service `shop` on a new spool.
    pub async fn start(upstream: &str, aggregator: &str, flags: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("ridealong-agent-").tempdir().context("no folder")?;
        let fixed = ["--service", "shop", "--upstream", upstream, "--aggregator", aggregator];
        let flags = fixed.iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let api = Api::new("http://127.0.0.1:0");
        let mut agent = Self { folder, flags, addresses: [nowhere; 2], process: None, proxy: api.clone(), api };
        agent.restart().await?;
        Ok(agent)
    }

    /// Starts it on its spool and its addresses.
    pub async fn restart(&mut self) -> Result<()> {
        assert!(self.process.is_none(), "it runs already");
        let mut arguments: Vec<String> = vec!["run".into()];
        for (flag, value) in [
            ("--listen", self.addresses[0].to_string()),
            ("--api-listen", self.addresses[1].to_string()),
            ("--spool", self.spool().display().to_string()),
        ] {
            if !self.flags.iter().any(|given| given == flag) {
                arguments.extend([flag.to_owned(), value]);
            }
        }
        arguments.extend(self.flags.iter().cloned());
        let (process, line) = start_patiently(NAME, &self.folder, &arguments, &[]).await?;
        let addresses = line
            .strip_prefix("ridealong-agent listening on http://")
            .and_then(|rest| rest.split_once(", own API on http://"))
            .and_then(|(proxy, api)| Some([proxy.parse().ok()?, api.parse().ok()?]));
        self.addresses = addresses.with_context(|| format!("not understood: {line}"))?;
        self.proxy = Api::new(format!("http://{}", self.addresses[0]));
        self.api = Api::new(format!("http://{}", self.addresses[1]));
        self.process = Some(process);
        Ok(())
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

    /// The service, through the proxy.
    pub fn proxy(&self) -> &Api {
        &self.proxy
    }

    pub fn proxy_address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// The agent's own API.
    pub fn api(&self) -> &Api {
        &self.api
    }

    pub fn spool(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    pub async fn stats(&self) -> Result<Value> {
        Ok(self.api.get("/api/analytics/stats").await?.expect(200).json())
    }

    pub async fn books(&self) -> Result<Books> {
        let stats = self.stats().await?;
        let number = |name: &str| stats[name].as_u64().with_context(|| format!("no {name} in {stats}"));
        let dropped = stats["dropped"].as_object().context("no dropped")?;
        Ok(Books {
            produced: number("produced")?,
            carried_over: number("carriedOver")?,
            acknowledged: number("acknowledged")?,
            pending: number("pending")?,
            dropped: dropped.values().filter_map(Value::as_u64).sum(),
        })
    }

    /// Everything so far is delivered afterwards.
    pub async fn flush(&self) -> Result<()> {
        let started = Instant::now();
        loop {
            let answer = self.api.post("/api/analytics/flush", &json!({})).await?;
            if answer.status != 503 || started.elapsed() > FLUSH {
                answer.expect(200);
                return Ok(());
            }
        }
    }
}
