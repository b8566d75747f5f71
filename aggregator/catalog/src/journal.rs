//! The file of changes, `catalog`, a journal: each change is JSON, {"atUs", "tenant", "settings"}, the whole settings of
//! one tenant.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ridealong_model::tenant::TenantId;
use ridealong_wal::disk::Disk;
use ridealong_wal::journal::{Change, Format, Journal as File, JournalError};
use serde::{Deserialize, Serialize};

use crate::settings::TenantSettings;

const FORMAT: Format = Format {
    name: "catalog",
    header: *b"RLCA\x01\0\0\0",
    record_magic: *b"RLop",
    // A hundred segments of the largest size, as JSON.
    change_bytes_max: 1 << 20,
    file_bytes_max: 4 << 20,
};

/// One change: all that a tenant has set from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Op {
    pub at_us: i64,
    pub tenant: String,
    pub settings: TenantSettings,
}

pub(crate) struct Journal(File);

pub type OpenError = JournalError;

type State = BTreeMap<TenantId, TenantSettings>;

impl Journal {
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, State), OpenError> {
        let (file, state) = File::open(disk, FORMAT, state)?;
        Ok((Self(file), state))
    }

    /// Makes a change durable. `all` is what is in force with it.
    pub fn append<'a>(
        &mut self,
        op: &Op,
        all: impl Iterator<Item = (&'a TenantId, &'a TenantSettings)>,
    ) -> io::Result<()> {
        let anew = |(tenant, settings): (&TenantId, &TenantSettings)| {
            let op = Op { at_us: op.at_us, tenant: tenant.to_string(), settings: settings.clone() };
            Ok(serde_json::to_vec(&op)?)
        };
        self.0.append(&serde_json::to_vec(op)?, || all.map(anew).collect())
    }
}

/// What is in force.
fn state(changes: &[Change<'_>]) -> Result<State, OpenError> {
    let mut state = State::new();
    for Change { offset, bytes } in changes {
        let op: Op = serde_json::from_slice(bytes).map_err(|_| FORMAT.damaged(*offset, "a change cannot be read"))?;
        let tenant = TenantId::parse(&op.tenant).map_err(|_| FORMAT.damaged(*offset, "a change has no tenant"))?;
        state.insert(tenant, op.settings);
    }
    Ok(state)
}

#[cfg(test)]
mod tests;
