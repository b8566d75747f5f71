//! A client of HTTP/2 that writes its frames by hand (RFC 9113), headers without compression (RFC 7541, 6.2.2): it says
//! what no library would say.

use std::net::SocketAddr;

use anyhow::Result;

use crate::wire::Wire;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

pub struct Http2 {
    wire: Wire,
}

/// How a stream ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// An answer, with END_STREAM.
    Answered,
    /// RST_STREAM with this code.
    Reset(u32),
    /// GOAWAY with this code, or the connection's end.
    Gone(Option<u32>),
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame of a test fits").to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// A block in which each field is written out, and remembered by nobody.
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        text(&mut bytes, name.as_bytes());
        text(&mut bytes, value);
    }
    bytes
}

/// Its length as an integer with a prefix of 7 bits, then itself.
fn text(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut rest = text.len();
    if rest < 127 {
        bytes.push(rest as u8);
    } else {
        bytes.push(127);
        rest -= 127;
        while rest >= 128 {
            bytes.push((rest % 128) as u8 | 128);
            rest /= 128;
        }
        bytes.push(rest as u8);
    }
    bytes.extend(text);
}

/// The fields that every request has.
pub fn request<'a>(method: &'a str, path: &'a [u8]) -> Vec<(&'a str, &'a [u8])> {
    vec![(":method", method.as_bytes()), (":scheme", b"http"), (":authority", b"shop.test"), (":path", path)]
}

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let mut wire = Wire::connect(address).await?;
        wire.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat()).await;
        Ok(Self { wire })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.wire.send(bytes).await;
    }

    /// The next frame; nothing at the end.
    pub async fn frame(&mut self) -> Result<Option<Frame>> {
        let head = self.wire.exactly(9).await?;
        let Ok([a, b, c, kind, flags, stream @ ..]) = <[u8; 9]>::try_from(head) else { return Ok(None) };
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.wire.exactly(length).await?;
        Ok((payload.len() == length).then_some(Frame { kind, flags, stream, payload }))
    }

    /// How a stream ends; what else comes is passed over, settings are acknowledged.
    pub async fn end(&mut self, stream: u32) -> Result<End> {
        loop {
            let Some(frame) = self.frame().await? else { return Ok(End::Gone(None)) };
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.send(self::frame(SETTINGS, ACK, 0, &[])).await,
                GOAWAY => return Ok(End::Gone(code(&frame.payload, 4))),
                RST_STREAM if frame.stream == stream => return Ok(End::Reset(code(&frame.payload, 0).unwrap_or(0))),
                HEADERS | DATA if frame.stream == stream && frame.flags & END_STREAM != 0 => return Ok(End::Answered),
                _ => {}
            }
        }
    }

    /// Whether the other side still answers a ping; `None` when it has said goodbye or is gone.
    pub async fn pings(&mut self) -> Result<Option<()>> {
        self.send(frame(PING, 0, 0, b"are you?")).await;
        while let Some(frame) = self.frame().await? {
            match frame.kind {
                PING if frame.flags & ACK != 0 => return Ok(Some(())),
                GOAWAY => return Ok(None),
                _ => {}
            }
        }
        Ok(None)
    }
}

fn code(payload: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(payload.get(at..at + 4)?.try_into().ok()?))
}
