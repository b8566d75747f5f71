//! The handle: settings in memory for everyone, changes through the journal, one at a time.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_model::location::{Location, Locations};
use ridealong_model::retention::{Retention, RetentionRules};
use ridealong_model::segment::{self, SegmentRules};
use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::Disk;
use thiserror::Error;

use crate::journal::{Journal, Op, OpenError};
use crate::retention;
use crate::settings::{Corrections, Segment, TenantSettings};

/// Cheap to clone; reading takes no lock.
#[derive(Clone)]
pub struct Catalog {
    inner: Arc<Inner>,
}

struct Inner {
    tenants: ArcSwap<BTreeMap<TenantId, Arc<Kept>>>,
    journal: Mutex<Journal>,
}

/// As read: what is asked often is ready.
#[derive(Default)]
struct Kept {
    settings: Arc<TenantSettings>,
    segments: Arc<[segment::Segment]>,
    retention: BTreeMap<Table, Retention>,
}

#[derive(Debug, Error)]
pub enum ChangeError {
    /// The caller's fault; nothing changed.
    #[error("{0}")]
    Invalid(String),
    /// Ours. What was set is not in force; after a restart it may be.
    #[error("the change could not be made durable")]
    NotDurable(#[source] std::io::Error),
}

impl Catalog {
    /// Reads what was set, or begins anew. Blocking. The caller sees to it that nobody else has the folder.
    pub fn open(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let (journal, state) = Journal::open(disk)?;
        let tenants = state.into_iter().map(|(tenant, settings)| (tenant, Arc::new(Kept::of(settings)))).collect();
        Ok(Self { inner: Arc::new(Inner { tenants: ArcSwap::from_pointee(tenants), journal: Mutex::new(journal) }) })
    }

    pub fn settings(&self, tenant: &TenantId) -> Arc<TenantSettings> {
        self.inner.tenants.load().get(tenant).map(|kept| kept.settings.clone()).unwrap_or_default()
    }

    pub fn corrections(&self, tenant: &TenantId) -> Corrections {
        self.inner.tenants.load().get(tenant).map(|kept| kept.settings.corrections).unwrap_or_default()
    }

    /// Changes what a tenant has set: `change` gets what is in force and says what is wrong with what it makes of it. In
    /// force, and returned, when it is durable. Blocking (syncs a file).
    pub fn change(
        &self,
        tenant: &TenantId,
        change: impl FnOnce(&mut TenantSettings) -> Result<(), String>,
    ) -> Result<Arc<TenantSettings>, ChangeError> {
        let mut journal = self.inner.journal.lock();
        let mut settings = TenantSettings::clone(&self.settings(tenant));
        change(&mut settings).map_err(ChangeError::Invalid)?;
        if let Some(fault) = settings.fault() {
            return Err(ChangeError::Invalid(fault));
        }
        let mut tenants = BTreeMap::clone(&self.inner.tenants.load());
        let kept = Arc::new(Kept::of(settings));
        tenants.insert(tenant.clone(), kept.clone());
        let op =
            Op { at_us: Timestamp::now().micros(), tenant: tenant.to_string(), settings: (*kept.settings).clone() };
        let all = tenants.iter().map(|(tenant, kept)| (tenant, &*kept.settings));
        journal.append(&op, all).map_err(ChangeError::NotDurable)?;
        self.inner.tenants.store(Arc::new(tenants));
        Ok(kept.settings.clone())
    }
}

impl SegmentRules for Catalog {
    fn segments(&self, tenant: &TenantId) -> Arc<[segment::Segment]> {
        self.inner.tenants.load().get(tenant).map(|kept| kept.segments.clone()).unwrap_or_default()
    }
}

impl Locations for Catalog {
    fn location(&self, tenant: &TenantId) -> Option<Location> {
        Location::parse(self.settings(tenant).location.as_deref()?).ok()
    }

    fn located(&self) -> Vec<TenantId> {
        let tenants = self.inner.tenants.load();
        let located = tenants.iter().filter(|(_, kept)| kept.settings.location.is_some());
        located.map(|(tenant, _)| tenant.clone()).collect()
    }
}

impl RetentionRules for Catalog {
    /// What is made of events grows old with them.
    fn retention(&self, tenant: &str, table: Table) -> Retention {
        let table = if table == Table::Visits { Table::Events } else { table };
        let tenants = self.inner.tenants.load();
        let kept = TenantId::parse(tenant).ok().and_then(|tenant| tenants.get(&tenant));
        kept.and_then(|kept| kept.retention.get(&table).copied()).unwrap_or_default()
    }
}

impl fmt::Debug for Catalog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Catalog").finish_non_exhaustive()
    }
}

impl Kept {
    fn of(settings: TenantSettings) -> Self {
        let rule = |Segment { name, condition }: &Segment| segment::Segment {
            name: name.clone(),
            condition: condition.clone(),
        };
        let retention = retention::in_force(&settings.retention);
        Self { segments: settings.segments.iter().map(rule).collect(), retention, settings: Arc::new(settings) }
    }
}

#[cfg(test)]
mod tests;
