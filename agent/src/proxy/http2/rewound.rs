//! A socket whose first bytes were read already, to find out what it speaks.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::stream::Stream;

pub(super) struct Rewound {
    stream: Stream,
    first_bytes: Vec<u8>,
    read: usize,
    /// When the last bytes came: near enough to a request's first byte, since a head is in one read as a rule.
    last_read: Rc<Cell<Instant>>,
}

impl Rewound {
    pub(super) fn new(stream: Stream, first_bytes: Vec<u8>, last_read: Rc<Cell<Instant>>) -> Self {
        Self { stream, first_bytes, read: 0, last_read }
    }
}

impl AsyncRead for Rewound {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let rewound = self.get_mut();
        let first = &rewound.first_bytes[rewound.read..];
        if first.is_empty() {
            let before = buffer.filled().len();
            let read = AsyncRead::poll_read(Pin::new(&mut rewound.stream), context, buffer);
            if buffer.filled().len() > before {
                rewound.last_read.set(Instant::now());
            }
            return read;
        }
        let length = first.len().min(buffer.remaining());
        buffer.put_slice(&first[..length]);
        rewound.read += length;
        if rewound.read == rewound.first_bytes.len() {
            rewound.first_bytes = Vec::new();
            rewound.read = 0;
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.stream), context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(&mut self.stream), context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(&mut self.stream), context)
    }
}
