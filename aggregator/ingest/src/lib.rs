//! The pass from bytes to the write-ahead log: decode → validate → commit, one type for each stage, so that unchecked data
//! cannot be stored. Privacy, correction and enrichment will stand between validate and commit.
//!
//! Two doors lead in: [`Ingest::accept_frame`] for agents' batches and [`Ingest::accept_events`] for JSON events. Every
//! event ends in exactly one of stored, duplicate, quarantined, refused; the `tally` counts each at the door, by reason, and
//! `ledger` writes door and log into one book. Knows no HTTP.

mod admission;
mod commit;
mod decode;
mod door;
mod events;
mod ledger;
mod refusal;
mod tally;
mod validate;

pub use admission::Admission;
pub use door::{FrameReceipt, Ingest};
pub use events::{EventReceipt, EventStatus};
pub use refusal::Refusal;
pub use tally::{Door, DoorTally, TallySnapshot};
