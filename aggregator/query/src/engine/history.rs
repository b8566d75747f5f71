//! What ran: the latest queries of each tenant, for `system.queries`.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use ridealong_model::query::{QueryAnswer, QueryError};
use ridealong_model::tenant::TenantId;
use uuid::Uuid;

use super::advice::Advice;
use super::explained::Totals;

/// Of each tenant; older ones are forgotten.
const QUERIES_MAX: usize = 500;
/// Tenants that are remembered; the one that asked first goes.
const TENANTS_MAX: usize = 200;
/// Of a statement.
const SQL_BYTES_MAX: usize = 2_000;
/// Of an error.
const ERROR_BYTES_MAX: usize = 500;

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum State {
    Running,
    Done,
    Failed,
    TimedOut,
    /// Whoever asked has left.
    Cancelled,
    /// It has more rows than were asked for.
    Truncated,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Done => "done",
            State::Failed => "failed",
            State::TimedOut => "timed_out",
            State::Cancelled => "cancelled",
            State::Truncated => "truncated",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Query {
    pub query_id: String,
    pub started_us: i64,
    pub duration_us: i64,
    pub state: State,
    pub sql: Arc<str>,
    pub rows: Option<u64>,
    /// None when it read nothing itself, or nobody knows.
    pub totals: Option<Totals>,
    pub memory_peak: Option<u64>,
    pub cache_hit: bool,
    pub error: Option<String>,
    pub advice: Option<Advice>,
}

impl Query {
    /// None while it runs.
    pub fn duration_ms(&self) -> Option<f64> {
        (self.state != State::Running).then_some(self.duration_us as f64 / 1_000.0)
    }
}

#[derive(Debug, Default)]
pub(crate) struct History(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    by_tenant: HashMap<TenantId, VecDeque<Query>>,
    /// In the order of their first query.
    tenants: VecDeque<TenantId>,
    ended: HashMap<State, u64>,
    cache_hits: u64,
}

impl History {
    /// A query has come; it is kept with how it ends, whatever that is.
    pub fn begin(self: &Arc<Self>, tenant: &TenantId, sql: &str) -> Recording {
        let query = Query {
            query_id: Uuid::now_v7().to_string(),
            started_us: now_us(),
            duration_us: 0,
            state: State::Running,
            sql: Arc::from(cut(sql, SQL_BYTES_MAX)),
            rows: None,
            totals: None,
            memory_peak: None,
            cache_hit: false,
            error: None,
            advice: None,
        };
        let query_id = query.query_id.clone();
        self.0.lock().add(tenant, query.clone());
        Recording { history: Arc::clone(self), tenant: tenant.clone(), query_id, started: Instant::now(), query }
    }

    /// The newest first.
    pub fn of(&self, tenant: &TenantId) -> Vec<Query> {
        let kept = self.0.lock();
        kept.by_tenant.get(tenant).map(|queries| queries.iter().rev().cloned().collect()).unwrap_or_default()
    }

    pub fn ended(&self, state: State) -> u64 {
        self.0.lock().ended.get(&state).copied().unwrap_or(0)
    }

    pub fn cache_hits(&self) -> u64 {
        self.0.lock().cache_hits
    }

    pub fn running(&self) -> u64 {
        let kept = self.0.lock();
        kept.by_tenant.values().flatten().filter(|query| query.state == State::Running).count() as u64
    }

    /// What was found out about a query later.
    pub fn advise(&self, tenant: &TenantId, query_id: &str, advice: Advice) {
        if let Some(query) = self.0.lock().find(tenant, query_id) {
            query.advice = Some(advice);
        }
    }
}

impl Kept {
    fn add(&mut self, tenant: &TenantId, query: Query) {
        if !self.by_tenant.contains_key(tenant) {
            if self.tenants.len() >= TENANTS_MAX
                && let Some(first) = self.tenants.pop_front()
            {
                self.by_tenant.remove(&first);
            }
            self.tenants.push_back(tenant.clone());
        }
        let queries = self.by_tenant.entry(tenant.clone()).or_default();
        if queries.len() >= QUERIES_MAX {
            queries.pop_front();
        }
        queries.push_back(query);
    }

    fn find(&mut self, tenant: &TenantId, query_id: &str) -> Option<&mut Query> {
        self.by_tenant.get_mut(tenant)?.iter_mut().rev().find(|query| query.query_id == query_id)
    }
}

/// A query that is on its way. Let go of before it ended, it was cancelled.
pub(crate) struct Recording {
    history: Arc<History>,
    tenant: TenantId,
    pub query_id: String,
    started: Instant,
    query: Query,
}

impl Recording {
    pub fn read(&mut self, totals: Option<Totals>, memory_peak: usize) {
        self.query.totals = totals;
        self.query.memory_peak = Some(memory_peak as u64);
    }

    pub fn finish(mut self, result: &Result<QueryAnswer, QueryError>) {
        self.query.state = match result {
            Ok(answer) if answer.truncated => State::Truncated,
            Ok(_) => State::Done,
            Err(QueryError::TimedOut(_)) => State::TimedOut,
            Err(_) => State::Failed,
        };
        self.query.cache_hit = result.as_ref().is_ok_and(|answer| answer.cache_hit);
        self.query.rows = result.as_ref().ok().map(|answer| answer.rows as u64);
        self.query.error = result.as_ref().err().map(|error| cut(&error.to_string(), ERROR_BYTES_MAX).to_owned());
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.query.state == State::Running {
            self.query.state = State::Cancelled;
        }
        self.query.duration_us = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let mut kept = self.history.0.lock();
        *kept.ended.entry(self.query.state).or_default() += 1;
        kept.cache_hits += u64::from(self.query.cache_hit);
        if let Some(query) = kept.find(&self.tenant, &self.query_id) {
            // Advice may have come meanwhile.
            self.query.advice = query.advice.take();
            *query = self.query.clone();
        }
    }
}

fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

fn cut(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[cfg(test)]
mod tests;
