//! Bytes on their way to the reader: gathered into pieces, handed over as fast as they are taken.

use std::io;

use bytes::{Bytes, BytesMut};
use ridealong_model::export::EXPORT_IDLE_MAX;
use ridealong_model::query::QueryError;
use tokio::sync::mpsc;

use super::Broken;

/// Small enough that a slow reader takes one in time.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// What the reader gets. Without [`Part::End`] it was not all.
#[derive(Debug)]
pub(super) enum Part {
    Bytes(Bytes),
    Broken(QueryError),
    End,
}

pub(super) struct Chunks {
    sender: mpsc::Sender<Part>,
    gathered: BytesMut,
    sent: u64,
}

impl Chunks {
    pub fn new(sender: mpsc::Sender<Part>) -> Self {
        Self { sender, gathered: BytesMut::new(), sent: 0 }
    }

    /// Takes bytes, and waits for the reader once there are enough.
    pub async fn push(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        self.gathered.extend_from_slice(bytes);
        self.flush(PIECE_BYTES).await
    }

    pub async fn end(&mut self) -> Result<(), Broken> {
        self.flush(1).await?;
        self.send(Part::End).await
    }

    /// The reader learns that it was not all, whether or not there is room to say why: see [`super::whole`].
    pub async fn fail(&mut self, error: QueryError) {
        let _ = self.send(Part::Broken(error)).await;
    }

    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// Ends when the reader leaves, though there is nothing to send.
    pub fn left(&self) -> impl Future<Output = ()> + 'static {
        let sender = self.sender.clone();
        async move { sender.closed().await }
    }

    async fn flush(&mut self, at_least: usize) -> Result<(), Broken> {
        while self.gathered.len() >= at_least {
            let piece = self.gathered.split_to(self.gathered.len().min(PIECE_BYTES)).freeze();
            self.sent += piece.len() as u64;
            self.send(Part::Bytes(piece)).await?;
        }
        Ok(())
    }

    async fn send(&self, part: Part) -> Result<(), Broken> {
        match tokio::time::timeout(EXPORT_IDLE_MAX, self.sender.send(part)).await {
            Ok(sent) => sent.map_err(|_| Broken::Left),
            Err(_) => Err(Broken::Idle),
        }
    }
}

/// A writer's buffer, emptied into [`Chunks`] between two steps.
#[derive(Clone, Default)]
pub(super) struct Buffer(std::sync::Arc<parking_lot::Mutex<Vec<u8>>>);

impl Buffer {
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
