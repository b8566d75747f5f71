//! Route templates: `/users/8231/orders/7` becomes `/users/{id}/orders/{id}`, so that routes can be counted.
//!
//! The operator's patterns come first, in their order. What none of them matches is learned: a segment that looks like an
//! identifier ([`segment`]) is `{id}`, and a place that keeps taking new values becomes `{slug}` ([`trie`]). At most
//! [`ROUTES_MAX`] routes are learned by an agent; what comes later is `_other`. A 404 teaches nothing, so that a scanner
//! cannot fill the list.
//!
//! One [`RouteTable`] serves an agent; each proxy thread has its own [`Routes`] with the table's present tree at hand. A
//! known route is found in it without a lock and without an allocation. A lock is taken only to learn.

mod segment;
mod trie;

use std::cell::RefCell;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use parking_lot::Mutex;

use crate::pattern::Pattern;
use trie::Trie;

/// Distinct learned routes of one agent. Dashboards become unreadable long before.
pub const ROUTES_MAX: usize = 500;

pub const OTHER: &str = "_other";

/// What an agent knows about the routes of its service.
#[derive(Debug)]
pub struct RouteTable {
    patterns: Vec<Pattern>,
    learned: Arc<ArcSwap<Trie>>,
    learning: Mutex<()>,
    other: Arc<str>,
}

impl RouteTable {
    pub fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns, learned: Arc::default(), learning: Mutex::new(()), other: OTHER.into() }
    }

    /// Takes a path in, unless the table is full; the route that it has now.
    fn learn(&self, path: &str) -> Option<Arc<str>> {
        let _one_at_a_time = self.learning.lock();
        // Another thread may have learned it, or filled the table, a moment ago.
        let known = self.learned.load_full();
        if let Some(route) = known.route(path) {
            return Some(Arc::clone(route));
        }
        if known.is_full() {
            return None;
        }
        let grown = known.with(path, ROUTES_MAX);
        let route = grown.route(path).cloned();
        self.learned.store(Arc::new(grown));
        route
    }
}

/// The routes as one thread sees them.
pub struct Routes {
    table: Arc<RouteTable>,
    learned: RefCell<Cache<Arc<ArcSwap<Trie>>, Arc<Trie>>>,
}

impl Routes {
    pub fn new(table: Arc<RouteTable>) -> Self {
        let learned = RefCell::new(Cache::new(Arc::clone(&table.learned)));
        Self { table, learned }
    }

    /// The route of a path. `found` says that the service knew the path: its answer was not 404.
    pub fn route(&self, path: &str, found: bool) -> Arc<str> {
        if let Some(pattern) = self.table.patterns.iter().find(|pattern| pattern.matches(path)) {
            return Arc::clone(pattern.text());
        }
        let mut learned = self.learned.borrow_mut();
        let known = learned.load();
        let route = match known.route(path) {
            Some(route) => Some(Arc::clone(route)),
            None if found && !known.is_full() => self.table.learn(path),
            None => None,
        };
        route.unwrap_or_else(|| Arc::clone(&self.table.other))
    }
}

impl Default for Routes {
    /// Of a table of its own, without patterns.
    fn default() -> Self {
        Self::new(Arc::new(RouteTable::new(Vec::new())))
    }
}

#[cfg(test)]
mod tests;
