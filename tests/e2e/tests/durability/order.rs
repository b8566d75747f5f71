//! The order of the aggregator's system calls, as strace sees them: a request is read, its record is written to the log, the
//! log is synced, and only then does the answer leave. For the first record of a segment the segment itself is durable
//! before, and its name.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_common::ids::ProducerId;
use ridealong_e2e::{Aggregator, events, eventually, frames};
use tokio::process::{Child, Command};

const CALLS: &str = "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync,\
    rename,renameat,renameat2,ftruncate";

/// One system call, between the lines at which it began and ended.
#[derive(Debug)]
struct Call {
    text: String,
    begin: usize,
    end: usize,
}

struct Trace {
    calls: Vec<Call>,
}

impl Trace {
    /// Joins what strace splits when calls of several threads overlap.
    fn parse(text: &str) -> Self {
        let mut open: Vec<(&str, Call)> = Vec::new();
        let mut calls = Vec::new();
        for (at, line) in (1..).zip(text.lines()) {
            let Some((thread, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
                open.push((thread, Call { text: begun.to_owned(), begin: at, end: usize::MAX }));
            } else if let Some((_, resumed)) = rest.split_once(" resumed>") {
                if let Some(place) = open.iter().position(|(of, _)| *of == thread) {
                    let (_, mut call) = open.remove(place);
                    call.text.push_str(resumed);
                    call.end = at;
                    calls.push(call);
                }
            } else {
                calls.push(Call { text: rest.to_owned(), begin: at, end: at });
            }
        }
        calls.sort_by_key(|call| call.begin);
        Self { calls }
    }

    /// The first call of these names that has all of `parts` in it and began after line `after`.
    fn after(&self, after: usize, names: &[&str], parts: &[&str]) -> Result<&Call> {
        let is_it = |call: &&Call| {
            call.begin > after
                && names.iter().any(|name| call.text.starts_with(&format!("{name}(")))
                && parts.iter().all(|part| call.text.contains(part))
        };
        self.calls.iter().find(is_it).with_context(|| format!("no {names:?} with {parts:?} after line {after}"))
    }
}

const READ: &[&str] = &["read", "readv", "recvfrom", "recvmsg"];
const WRITE: &[&str] = &["write", "writev", "sendto", "sendmsg"];
const STORE: &[&str] = &["pwrite64", "pwritev", "write"];
const SYNC: &[&str] = &["fdatasync", "fsync"];

/// Follows all threads of a process; None, and why, when that is not possible here.
async fn trace(process: u32, into: &Path) -> Result<Option<Child>> {
    let attached = into.with_extension("attached");
    let strace = Command::new("strace")
        .args(["-f", "-y", "-s", "1000", "-e", CALLS, "-o"])
        .arg(into)
        .args(["-p", &process.to_string()])
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&attached).context("no file for strace")?)
        .kill_on_drop(true)
        .spawn();
    let mut strace = match strace {
        Ok(strace) => strace,
        Err(error) => {
            println!("NOT RUN: strace cannot be started: {error}");
            return Ok(None);
        }
    };
    let said = || std::fs::read_to_string(&attached).unwrap_or_default();
    let waited = eventually("strace is attached to all threads", Duration::from_secs(30), || async {
        said().contains("attached").then_some(())
    });
    tokio::select! {
        ended = strace.wait() => {
            println!("NOT RUN: strace ended with {:?}: {}", ended, said());
            Ok(None)
        }
        () = waited => Ok(Some(strace)),
    }
}

#[tokio::test]
async fn the_answer_leaves_after_the_sync() -> Result<()> {
    let mut aggregator = Aggregator::start(&[]).await?;
    let into = aggregator.data().join("..").join("strace");
    let Some(mut strace) = trace(aggregator.process().id(), &into).await? else { return Ok(()) };

    let chunk = frames::requests_chunk(ProducerId::draw(), 0, 3);
    frames::send(aggregator.api(), frames::frame(3, vec![chunk])).await?.expect(200);
    let (id, event) = events::event("order");
    aggregator.api().post("/api/analytics/track", &event).await?.expect(202);

    let stopped = Command::new("kill").args(["-INT", &strace.id().unwrap_or(0).to_string()]).status().await;
    anyhow::ensure!(stopped.context("cannot run kill")?.success(), "strace cannot be stopped");
    strace.wait().await.context("strace did not end")?;
    let trace = Trace::parse(&std::fs::read_to_string(&into).context("no trace")?);

    // The first record after a start begins a segment.
    let read = trace.after(0, READ, &["POST /v1/batches"])?;
    let header = trace.after(read.end, STORE, &[".log.new>", "RLWALSEG"])?;
    let synced = trace.after(header.end, SYNC, &[".log.new>", "= 0"])?;
    let renamed = trace.after(synced.end, &["rename", "renameat", "renameat2"], &[".log.new\"", "= 0"])?;
    let named = trace.after(renamed.end, SYNC, &["/data/log>", "= 0"])?;
    let answered = stored_before_answered(&trace, named.end, "HTTP/1.1 200")?;

    let read = trace.after(answered, READ, &[&id])?;
    stored_before_answered(&trace, read.end, "HTTP/1.1 202")?;
    Ok(())
}

/// A record is written after line `after`, synced, and only then is this answered; the line of the answer.
fn stored_before_answered(trace: &Trace, after: usize, answer: &str) -> Result<usize> {
    // strace shows the file's name of the moment: a segment may still show the one it was made under.
    let record = trace.after(after, STORE, &["/data/log/", ".log", "RL\\32"])?;
    let synced = trace.after(record.end, SYNC, &["/data/log/", ".log", "= 0"])?;
    let answered = trace.after(after, WRITE, &[answer])?;
    anyhow::ensure!(synced.end < answered.begin, "answered before the sync: {record:?} {synced:?} {answered:?}");
    println!("line {} {} | {} | {}", record.begin, shown(record), shown(synced), shown(answered));
    Ok(answered.end)
}

fn shown(call: &Call) -> &str {
    &call.text[..call.text.floor_char_boundary(90)]
}
