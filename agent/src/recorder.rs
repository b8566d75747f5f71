//! From exchanges to rows: one recorder on each proxy thread, without locks. It gives an exchange its route, decides
//! whether it becomes a row or is only counted, takes out what must not be stored, and offers both to the spool in groups;
//! it never waits: when the spool's queue is full, they are dropped and counted.

mod addresses;

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use ridealong_common::rows::RequestRow;
use ridealong_common::time::Timestamp;

use crate::books::{Books, Recorded};
use crate::exchange::{Exchange, Record};
use crate::privacy::Privacy;
use crate::route::{RouteTable, Routes};
use crate::sampling::{Candidate, Sampling, SamplingHandle};
use crate::spool::{Requests, Spool, SpoolRows};
use crate::summary::{Tally, method_of};
use addresses::Addresses;

/// Exchanges offered to the spool at once; fewer when the thread's tick comes first.
const GROUP_EXCHANGES: usize = 512;

/// What the recorders of one agent share.
#[derive(Clone)]
pub struct Recording {
    pub spool: Spool,
    pub books: Arc<Books>,
    pub routes: Arc<RouteTable>,
    pub privacy: Arc<Privacy>,
    pub sampling: SamplingHandle,
}

/// The recorder of one thread.
pub struct Recorder {
    routes: Routes,
    addresses: Addresses,
    privacy: Arc<Privacy>,
    sampling_handle: SamplingHandle,
    /// As it was at the last tick.
    sampling: Cell<Sampling>,
    gathered: RefCell<Requests>,
    spool: Spool,
    progress: Arc<Recorded>,
}

impl Recorder {
    pub fn new(recording: &Recording) -> Self {
        let Recording { spool, books, routes, privacy, sampling } = recording.clone();
        Self {
            routes: Routes::new(routes),
            addresses: Addresses::default(),
            privacy,
            sampling: Cell::new(sampling.get()),
            sampling_handle: sampling,
            gathered: RefCell::new(Requests::with_capacity(GROUP_EXCHANGES)),
            spool,
            progress: books.recorder(),
        }
    }

    fn offer(&self) {
        let requests = self.gathered.replace(Requests::with_capacity(GROUP_EXCHANGES));
        let exchanges = requests.exchanges();
        self.spool.offer(SpoolRows::Requests(requests));
        self.progress.offered(exchanges);
    }

    fn row(&self, exchange: Exchange, tally: Tally, path: String, sample_weight: f64) -> RequestRow {
        let headers = self.privacy.headers(exchange.headers);
        RequestRow {
            event_id: exchange.event_id,
            timestamp: tally.timestamp,
            method: tally.method,
            route: tally.route,
            path,
            query: exchange.query.and_then(|query| self.privacy.query(&query)),
            status: exchange.status,
            protocol: exchange.protocol,
            duration_us: exchange.duration_us,
            ttfb_us: exchange.ttfb_us,
            request_complete_us: exchange.request_complete_us,
            upstream_connected_us: exchange.upstream_connected_us,
            response_complete_us: exchange.response_complete_us,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
            error: exchange.error,
            grpc_status: exchange.grpc_status,
            request_id: exchange.request_id,
            trace_id: exchange.trace_id,
            client_address: exchange.client.and_then(|client| self.addresses.shown(client, &self.privacy)),
            user_agent: headers.user_agent,
            headers: headers.others,
            dnt: exchange.do_not_track,
            sec_gpc: exchange.global_privacy_control,
            sample_weight,
        }
    }
}

impl Record for Recorder {
    fn record(&self, mut exchange: Exchange) {
        let path = self.privacy.path(std::mem::take(&mut exchange.path));
        let found = exchange.status.is_some_and(|status| status != 404);
        let tally = Tally {
            timestamp: Timestamp(exchange.started_at_us),
            route: self.routes.route(&path, found),
            method: method_of(&exchange.method),
            status: exchange.status,
            is_error: RequestRow::counts_as_error(exchange.status, exchange.error),
            duration_us: exchange.duration_us,
            request_bytes: exchange.request_bytes,
            response_bytes: exchange.response_bytes,
        };
        let candidate = Candidate {
            event_id: exchange.event_id,
            request_id: exchange.request_id.as_deref(),
            duration_us: exchange.duration_us,
            is_error: tally.is_error,
        };
        let weight = self.sampling.get().weight(&candidate);
        self.progress.recorded(&tally, exchange.overhead_us, weight.is_some());
        let mut gathered = self.gathered.borrow_mut();
        match weight {
            Some(weight) => gathered.rows.push(self.row(exchange, tally, path, weight)),
            None => gathered.sampled_out.push(tally),
        }
        let full = gathered.exchanges() >= GROUP_EXCHANGES as u64;
        drop(gathered);
        if full {
            self.offer();
        }
    }

    fn tick(&self) {
        self.sampling.set(self.sampling_handle.get());
        if self.gathered.borrow().exchanges() > 0 {
            self.offer();
        }
    }
}

#[cfg(test)]
mod tests;
