//! `rest`: how soon both programs take requests, and what they take when nothing happens.

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use reqwest::Client;
use tokio::net::TcpListener;

use crate::process::{Memory, memory, processor_time};
use crate::program::Program;
use crate::report::{Report, mebibytes};

#[derive(Args)]
pub struct Options {
    /// How long nothing happens before memory is read
    #[arg(long, value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
}

/// What is seen of one program.
struct Rest {
    name: &'static str,
    listening: Duration,
    answering: Duration,
    memory: Memory,
    processor: f64,
    binary_bytes: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("ridealong-rest-").tempdir().context("cannot make a folder")?;
    let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    // The service beside the agent: it listens, nobody calls it.
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = format!("http://{}", service.local_addr()?);
    let client = Client::builder().no_proxy().build()?;

    let data = path("data");
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--data", &data];
    let (aggregator, answering) = started(&client, binaries, "ridealong-aggregator", &arguments, folder.path()).await?;

    let (spool, center) = (path("spool"), aggregator.addresses[0].clone());
    let arguments = [
        ["run", "--service", "rest"].as_slice(),
        &["--upstream", &upstream, "--aggregator", &center],
        &["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--spool", &spool],
    ]
    .concat();
    let (agent, agent_answering) = started(&client, binaries, "ridealong-agent", &arguments, folder.path()).await?;
    let proxy = agent.addresses[0].trim_start_matches("http://");
    TcpStream::connect(proxy).context("the proxy does not accept")?;

    let before = (processor_time(agent.pid())?, processor_time(aggregator.pid())?);
    let pause = Duration::from_secs(options.seconds);
    tokio::time::sleep(pause).await;
    let rest = |name, program: &Program, answering, before| -> Result<Rest> {
        let processor = (processor_time(program.pid())? - before).as_secs_f64() / pause.as_secs_f64();
        let binary_bytes = std::fs::metadata(binaries.join(name))?.len();
        let memory = memory(program.pid())?;
        Ok(Rest { name, listening: program.ready_after, answering, memory, processor, binary_bytes })
    };
    print(&[
        rest("ridealong-agent", &agent, agent_answering, before.0)?,
        rest("ridealong-aggregator", &aggregator, answering, before.1)?,
    ]);
    Ok(())
}

/// A program, and how long after its start its API said that it is ready.
async fn started(
    client: &Client,
    binaries: &Path,
    name: &str,
    arguments: &[&str],
    folder: &Path,
) -> Result<(Program, Duration)> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let start = Instant::now();
    let program = Program::start(&binaries.join(name), arguments, &folder.join(format!("{name}.log")))?;
    // The last address is the API's.
    let url = program.addresses.last().map(|address| format!("{address}/readyz")).unwrap_or_default();
    loop {
        if let Ok(answer) = client.get(&url).send().await
            && answer.status().is_success()
        {
            return Ok((program, start.elapsed()));
        }
        ensure!(start.elapsed() < PATIENCE, "{name} was not ready in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn print(programs: &[Rest]) {
    let milliseconds = |time: Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
    let mut report = Report::new(&[
        "program",
        "listens, ms",
        "ready, ms",
        "RSS, MiB",
        "anonymous",
        "peak",
        "threads",
        "CPU, ms/s",
        "binary, MiB",
    ]);
    for rest in programs {
        report.row(vec![
            rest.name.to_owned(),
            milliseconds(rest.listening),
            milliseconds(rest.answering),
            mebibytes(rest.memory.resident),
            mebibytes(rest.memory.anonymous),
            mebibytes(rest.memory.resident_peak),
            rest.memory.threads.to_string(),
            format!("{:.1}", rest.processor * 1e3),
            mebibytes(rest.binary_bytes),
        ]);
    }
    report.print();
}
