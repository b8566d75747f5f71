//! One end of a TCP connection that speaks HTTP/1 byte by byte: it sends what no library would send, and keeps what it
//! got as it came. Reads messages leniently; what is strict about requests is in [`crate::raw_origin`].

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes this long, even on a busy machine; what does has hung.
pub const PATIENCE: Duration = Duration::from_secs(20);
/// A chunk or body announced longer than this is a mistake of a test. It is not allocated before it comes.
const BODY_BYTES_MAX: usize = 1 << 32;

pub struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
    patience: Duration,
}

/// A first line and its fields, in their order, names as they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub first_line: String,
    pub fields: Vec<(String, String)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
    pub trailers: Vec<(String, String)>,
    /// False when the connection ended before the message did.
    pub complete: bool,
}

impl Head {
    fn parse(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let mut lines = text.split("\r\n");
        let first_line = lines.next().unwrap_or_default().to_owned();
        Self { first_line, fields: lines.filter_map(field).collect() }
    }

    /// Of a response.
    pub fn status(&self) -> Option<u16> {
        self.first_line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
    }

    /// The first field of this name.
    pub fn get(&self, name: &str) -> Option<&str> {
        let field = self.fields.iter().find(|(other, _)| other.eq_ignore_ascii_case(name))?;
        Some(&field.1)
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.fields.iter().filter(move |(other, _)| other.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }

    pub fn is_chunked(&self) -> bool {
        self.all("transfer-encoding").any(|coding| coding.eq_ignore_ascii_case("chunked"))
    }
}

fn field(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once(':')?;
    Some((name.to_owned(), value.trim().to_owned()))
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        Ok(Self::new(TcpStream::connect(address).await.context("cannot connect")?))
    }

    pub fn new(stream: TcpStream) -> Self {
        // Small writes must leave at once; a peer that is gone already shows at the next read.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: Vec::new(), patience: PATIENCE }
    }

    /// Waits no longer than this for bytes.
    #[must_use]
    pub fn patient_for(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A peer that has refused what it got may not take the rest: no failure here, it shows in what is read.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await;
    }

    /// FIN; the other direction stays open.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// RST instead of FIN.
    pub fn reset(self) {
        let _ = self.stream.set_zero_linger();
    }

    /// Whether anything more came; false at the end, a reset among them.
    pub async fn fill(&mut self) -> Result<bool> {
        match timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await {
            Ok(Ok(count)) => Ok(count > 0),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Ok(Err(error)) => Err(error).context("cannot read"),
            Err(_) => bail!("nothing within {:?}; so far {:?}", self.patience, String::from_utf8_lossy(&self.buffer)),
        }
    }

    /// Whether the peer ends the connection without another byte.
    pub async fn ends(&mut self) -> Result<bool> {
        Ok(self.buffer.is_empty() && !self.fill().await?)
    }

    /// The same on a connection that may idle for as long as it likes.
    pub async fn ends_whenever(&mut self) -> Result<bool> {
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(count) => Ok(count == 0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(true),
            Err(error) => Err(error).context("cannot read"),
        }
    }

    /// Whether nothing comes for so long, not even the end.
    pub async fn is_silent(&mut self, quiet: Duration) -> bool {
        self.buffer.is_empty() && timeout(quiet, self.fill()).await.is_err()
    }

    /// What came and was not read yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// At least one byte, and what else is there.
    pub async fn some(&mut self) -> Result<Vec<u8>> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Everything up to the end.
    pub async fn rest(&mut self) -> Result<Vec<u8>> {
        while self.fill().await? {}
        Ok(std::mem::take(&mut self.buffer))
    }

    /// Up to and without `end`, which is taken too; nothing when the connection ended before.
    pub async fn until(&mut self, end: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.buffer[searched..].windows(end.len()).position(|window| window == end) {
                let mut taken: Vec<u8> = self.buffer.drain(..searched + at + end.len()).collect();
                taken.truncate(searched + at);
                return Ok(Some(taken));
            }
            searched = self.buffer.len().saturating_sub(end.len() - 1);
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// So many bytes; fewer when the connection ended before.
    pub async fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        anyhow::ensure!(length <= BODY_BYTES_MAX, "{length} bytes announced");
        while self.buffer.len() < length && self.fill().await? {}
        let length = length.min(self.buffer.len());
        Ok(self.buffer.drain(..length).collect())
    }

    pub async fn head(&mut self) -> Result<Option<Head>> {
        Ok(self.until(b"\r\n\r\n").await?.map(|bytes| Head::parse(&bytes)))
    }

    /// The next response to a request of this method, interim ones among them; nothing at the end.
    pub async fn response(&mut self, method: &str) -> Result<Option<Message>> {
        let Some(head) = self.head().await? else { return Ok(None) };
        let status = head.status().with_context(|| format!("no status: {:?}", head.first_line))?;
        if method == "HEAD" || status < 200 || [204, 304].contains(&status) {
            return Ok(Some(Message { head, complete: true, ..Message::default() }));
        }
        self.body(head, true).await.map(Some)
    }

    /// The body that a head announces; `to_the_end` when one without length goes on to the connection's end.
    pub async fn body(&mut self, head: Head, to_the_end: bool) -> Result<Message> {
        if head.is_chunked() {
            return self.chunks(head).await;
        }
        let (body, complete) = match head.get("content-length").map(str::parse::<usize>) {
            Some(length) => {
                let length = length.context("the length is no number")?;
                let body = self.exactly(length).await?;
                let complete = body.len() == length;
                (body, complete)
            }
            None if to_the_end => (self.rest().await?, true),
            None => (Vec::new(), true),
        };
        Ok(Message { head, body, trailers: Vec::new(), complete })
    }

    async fn chunks(&mut self, head: Head) -> Result<Message> {
        let mut message = Message { head, ..Message::default() };
        while let Some(line) = self.until(b"\r\n").await? {
            let text = String::from_utf8_lossy(&line).into_owned();
            anyhow::ensure!(text.bytes().all(|byte| byte.is_ascii_hexdigit()), "chunk size {text:?}");
            let size = usize::from_str_radix(&text, 16).with_context(|| format!("chunk size {text:?}"))?;
            if size == 0 {
                while let Some(line) = self.until(b"\r\n").await? {
                    if line.is_empty() {
                        message.complete = true;
                        break;
                    }
                    message.trailers.extend(field(&String::from_utf8_lossy(&line)));
                }
                break;
            }
            let mut data = self.exactly(size + 2).await?;
            if data.len() < size + 2 {
                data.truncate(size);
                message.body.extend(data);
                break;
            }
            anyhow::ensure!(data.ends_with(b"\r\n"), "a chunk of {size} bytes does not end there");
            message.body.extend(&data[..size]);
        }
        Ok(message)
    }
}
