//! From exchanges to rows: one recorder on each proxy thread, without locks. It gives a row its route and offers rows to
//! the spool in groups; it never waits: when the spool's queue is full, the rows are dropped and counted.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ridealong_common::limits::REQUEST_TEXT_BYTES_MAX;
use ridealong_common::rows::RequestRow;
use ridealong_common::time::Timestamp;

use crate::books::{Books, Recorded};
use crate::exchange::{Exchange, Record};
use crate::route::Routes;
use crate::spool::{Spool, SpoolRows};

/// Rows offered to the spool at once; fewer when the thread's tick comes first.
const GROUP_ROWS: usize = 512;

/// The recorder of one thread.
pub struct Recorder {
    routes: Routes,
    rows: RefCell<Vec<RequestRow>>,
    spool: Spool,
    books: Arc<Books>,
    progress: Arc<Recorded>,
}

impl Recorder {
    pub fn new(spool: Spool, books: Arc<Books>) -> Self {
        let rows = RefCell::new(Vec::with_capacity(GROUP_ROWS));
        let progress = books.recorder();
        Self { routes: Routes::default(), rows, spool, books, progress }
    }

    fn offer(&self) {
        let rows = self.rows.replace(Vec::with_capacity(GROUP_ROWS));
        let count = rows.len() as u64;
        self.spool.offer(SpoolRows::Requests(rows));
        self.progress.offered.fetch_add(count, Ordering::Release);
    }

    fn row(&self, exchange: Exchange) -> RequestRow {
        let found = exchange.status.is_some_and(|status| status != 404);
        let path = cut(exchange.path);
        RequestRow {
            event_id: exchange.event_id,
            timestamp: Timestamp(exchange.started_at_us),
            route: self.routes.route(&path, found),
            method: exchange.method.as_str().to_owned(),
            path,
            status: exchange.status,
            protocol: exchange.protocol,
            duration_us: exchange.duration_us,
            ttfb_us: exchange.ttfb_us,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            error: exchange.error,
            request_id: exchange.request_id,
            trace_id: exchange.trace_id,
            sample_weight: 1.0,
        }
    }
}

impl Record for Recorder {
    fn record(&self, exchange: Exchange) {
        let row = self.row(exchange);
        self.books.produced(1);
        self.progress.recorded.fetch_add(1, Ordering::Release);
        let mut rows = self.rows.borrow_mut();
        rows.push(row);
        let full = rows.len() >= GROUP_ROWS;
        drop(rows);
        if full {
            self.offer();
        }
    }

    fn tick(&self) {
        if !self.rows.borrow().is_empty() {
            self.offer();
        }
    }
}

/// A text short enough for a row, cut between two characters.
fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(REQUEST_TEXT_BYTES_MAX));
    text
}
