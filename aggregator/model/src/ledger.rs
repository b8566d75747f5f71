//! The port to the books, as rows: what `system.ledger` shows.

use crate::tenant::TenantId;

/// Says what became of every row of a tenant.
pub trait LedgerSource: Send + Sync {
    /// The tenant's books with the log's part as of a position of it; None when that is too long ago.
    fn ledger(&self, tenant: &TenantId, position: u64) -> Option<Vec<LedgerRow>>;
}

/// Books of nobody.
pub struct NoLedger;

impl LedgerSource for NoLedger {
    fn ledger(&self, _tenant: &TenantId, _position: u64) -> Option<Vec<LedgerRow>> {
        Some(Vec::new())
    }
}

/// One count. A row of events, requests and so on is counted once in each stage that it passes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerRow {
    pub stage: Stage,
    /// By which way it came; None for what has no door, such as rows that were set aside.
    pub door: Option<&'static str>,
    /// None where nobody numbers the rows, and for the sum of producers that were forgotten.
    pub producer: Option<String>,
    pub table: Option<&'static str>,
    pub outcome: &'static str,
    /// Of a duplicate and of a refusal.
    pub reason: Option<&'static str>,
    pub unit: Unit,
    pub count: u64,
    /// When counting began, for counts that begin anew with the process; None: with the log.
    pub since_us: Option<i64>,
}

/// Who counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// What the producers said: how many numbers they have handed out.
    Producer,
    /// What came in: received = answered + refused + abandoned + in flight.
    Door,
    /// What the log decided: announced = stored + duplicate by `event_id` + quarantined + missing + given up.
    Log,
    /// What queries see, and what is gone for its age: hot + committed + dropped = the log's stored.
    Lake,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Rows,
    /// Bodies that could not be read, so that nobody knows how many rows they held.
    Batches,
}

impl Stage {
    pub fn name(self) -> &'static str {
        match self {
            Stage::Producer => "producer",
            Stage::Door => "door",
            Stage::Log => "log",
            Stage::Lake => "lake",
        }
    }
}

impl Unit {
    pub fn name(self) -> &'static str {
        match self {
            Unit::Rows => "rows",
            Unit::Batches => "batches",
        }
    }
}
