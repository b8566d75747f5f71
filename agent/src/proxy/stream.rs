//! A socket, of either family. One read fills what it can of the thread's scratch buffer, so that connections that wait
//! hold no buffers of their own.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    /// Bytes read; 0 at the end.
    pub(super) fn poll_read(&mut self, context: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(into);
        ready!(AsyncRead::poll_read(Pin::new(self), context, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(self), context, bytes)
    }

    pub(super) fn poll_write_two(
        &mut self,
        context: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write_vectored(Pin::new(self), context, &[IoSlice::new(first), IoSlice::new(second)])
    }

    /// Says that nothing more will be sent.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_shutdown(Pin::new(self), context)
    }

    /// Whether the peer has neither closed nor sent anything. Costs a system call only if `ask`, or if the runtime has
    /// already heard of something.
    pub(super) fn is_quiet(&self, ask: bool) -> bool {
        let mut byte = [0; 1];
        if ask {
            let mut byte = [std::mem::MaybeUninit::uninit()];
            let peeked = match self {
                Stream::Tcp(stream) => SockRef::from(stream).peek(&mut byte),
                Stream::Unix(stream) => SockRef::from(stream).peek(&mut byte),
            };
            return matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        }
        let read = match self {
            Stream::Tcp(stream) => stream.try_read(&mut byte),
            Stream::Unix(stream) => stream.try_read(&mut byte),
        };
        matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// What broke the connection, if the kernel knows: taken by asking.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream).take_error(),
            Stream::Unix(stream) => SockRef::from(stream).take_error(),
        }
        .ok()
        .flatten()
    }

    /// From now on closing it resets it, so that nobody takes its end for the end of a message.
    pub(super) fn reset_on_close(&self) {
        if let Stream::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

macro_rules! on_either {
    ($self:expr, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Stream::Tcp($stream) => $call,
            Stream::Unix($stream) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on_either!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        on_either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
