//! The request's way: what the client sends goes to the service, as fast as the service takes it.

use std::task::{Context, Poll};
use std::time::Instant;

use super::super::response_head::Delivery;
use super::{Download, Relay};
use crate::proxy::fault::Fault;
use ridealong_http1::Malformed;

impl Relay<'_> {
    /// Moves what can be moved. Ready as long as something did.
    pub(super) fn poll_upload(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.to_upstream.is_empty() {
            self.put_early_body()?;
            match self.to_upstream.poll_flush(context, self.upstream) {
                Poll::Ready(Ok(_)) => self.sent(),
                Poll::Ready(Err(_)) => self.break_upload(),
                Poll::Pending => {
                    self.await_service();
                    return Poll::Pending;
                }
            }
            if !self.to_upstream.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        if self.upload_broken || self.request.body.is_done() {
            return self.poll_ahead(context);
        }
        if self.client.inbox.is_empty() { self.poll_body(context) } else { Poll::Ready(self.put_inbox()) }
    }

    /// Body bytes that came with the head leave with it.
    fn put_early_body(&mut self) -> Result<(), Fault> {
        let is_waiting = !self.client.inbox.is_empty() && !self.request.body.is_done();
        if is_waiting && !self.has_sent_any {
            self.put_inbox()?;
        }
        Ok(())
    }

    fn put_inbox(&mut self) -> Result<(), Fault> {
        let inbox = std::mem::take(&mut self.client.inbox);
        let taken = self.to_upstream.put(&mut self.request.body, Delivery::AsIs, &inbox);
        self.client.inbox = inbox;
        let taken = taken.map_err(|Malformed| Fault::RequestBody)?;
        self.client.consume(taken.used);
        self.uploaded(taken.data);
        Ok(())
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let waits = &self.connection.waits;
        let mut scratch = self.connection.worker.scratch.borrow_mut();
        let read = match self.client.stream.poll_read(context, &mut scratch) {
            Poll::Ready(Ok(0)) | Poll::Ready(Err(_)) => return Poll::Ready(Err(Fault::ClientDisconnect)),
            Poll::Ready(Ok(length)) => length,
            Poll::Pending => {
                if !self.awaits_continue() {
                    waits.request.wait(self.connection.worker.coarse_now.get());
                }
                return Poll::Pending;
            }
        };
        waits.request.moved(read);
        let bytes = &scratch[..read];
        let sent = self.to_upstream.send(context, self.upstream, &mut self.request.body, Delivery::AsIs, bytes);
        let (taken, wrote) = sent.map_err(|Malformed| Fault::RequestBody)?;
        self.client.inbox.extend_from_slice(&bytes[taken.used..]);
        drop(scratch);
        self.uploaded(taken.data);
        match wrote {
            Ok(_) => self.sent(),
            Err(_) => self.break_upload(),
        }
        Poll::Ready(Ok(()))
    }

    /// The client holds its body back until the service wants it, and so is not slow.
    fn awaits_continue(&self) -> bool {
        self.request.awaits_continue && self.request.open.get().request_bytes == 0
    }

    fn uploaded(&mut self, data: usize) {
        self.request.open.get_mut().request_bytes += data as u64;
        if self.request.body.is_done() {
            self.connection.waits.request.stop();
            let elapsed_us = self.request.open.elapsed_us(Instant::now());
            self.request.open.get_mut().request_complete_us = Some(elapsed_us);
        }
    }

    /// Some of what was to be sent is with the service's kernel.
    fn sent(&mut self) {
        self.has_sent_any = true;
        self.connection.waits.head_since.set(None);
        if !self.to_upstream.is_empty() {
            self.connection.waits.request.stop();
            return;
        }
        if self.sent_at.is_none() {
            let now = Instant::now();
            self.sent_at = Some(now);
            self.overhead.total += now.saturating_duration_since(self.overhead.head_since);
        }
        if self.request.body.is_done() || self.awaits_continue() {
            self.await_service();
        }
        // A head alone stays, to be sent again; what came after it is forgotten.
        if self.request.open.get().request_bytes > 0 {
            self.to_upstream.clear();
        }
    }

    /// From now on the service is expected to do something.
    fn await_service(&self) {
        let since = &self.connection.waits.head_since;
        if self.download == Download::Head && since.get().is_none() {
            since.set(Some(self.connection.worker.coarse_now.get()));
        }
    }

    /// The service takes no more, but may have answered before that.
    fn break_upload(&mut self) {
        self.upload_broken = true;
        self.connection.waits.request.stop();
        self.to_upstream.give_up();
    }

    fn poll_ahead(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if self.download == Download::Done {
            return Poll::Pending;
        }
        let mut scratch = self.connection.worker.scratch.borrow_mut();
        let ahead = self.client.poll_ahead(context, &mut scratch);
        drop(scratch);
        if let Poll::Ready(Err(_)) = ahead {
            return Poll::Ready(Err(Fault::ClientDisconnect));
        }
        if self.client.has_ended {
            if self.connection.worker.limits.borrow().half_close_timeout.is_none() {
                return Poll::Ready(Err(Fault::ClientDisconnect));
            }
            let since = &self.connection.waits.half_closed_since;
            if since.get().is_none() && self.download == Download::Head {
                since.set(Some(self.connection.worker.coarse_now.get()));
            }
        }
        Poll::Pending
    }
}
