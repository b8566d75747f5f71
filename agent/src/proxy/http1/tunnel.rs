//! A tunnel after a switch of protocols: bytes both ways until both sides have ended, or one broke.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::client::Client;
use super::outbox::Outbox;
use crate::proxy::connection::{Connection, Phase};
use crate::proxy::fault::Fault;
use crate::proxy::open::OpenExchange;
use crate::proxy::stream::Stream;
use crate::proxy::worker::Worker;

/// One direction.
struct Pipe {
    waiting: Outbox,
    bytes: u64,
    /// The source has ended.
    ended: bool,
    /// The sink was told.
    told: bool,
}

/// Runs to the end; false if it broke off. `early` is what the service sent behind its head; what the client sent ahead lies in its inbox, and
/// has waited for the switch.
pub(in crate::proxy) async fn run(
    connection: &Connection,
    client: &mut Client,
    mut upstream: Stream,
    early: Vec<u8>,
    open: &mut OpenExchange,
) -> bool {
    let mut up = Pipe::holding(std::mem::take(&mut client.inbox), client.has_ended);
    let mut down = Pipe::holding(early, false);
    let ended = poll_fn(|context| {
        connection.remember_waker(context);
        if connection.is_closing() {
            return Poll::Ready(Err(Fault::Shutdown));
        }
        let worker = &connection.worker;
        let before = up.bytes + down.bytes;
        let upward = up.poll(context, worker, &mut client.stream, &mut upstream);
        let downward = down.poll(context, worker, &mut upstream, &mut client.stream);
        if up.bytes + down.bytes > before {
            connection.set_phase(Phase::Tunnel { active: worker.coarse_now.get() });
        }
        match (upward, downward) {
            // Whoever broke it off: what a tunnel carries has its own idea of its end.
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => Poll::Ready(Ok(false)),
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(Ok(true)),
            _ => Poll::Pending,
        }
    });
    let ended = ended.await;
    let exchange = open.get_mut();
    exchange.request_bytes += up.bytes;
    exchange.response_bytes += down.bytes;
    ended.unwrap_or_else(|fault| {
        open.fail(fault);
        false
    })
}

impl Pipe {
    fn holding(bytes: Vec<u8>, ended: bool) -> Self {
        Self { bytes: bytes.len() as u64, waiting: Outbox::holding(bytes), ended, told: false }
    }

    /// Ready once the source has ended and the sink knows.
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        worker: &Worker,
        source: &mut Stream,
        sink: &mut Stream,
    ) -> Poll<io::Result<()>> {
        loop {
            while !self.waiting.is_empty() {
                ready!(self.waiting.poll_flush(context, sink))?;
            }
            // A tunnel may be silent for hours: it keeps no memory meanwhile.
            self.waiting = Outbox::default();
            if self.ended {
                if !self.told {
                    ready!(sink.poll_shutdown(context))?;
                    self.told = true;
                }
                return Poll::Ready(Ok(()));
            }
            let mut scratch = worker.scratch.borrow_mut();
            let length = ready!(source.poll_read(context, &mut scratch))?;
            self.ended = length == 0;
            self.bytes += length as u64;
            let written = match sink.poll_write(context, &scratch[..length]) {
                Poll::Ready(written) => written?,
                Poll::Pending => 0,
            };
            self.waiting.bytes.extend_from_slice(&scratch[written..length]);
        }
    }
}
