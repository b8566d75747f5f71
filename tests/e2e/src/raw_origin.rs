//! The strictest of services: it reads requests byte by byte, answers each with what it understood, and notes whatever
//! is not written as RFC 9112 writes it. What it notes is a fault of the proxy before it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

use crate::wire::{Head, Message, Wire};

/// One request as it understood it.
#[derive(Clone, Debug)]
pub struct Heard {
    pub method: String,
    pub target: String,
    pub message: Message,
}

#[derive(Default)]
struct Notes {
    heard: Vec<Heard>,
    faults: Vec<String>,
}

pub struct RawOrigin {
    address: SocketAddr,
    notes: Arc<Mutex<Notes>>,
    task: JoinHandle<()>,
}

impl RawOrigin {
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("cannot listen")?;
        let address = listener.local_addr().context("no address")?;
        let notes = Arc::<Mutex<Notes>>::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&notes)));
        Ok(Self { address, notes, task })
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// In the order in which they ended.
    pub fn heard(&self) -> Vec<Heard> {
        self.notes.lock().expect("no holder panics").heard.clone()
    }

    /// What was written in another way than RFC 9112 does.
    pub fn faults(&self) -> Vec<String> {
        self.notes.lock().expect("no holder panics").faults.clone()
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, notes: Arc<Mutex<Notes>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let notes = Arc::clone(&notes);
        connections.spawn(async move {
            let mut wire = Wire::new(stream);
            loop {
                match serve(&mut wire, &notes).await {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(error) => {
                        // It hung or broke off on purpose; a reader that cannot follow says so.
                        notes.lock().expect("no holder panics").faults.push(format!("{error:#}"));
                        break;
                    }
                }
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// Answers one request; whether another may follow.
async fn serve(wire: &mut Wire, notes: &Mutex<Notes>) -> Result<bool> {
    if wire.unread().is_empty() && wire.ends_whenever().await? {
        return Ok(false);
    }
    let Some(bytes) = wire.until(b"\r\n\r\n").await? else {
        anyhow::bail!("a head that does not end: {:?}", String::from_utf8_lossy(wire.unread()));
    };
    let (method, target, head) = check_head(&bytes)?;
    if head.get("expect").is_some() {
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    }
    let message = wire.body(head, false).await?;
    let complete = message.complete;
    let answer = answer(&method, &target, &message);
    notes.lock().expect("no holder panics").heard.push(Heard { method, target, message });
    if complete {
        wire.send(answer).await;
    }
    Ok(complete)
}

/// Says what was understood; with the fields that clients of real services rely on.
fn answer(method: &str, target: &str, message: &Message) -> String {
    let text = format!("{method} {target} {} bytes\n", message.body.len());
    let length = text.len();
    let body = if method == "HEAD" { "" } else { &text };
    format!(
        "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAllow: GET, POST\r\nContent-Type: text/plain\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

fn check_head(bytes: &[u8]) -> Result<(String, String, Head)> {
    let text = std::str::from_utf8(bytes).context("a head that is no text")?;
    let shown = || format!("in {text:?}");
    let mut lines = text.split("\r\n");
    let request_line = lines.next().unwrap_or_default();
    let parts: Vec<&str> = request_line.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else { anyhow::bail!("the request line {}", shown()) };
    anyhow::ensure!(is_token(method) && !target.is_empty() && target.is_ascii(), "the request line {}", shown());
    let mut head = Head { first_line: request_line.to_owned(), fields: Vec::new() };
    for line in lines {
        let (name, value) = line.split_once(':').with_context(|| format!("no colon in {line:?} {}", shown()))?;
        anyhow::ensure!(is_token(name), "the name {name:?} {}", shown());
        let value_is_clean = !value.bytes().any(|byte| byte < 0x20 && byte != b'\t' || byte == 0x7f);
        anyhow::ensure!(value_is_clean, "the value {value:?} {}", shown());
        head.fields.push((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()));
    }
    check_framing(&head).with_context(shown)?;
    Ok((method.to_owned(), target.to_owned(), head))
}

/// One way to tell where the body ends, written in one way.
fn check_framing(head: &Head) -> Result<()> {
    let lengths: Vec<&str> = head.all("content-length").collect();
    let codings: Vec<&str> = head.all("transfer-encoding").collect();
    anyhow::ensure!(head.all("host").count() == 1, "not one Host");
    anyhow::ensure!(lengths.len() + codings.len() <= 1, "framed twice: {lengths:?} {codings:?}");
    anyhow::ensure!(codings.iter().all(|coding| coding.eq_ignore_ascii_case("chunked")), "codings {codings:?}");
    let is_number = |length: &&str| !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
    anyhow::ensure!(lengths.iter().all(is_number), "lengths {lengths:?}");
    let is_alias = |name: &str| {
        let plain = name.to_ascii_lowercase().replace('_', "-");
        name.contains('_')
            && ["content-length", "transfer-encoding", "host", "x-forwarded-for"].contains(&plain.as_str())
    };
    let alias = head.fields.iter().find(|(name, _)| is_alias(name));
    anyhow::ensure!(alias.is_none(), "an alias {alias:?}");
    Ok(())
}

fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}
