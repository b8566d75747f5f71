//! What came in at the doors and what became of it there, counted where it happens, since the start of the process. What
//! was stored, a duplicate or set aside for good is counted by the log.
//!
//! For each tenant and door, at every moment: received = answered + refused + abandoned + in flight. Rows are received
//! once their number is known; a body that cannot be read is a refused batch, and nobody knows what it held.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::time::Timestamp;
use ridealong_model::tenant::TenantId;
use serde::Serialize;

/// By which way rows come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Door {
    /// Agents' batches.
    Batches,
    /// JSON events.
    Events,
}

impl Door {
    pub const ALL: [Door; 2] = [Door::Batches, Door::Events];

    pub fn name(self) -> &'static str {
        match self {
            Door::Batches => "batches",
            Door::Events => "events",
        }
    }
}

/// What happened at one door.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DoorTally {
    /// Bodies, readable or not.
    pub batches: u64,
    pub bytes: u64,
    /// Rows.
    pub received: u64,
    pub stored: u64,
    pub duplicate: u64,
    pub quarantined: u64,
    /// Rows refused, by reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// Rows whose sender left before the answer: the log says what became of them.
    pub abandoned: u64,
    pub in_flight: u64,
    /// Bodies refused, by reason.
    pub refused_batches: BTreeMap<&'static str, u64>,
}

impl DoorTally {
    /// Rows whose sender was told that they are safe.
    pub fn answered(&self) -> u64 {
        self.stored + self.duplicate + self.quarantined
    }

    pub fn refused_rows(&self) -> u64 {
        self.refused.values().sum()
    }

    pub fn is_balanced(&self) -> bool {
        self.received == self.answered() + self.refused_rows() + self.abandoned + self.in_flight
    }
}

/// All doors at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TallySnapshot {
    pub since: Timestamp,
    pub doors: BTreeMap<(TenantId, Door), DoorTally>,
}

impl TallySnapshot {
    /// Of all tenants.
    pub fn total(&self, door: Door) -> DoorTally {
        let mut total = DoorTally::default();
        for (_, tally) in self.doors.iter().filter(|((_, each), _)| *each == door) {
            total.add(tally);
        }
        total
    }

    pub fn of<'a>(&'a self, tenant: &'a TenantId) -> impl Iterator<Item = (Door, &'a DoorTally)> {
        self.doors.iter().filter(move |((each, _), _)| each == tenant).map(|((_, door), tally)| (*door, tally))
    }
}

impl DoorTally {
    fn add(&mut self, other: &Self) {
        self.batches += other.batches;
        self.bytes += other.bytes;
        self.received += other.received;
        self.stored += other.stored;
        self.duplicate += other.duplicate;
        self.quarantined += other.quarantined;
        self.abandoned += other.abandoned;
        self.in_flight += other.in_flight;
        other.refused.iter().for_each(|(reason, count)| *self.refused.entry(reason).or_default() += count);
        let batches = other.refused_batches.iter();
        batches.for_each(|(reason, count)| *self.refused_batches.entry(reason).or_default() += count);
    }
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Tally {
    state: Arc<Mutex<TallySnapshot>>,
}

impl Tally {
    pub fn new() -> Self {
        let nothing = TallySnapshot { since: Timestamp::now(), doors: BTreeMap::new() };
        Self { state: Arc::new(Mutex::new(nothing)) }
    }

    /// A body came, of any kind.
    pub fn batch(&self, tenant: &TenantId, door: Door, bytes: usize) {
        self.count(tenant, door, |tally| {
            tally.batches += 1;
            tally.bytes += bytes as u64;
        });
    }

    pub fn batch_refused(&self, tenant: &TenantId, door: Door, reason: &'static str) {
        self.count(tenant, door, |tally| *tally.refused_batches.entry(reason).or_default() += 1);
    }

    /// Rows came; what becomes of them is told to what this returns.
    pub fn arrived(&self, tenant: &TenantId, door: Door, rows: u64) -> InFlight {
        self.count(tenant, door, |tally| {
            tally.received += rows;
            tally.in_flight += rows;
        });
        InFlight { tally: self.clone(), tenant: tenant.clone(), door, rows }
    }

    pub fn snapshot(&self) -> TallySnapshot {
        self.state.lock().clone()
    }

    fn count(&self, tenant: &TenantId, door: Door, change: impl FnOnce(&mut DoorTally)) {
        change(self.state.lock().doors.entry((tenant.clone(), door)).or_default());
    }
}

/// Rows of which it is not yet known what becomes of them; those left when it is dropped were abandoned.
pub(crate) struct InFlight {
    tally: Tally,
    tenant: TenantId,
    door: Door,
    rows: u64,
}

impl InFlight {
    pub fn answered(&mut self, stored: u64, duplicate: u64, quarantined: u64) {
        self.settle(stored + duplicate + quarantined, |tally| {
            tally.stored += stored;
            tally.duplicate += duplicate;
            tally.quarantined += quarantined;
        });
    }

    pub fn refused(&mut self, reason: &'static str, rows: u64) {
        if rows > 0 {
            self.settle(rows, |tally| *tally.refused.entry(reason).or_default() += rows);
        }
    }

    /// All that is left.
    pub fn all_refused(mut self, reason: &'static str) {
        self.refused(reason, self.rows);
    }

    fn settle(&mut self, rows: u64, change: impl FnOnce(&mut DoorTally)) {
        debug_assert!(rows <= self.rows, "no more than came");
        let rows = rows.min(self.rows);
        self.rows -= rows;
        self.tally.count(&self.tenant, self.door, |tally| {
            change(tally);
            tally.in_flight -= rows;
        });
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let rows = self.rows;
        if rows > 0 {
            self.settle(rows, |tally| tally.abandoned += rows);
        }
    }
}
