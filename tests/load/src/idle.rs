//! `idle`: what connections cost the agent that are open and silent, before and after a first request on each.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::process::{Memory, memory};
use crate::program::Program;
use crate::report::{Report, grouped, mebibytes};

/// Descriptors beside the connections, on either side.
const SPARE_DESCRIPTORS: u64 = 500;
/// Connections that are opened, or asked on, at once: fewer than may wait to be accepted.
const AT_ONCE: usize = 200;
const REQUEST: &[u8] = b"GET /idle HTTP/1.1\r\nHost: idle.test\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[derive(Args)]
pub struct Options {
    /// How many connections
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    connections: usize,
    /// How long they are silent before memory is read
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    seconds: u64,
}

pub async fn run(options: Options, binaries: &Path) -> Result<()> {
    // Inherited by the agent.
    raise_descriptors(options.connections as u64 + SPARE_DESCRIPTORS)?;
    let folder = tempfile::Builder::new().prefix("ridealong-idle-").tempdir().context("cannot make a folder")?;
    let spool = folder.path().join("spool").to_string_lossy().into_owned();
    let service = TcpListener::bind("127.0.0.1:0").await?;
    let upstream = format!("http://{}", service.local_addr()?);
    let service = tokio::spawn(serve(service));
    // The kernel does not deal connections evenly to the threads, and each takes its share at most.
    let connections_max = (options.connections * 2).to_string();
    let arguments = [
        ["run", "--service", "idle", "--upstream", &upstream, "--aggregator", "http://127.0.0.1:9"].as_slice(),
        &["--listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0", "--spool", &spool],
        &["--connections-max", &connections_max],
    ]
    .concat();
    let agent = Program::start(&binaries.join("ridealong-agent"), &arguments, &folder.path().join("log"))?;
    let proxy = agent.addresses[0].trim_start_matches("http://").to_owned();
    let pause = Duration::from_secs(options.seconds);

    let mut report = Report::new(&["state", "connections", "RSS, MiB", "anonymous", "more, MiB", "KiB a connection"]);
    tokio::time::sleep(pause).await;
    let before = memory(agent.pid())?;
    row(&mut report, "at rest", 0, before, before);
    let mut connections = Vec::with_capacity(options.connections);
    while connections.len() < options.connections {
        let more = AT_ONCE.min(options.connections - connections.len());
        let opened = (0..more).map(|_| TcpStream::connect(&proxy));
        connections.extend(futures::future::try_join_all(opened).await.context("cannot connect")?);
    }
    tokio::time::sleep(pause).await;
    row(&mut report, "open", connections.len(), memory(agent.pid())?, before);
    for some in connections.chunks_mut(AT_ONCE) {
        futures::future::try_join_all(some.iter_mut().map(ask)).await?;
    }
    tokio::time::sleep(pause).await;
    row(&mut report, "after a request each", connections.len(), memory(agent.pid())?, before);
    let open = std::fs::read_dir(format!("/proc/{}/fd", agent.pid()))?.count();
    ensure!(open >= connections.len(), "only {open} descriptors are open: connections were not kept");
    drop(connections);
    tokio::time::sleep(pause).await;
    row(&mut report, "closed again", 0, memory(agent.pid())?, before);
    report.print();
    service.abort();
    // The report above is whole before the agent's last words.
    std::io::stdout().flush().context("cannot print")
}

fn row(report: &mut Report, state: &str, connections: usize, now: Memory, before: Memory) {
    let more = now.resident.saturating_sub(before.resident);
    let each = if connections == 0 { "-".into() } else { format!("{:.2}", more as f64 / 1_024.0 / connections as f64) };
    let (resident, anonymous) = (mebibytes(now.resident), mebibytes(now.anonymous));
    report.row(vec![state.into(), grouped(connections as u64), resident, anonymous, mebibytes(more), each]);
}

async fn ask(connection: &mut TcpStream) -> Result<()> {
    connection.write_all(REQUEST).await.context("the agent has closed an idle connection")?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok") {
        ensure!(connection.read_buf(&mut answer).await? > 0, "closed without an answer");
    }
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    Ok(())
}

/// The service: the same answer for each head.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut read = Vec::new();
            while stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                if read.ends_with(b"\r\n\r\n") {
                    read.clear();
                    if stream.write_all(ANSWER).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

#[allow(unsafe_code, reason = "the standard library knows no limits of resources")]
pub fn raise_descriptors(wanted: u64) -> Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid, exclusive pointer to a whole rlimit.
    let is_read = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == 0;
    ensure!(is_read, "cannot read the limit of descriptors");
    if limit.rlim_cur >= wanted {
        return Ok(());
    }
    ensure!(limit.rlim_max >= wanted, "{wanted} descriptors are needed, {} allowed: see `ulimit -Hn`", limit.rlim_max);
    limit.rlim_cur = wanted;
    // SAFETY: as above.
    let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == 0;
    ensure!(is_raised, "cannot raise the limit of descriptors to {wanted}");
    Ok(())
}
