//! What there is to say of a tenant's last minute: for all of it, and for each service and environment.
//!
//! Events count in the second in which they came, whatever their own time. Requests count when they happened, as far as
//! their summaries tell: in the last second of the ten that a summary is of, or when it came if that was earlier. So
//! what an agent delivers after an outage does not look like a rush of requests; what is older than the window then is
//! left out, and counted as late.

mod cells;
mod distinct;
mod hosts;
mod scope;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use ridealong_common::block::{CheckedBlock, Values};
use ridealong_common::sketch::Sketch;
use ridealong_common::table::{Table, events, host_metrics, request_summaries};
use ridealong_wal::Entry;

use crate::columns::{Texts, floats, integers, rows_of};

pub(crate) use cells::{Cells, Sums};
pub(crate) use distinct::{Distinct, DistinctCount};
use hosts::{Hosts, Sample};
pub(crate) use hosts::{SAMPLE_AGE_MAX_US, Utilization};
pub use scope::Scope;

/// The window: the second that is running and those before it.
pub const WINDOW_SECONDS: i64 = 60;
pub(crate) const SECOND_US: i64 = 1_000_000;
/// What a summary is of.
const SUMMARY_US: i64 = 10 * SECOND_US;
/// Different users or sessions of a tenant that are counted exactly; above it within some 1 to 2 %.
const DISTINCT_MAX: usize = 16_384;
/// The same of one service and environment; above it within some 3 to 5 %.
const SCOPE_DISTINCT_MAX: usize = 2_048;
/// Services and environments of a tenant that have numbers of their own.
const SCOPES_MAX: usize = 64;

pub(crate) fn is_in_window(second: i64, now: i64) -> bool {
    second <= now && second > now - WINDOW_SECONDS
}

pub(crate) struct TenantWindow {
    all: Cells,
    scopes: HashMap<Key, Cells>,
    /// The last second in which there was no room for another scope.
    scopes_full_at: i64,
    hosts: Hosts,
    hasher: RandomState,
    /// Requests that came when their time had left the window.
    pub late_requests: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    service: Option<Box<str>>,
    environment: Option<Box<str>>,
}

impl TenantWindow {
    pub fn new(hasher: RandomState) -> Self {
        Self {
            all: Cells::new(DISTINCT_MAX),
            scopes: HashMap::new(),
            scopes_full_at: i64::MIN,
            hosts: Hosts::default(),
            hasher,
            late_requests: 0,
        }
    }

    /// Whether a table says anything of the last minute.
    pub fn wants(table: Table) -> bool {
        matches!(table, Table::Events | Table::RequestSummaries | Table::HostMetrics)
    }

    pub fn take(&mut self, entry: &Entry, block: &CheckedBlock) {
        match entry.table {
            Table::Events => self.take_events(entry, block),
            Table::RequestSummaries => self.take_summaries(entry, block),
            Table::HostMetrics => self.take_samples(entry, block),
            _ => {}
        }
    }

    fn take_events(&mut self, entry: &Entry, block: &CheckedBlock) {
        let second = entry.received_at_us.div_euclid(SECOND_US);
        let hashed = |id| {
            let texts = Texts::of(block, id);
            let hash = |number| texts.distinct(number).map(|text| self.hasher.hash_one(text));
            let hashes: Vec<Option<u64>> = (0..=texts.distinct_max()).map(hash).collect();
            move |row: usize| hashes[texts.number(row) as usize]
        };
        let (user, session) = (hashed(events::USER_ID), hashed(events::SESSION_ID));
        let count = |cells: &mut Cells, rows: &[usize]| {
            let sums = Sums { events: rows.len() as u64, ..Sums::default() };
            if cells.add(second, &sums, None) {
                rows.iter().filter_map(|row| user(*row)).for_each(|hash| cells.users.add(hash, second));
                rows.iter().filter_map(|row| session(*row)).for_each(|hash| cells.sessions.add(hash, second));
            }
        };
        let rows = rows_of(entry);
        count(&mut self.all, &rows);
        for (key, rows) in by_scope(block, &rows, [events::SOURCE, events::ENVIRONMENT]) {
            self.with_scope(key, second, |cells| count(cells, &rows));
        }
    }

    fn take_summaries(&mut self, entry: &Entry, block: &CheckedBlock) {
        let column = |id| integers(block, id);
        let (times, counts) = (column(request_summaries::TIMESTAMP), column(request_summaries::COUNT));
        let (errors, longest) = (column(request_summaries::ERROR_COUNT), column(request_summaries::DURATION_MAX_US));
        let received = column(request_summaries::REQUEST_BYTES);
        let sent = column(request_summaries::RESPONSE_BYTES);
        let Some(Values::Blobs(sketches)) = block.values(request_summaries::DURATION_SKETCH) else { return };
        let unsigned = |value: i64| value.max(0) as u64;
        let rows = rows_of(entry);
        let scopes = [request_summaries::SERVICE, request_summaries::ENVIRONMENT];
        for (key, rows) in by_scope(block, &rows, scopes) {
            for row in rows {
                let happened = times[row].saturating_add(SUMMARY_US - 1).min(entry.received_at_us);
                let sums = Sums {
                    events: 0,
                    requests: unsigned(counts[row]),
                    errors: unsigned(errors[row]),
                    request_bytes: unsigned(received[row]),
                    response_bytes: unsigned(sent[row]),
                    latency_max_us: unsigned(longest[row]),
                };
                let second = happened.div_euclid(SECOND_US);
                // Sketches were decoded once already, when the block was checked.
                let sketch = Sketch::decode(&sketches[row]).unwrap_or_default();
                let is_late = !is_in_window(second, entry.received_at_us.div_euclid(SECOND_US));
                if is_late || !self.all.add(second, &sums, Some(&sketch)) {
                    self.late_requests += sums.requests;
                    continue;
                }
                self.with_scope(key.clone(), second, |cells| {
                    cells.add(second, &sums, Some(&sketch));
                });
            }
        }
    }

    fn take_samples(&mut self, entry: &Entry, block: &CheckedBlock) {
        let text = |id| Texts::of(block, id);
        let (host, service) = (text(host_metrics::HOST), text(host_metrics::SERVICE));
        let environment = text(host_metrics::ENVIRONMENT);
        let column = |id| integers(block, id);
        let (times, cpu) = (column(host_metrics::TIMESTAMP), floats(block, host_metrics::CPU_UTILIZATION));
        let memory = [host_metrics::MEMORY_USED_BYTES, host_metrics::MEMORY_TOTAL_BYTES].map(column);
        let disk = [host_metrics::DISK_USED_BYTES, host_metrics::DISK_TOTAL_BYTES].map(column);
        let unsigned = |value: i64| value.max(0) as u64;
        for row in rows_of(entry) {
            let sample = Sample {
                environment: environment.get(row).map(str::to_owned),
                timestamp_us: times[row],
                received_at_us: entry.received_at_us,
                cpu: cpu[row].unwrap_or_default(),
                memory_used: unsigned(memory[0][row]),
                memory_total: unsigned(memory[1][row]),
                disk_used: unsigned(disk[0][row]),
                disk_total: unsigned(disk[1][row]),
            };
            self.hosts.add(host.get(row).unwrap_or_default(), service.get(row).unwrap_or_default(), sample);
        }
    }

    fn with_scope(&mut self, key: Key, second: i64, then: impl FnOnce(&mut Cells)) {
        if let Some(cells) = self.scopes.get_mut(&key) {
            return then(cells);
        }
        if self.scopes.len() >= SCOPES_MAX {
            self.scopes.retain(|_, cells| cells.newest > second - WINDOW_SECONDS);
        }
        if self.scopes.len() >= SCOPES_MAX {
            self.scopes_full_at = self.scopes_full_at.max(second);
            return;
        }
        then(self.scopes.entry(key).or_insert_with(|| Cells::new(SCOPE_DISTINCT_MAX)));
    }

    /// Drops what is over. To be called about once a second.
    pub fn forget(&mut self, now_us: i64) {
        let now = now_us.div_euclid(SECOND_US);
        self.scopes.retain(|_, cells| cells.newest > now - WINDOW_SECONDS);
        for cells in std::iter::once(&mut self.all).chain(self.scopes.values_mut()) {
            cells.users.forget(now);
            cells.sessions.forget(now);
        }
        self.hosts.forget(now_us);
    }

    /// Whether there is nothing to say.
    pub fn is_idle(&self, now_us: i64) -> bool {
        self.hosts.is_empty() && self.all.newest <= now_us.div_euclid(SECOND_US) - WINDOW_SECONDS
    }

    /// The numbers of a scope; None when it may be among those that there was no room for.
    pub fn of(&self, scope: &Scope, now_us: i64) -> Option<Answerable<'_>> {
        let now = now_us.div_euclid(SECOND_US);
        let cells: Vec<&Cells> = if scope.is_all() {
            vec![&self.all]
        } else {
            let wanted = |key: &Key| scope.holds(key.service.as_deref(), key.environment.as_deref());
            self.scopes.iter().filter(|(key, _)| wanted(key)).map(|(_, cells)| cells).collect()
        };
        let is_known = scope.is_all() || !is_in_window(self.scopes_full_at, now);
        is_known.then_some(Answerable { cells, now })
    }

    pub fn utilization(&self, scope: &Scope, now_us: i64) -> Option<Utilization> {
        self.hosts.utilization(scope, now_us)
    }

    /// Samples of hosts that there was no room for, since it was last asked.
    pub fn take_unknown_hosts(&mut self) -> u64 {
        std::mem::take(&mut self.hosts.unknown)
    }
}

/// What one scope's numbers are made of.
pub(crate) struct Answerable<'a> {
    cells: Vec<&'a Cells>,
    now: i64,
}

impl Answerable<'_> {
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        self.cells.iter().for_each(|cells| sums.add(&cells.sums(self.now)));
        sums
    }

    pub fn latencies(&self) -> Sketch {
        let mut sketch = Sketch::new();
        self.cells.iter().for_each(|cells| cells.latencies(self.now, &mut sketch));
        sketch
    }

    pub fn users(&self) -> DistinctCount {
        Distinct::count(self.cells.iter().map(|cells| &cells.users), self.now)
    }

    pub fn sessions(&self) -> DistinctCount {
        Distinct::count(self.cells.iter().map(|cells| &cells.sessions), self.now)
    }
}

/// The rows of each service and environment.
fn by_scope(block: &CheckedBlock, rows: &[usize], [service, environment]: [u16; 2]) -> Vec<(Key, Vec<usize>)> {
    let (services, environments) = (Texts::of(block, service), Texts::of(block, environment));
    let mut numbered: HashMap<(u32, u32), Vec<usize>> = HashMap::new();
    for row in rows {
        numbered.entry((services.number(*row), environments.number(*row))).or_default().push(*row);
    }
    let named = |((service, environment), rows): ((u32, u32), Vec<usize>)| {
        let key = Key {
            service: services.distinct(service).map(Into::into),
            environment: environments.distinct(environment).map(Into::into),
        };
        (key, rows)
    };
    numbered.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests;
