//! One end of a TCP connection that speaks HTTP/1 by hand.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Nothing here takes this long; what does has hung.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Wire {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

#[derive(Clone, Debug)]
pub struct Head {
    pub first_line: String,
    pub lines: Vec<(String, String)>,
}

pub struct Message {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Wire {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).await.unwrap())
    }

    pub fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.expect("the peer reads").unwrap();
    }

    /// The next head, or nothing when the peer has closed instead.
    pub async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                let text: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(Head::parse(std::str::from_utf8(&text).unwrap()));
            }
            if self.fill().await == 0 {
                assert!(self.buffer.is_empty(), "a part of a head: {:?}", String::from_utf8_lossy(&self.buffer));
                return None;
            }
        }
    }

    pub async fn exactly(&mut self, length: usize) -> Vec<u8> {
        while self.buffer.len() < length {
            assert_ne!(self.fill().await, 0, "closed after {} of {length} bytes", self.buffer.len());
        }
        self.buffer.drain(..length).collect()
    }

    /// Reads and discards; a large body need not fit into memory.
    /// Whether nothing comes for a moment.
    pub async fn stays_silent(&mut self) -> bool {
        self.buffer.is_empty() && timeout(Duration::from_millis(100), self.fill()).await.is_err()
    }

    pub async fn discard(&mut self, mut length: usize) {
        while length > 0 {
            if self.buffer.is_empty() {
                assert_ne!(self.fill().await, 0, "closed with {length} bytes to go");
            }
            let taken = length.min(self.buffer.len());
            self.buffer.drain(..taken);
            length -= taken;
        }
    }

    /// A head and the body that it announces. `to` is the method that it answers, or empty for a request.
    pub async fn message(&mut self, to: &str) -> Message {
        let head = self.head().await.expect("a message, not the end");
        let bodyless = to == "HEAD" || matches!(head.status(), Some(204 | 304));
        let body = if bodyless {
            Vec::new()
        } else if head.has("transfer-encoding", "chunked") {
            self.chunks().await
        } else if let Some(length) = head.get("content-length") {
            self.exactly(length.parse().unwrap()).await
        } else if head.status().is_some() {
            self.rest().await
        } else {
            Vec::new()
        };
        Message { head, body }
    }

    /// One chunk's data; empty for the last one, whose trailers are read too.
    pub async fn chunk(&mut self) -> Vec<u8> {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let data = self.exactly(size).await;
        if size > 0 {
            assert_eq!(self.line().await, "");
        }
        data
    }

    async fn chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk().await;
            if chunk.is_empty() {
                while !self.line().await.is_empty() {}
                return body;
            }
            body.extend(chunk);
        }
    }

    pub async fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                return String::from_utf8(line[..end].to_vec()).unwrap();
            }
            assert_ne!(self.fill().await, 0, "closed within a line");
        }
    }

    /// Everything until the peer closes in order.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Everything until the peer closes or resets, and whether it reset.
    pub async fn until_lost(&mut self) -> (Vec<u8>, bool) {
        loop {
            match timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("an end") {
                Ok(0) => return (std::mem::take(&mut self.buffer), false),
                Ok(_) => {}
                Err(_) => return (std::mem::take(&mut self.buffer), true),
            }
        }
    }

    pub async fn is_lost(&mut self) -> bool {
        self.until_lost().await.0.is_empty()
    }

    async fn fill(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.expect("the peer sends or closes").unwrap()
    }
}

impl Head {
    fn parse(text: &str) -> Self {
        let mut lines = text.trim_end().split("\r\n");
        let first_line = lines.next().unwrap().to_owned();
        let split = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_owned(), value.trim().to_owned())
        };
        Self { first_line, lines: lines.map(split).collect() }
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.lines.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        lines.map(|(_, value)| value.as_str()).collect()
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} is repeated in {self:?}");
        all.first().copied()
    }

    fn has(&self, name: &str, value: &str) -> bool {
        self.all(name).iter().any(|line| line.contains(value))
    }

    /// Of a response.
    pub fn status(&self) -> Option<u16> {
        self.first_line.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()
    }
}
