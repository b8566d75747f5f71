//! A viewer of `/live` over a real WebSocket, and one of `/live/stream` over plain HTTP.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Longer than anything takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Viewer {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// How a viewer's connection ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Closed(pub Option<u16>);

impl Viewer {
    /// Returns when the 101 has come; `url` is that of the aggregator.
    pub async fn join(url: &str, query: &str) -> Result<Self> {
        Ok(Self { socket: connect(url, query, &[]).await?.map_err(|status| anyhow::anyhow!("answered {status}"))? })
    }

    /// The status when it is refused, with these headers.
    pub async fn refused(url: &str, query: &str, headers: &[(&'static str, &str)]) -> Result<u16> {
        match connect(url, query, headers).await? {
            Ok(_) => bail!("it was let in"),
            Err(status) => Ok(status),
        }
    }

    /// The next message; how it was closed when there is none.
    pub async fn next(&mut self) -> Result<Result<Value, Closed>> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.context("nothing came")?;
            match message.transpose().context("the connection broke")? {
                Some(Message::Text(text)) => return Ok(Ok(serde_json::from_str(&text).context("no JSON")?)),
                Some(Message::Close(frame)) => return Ok(Err(Closed(frame.map(|frame| frame.code.into())))),
                None => return Ok(Err(Closed(None))),
                Some(_) => {}
            }
        }
    }

    /// The next message of a type, others left out.
    pub async fn next_of(&mut self, kind: &str) -> Result<Value> {
        loop {
            match self.next().await? {
                Ok(message) if message["type"] == kind => return Ok(message),
                Ok(_) => {}
                Err(closed) => bail!("{closed:?} before a message of the type {kind}"),
            }
        }
    }

    pub async fn send(&mut self, bytes: usize) -> Result<()> {
        self.socket.send(Message::text("x".repeat(bytes))).await.context("cannot send")
    }
}

type Connected = Result<WebSocketStream<MaybeTlsStream<TcpStream>>, u16>;

async fn connect(url: &str, query: &str, headers: &[(&'static str, &str)]) -> Result<Connected> {
    let url = url.replacen("http://", "ws://", 1);
    let mut request = format!("{url}/api/analytics/live?{query}").into_client_request()?;
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse()?);
    }
    match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => Ok(Ok(socket)),
        Err(tungstenite::Error::Http(answer)) => Ok(Err(answer.status().as_u16())),
        Err(error) => Err(error).context("cannot connect"),
    }
}

/// Server-sent events, as a browser reads them.
pub struct EventSource {
    answer: reqwest::Response,
    read: Vec<u8>,
    /// Of the last event that had one.
    pub last_id: Option<String>,
}

impl EventSource {
    pub async fn open(url: &str, query: &str, last_id: Option<&str>) -> Result<Self> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let mut request = client.get(format!("{url}/api/analytics/live/stream?{query}"));
        if let Some(id) = last_id {
            request = request.header("Last-Event-ID", id);
        }
        let answer = request.send().await.context("not answered")?.error_for_status()?;
        let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok());
        anyhow::ensure!(kind == Some("text/event-stream"), "{kind:?}");
        Ok(Self { answer, read: Vec::new(), last_id: last_id.map(str::to_owned) })
    }

    /// The next message; none when the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Value>> {
        loop {
            while let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.read.drain(..end + 2).collect();
                if let Some(message) = self.message(&String::from_utf8(block)?)? {
                    return Ok(Some(message));
                }
            }
            let part = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.context("nothing came")?;
            match part.context("the connection broke")? {
                Some(part) => self.read.extend_from_slice(&part),
                None => return Ok(None),
            }
        }
    }

    fn message(&mut self, block: &str) -> Result<Option<Value>> {
        let mut data = None;
        for line in block.lines().filter(|line| !line.is_empty() && !line.starts_with(':')) {
            match line.split_once(": ").with_context(|| format!("no field: {line}"))? {
                ("data", text) => data = Some(serde_json::from_str(text).context("no JSON")?),
                ("id", id) => self.last_id = Some(id.to_owned()),
                ("retry", milliseconds) => drop(milliseconds.parse::<u32>()?),
                (other, _) => bail!("an unknown field: {other}"),
            }
        }
        Ok(data)
    }
}
