//! The pass from bytes to the write-ahead log: decode → validate → correct → enrich → commit, one type for each stage, so
//! that unchecked data cannot be stored.
//!
//! Two doors lead in: [`Ingest::accept_frame`] for agents' batches and [`Ingest::accept_events`] for JSON events. Every
//! event ends in exactly one of stored, duplicate, quarantined, refused, and its sender is told which; the `tally` counts each
//! at the door, by reason, and `ledger` writes door and log into one book. What is set aside ([`QuarantineRow`]) is corrected
//! and let in again through [`Ingest::replay`]; what is stored is corrected with the help of [`amended`]. Knows no HTTP.

mod admission;
mod amend;
mod commit;
mod correct;
mod decode;
mod door;
mod enrich;
mod events;
mod ledger;
mod quarantine;
mod refusal;
mod rehearsal;
mod replay;
mod row_json;
mod tally;
mod validate;

pub use admission::Admission;
pub use amend::{AmendError, amended};
pub use door::{FrameReceipt, Ingest};
pub use enrich::Enricher;
pub use events::{EventReceipt, EventStatus};
pub use quarantine::{PAYLOAD_BYTES_MAX, QuarantineRow, Standing};
pub use refusal::Refusal;
pub use replay::{ReplayReceipt, Replayed};
pub use tally::{Door, DoorTally, TallySnapshot};
