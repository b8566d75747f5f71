//! The write-ahead log: the truth of the aggregator. Acknowledged means fsynced here, and here alone it is decided what is
//! a duplicate.
//!
//! A map, from the outside in: [`Wal`] is the handle, [`Follower`] reads what is durable. Behind the handle one thread,
//! the `writer`, takes groups from the `queue`, lets the `ledger` decide which rows are duplicates, appends `record`s to
//! a `segment`, syncs once for all of them and answers. `recovery` rebuilds the ledger from the `checkpoint`, which the
//! `keeper` writes now and then, and the records after it. Everything touches storage through [`disk`] only, so that tests can take the power away.
//!
//! Files in the folder: `{first position, 20 digits}.log` (segments), `checkpoint` (the ledger up to a position),
//! `ids-{first}-{count}.run` (the event ids that the checkpoint refers to), `follower-{name}` (a follower's state), `*.new` (unfinished, deleted at start).
//!
//! Beside the log, [`journal`] is a small file of changes for what others have to keep.
//!
//! Not here: what a payload means, who may write, and a lock on the folder; the caller holds that.

pub mod disk;
pub mod journal;

mod entry;
mod options;
mod shared;
mod wal;

mod follower;
mod registered;

mod queue;
mod writer;

mod books;
mod ledger;

mod checkpoint;
mod keeper;
mod recovery;
mod release;

mod fields;
mod record;
mod segment;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod testing;

pub use books::{
    Books, Conflict, Conflicts, FollowerBooks, IdsBooks, ProducerBooks, ProducersForgotten, RowCounts, TableBooks,
    TenantBooks,
};
pub use entry::{Appended, Entry, LogId, NewEntry, Numbers, Position};
pub use follower::{Follower, ReadError, Wake};
pub use options::{Clock, WalOptions};
pub use queue::AppendError;
pub use record::{PAYLOAD_BYTES_MAX, ROWS_MAX, TENANT_BYTES_MAX};
pub use recovery::{OpenError, RecoveryReport, Salvaged, SalvagedPart};
pub use registered::{FollowerBudget, RegisterError, Registered, STATE_BYTES_MAX, Saved};
pub use release::ReleaseError;
pub use wal::Wal;
