//! The pass from bytes to the write-ahead log: decode → validate → commit, one type for each stage, so that unchecked data
//! cannot be stored. Privacy, correction and enrichment will stand between validate and commit.
//!
//! Two doors lead in: [`Ingest::accept_frame`] for agents' batches and [`Ingest::accept_events`] for JSON events. Every
//! event ends in exactly one of stored, duplicate, refused; refusals are counted here, by reason. Knows no HTTP.

mod commit;
mod decode;
mod door;
mod enrich;
mod events;
mod refusal;
mod tally;
mod validate;

pub use door::{FrameReceipt, Ingest};
pub use enrich::Enricher;
pub use events::{EventReceipt, EventStatus};
pub use refusal::Refusal;
pub use tally::TallySnapshot;
