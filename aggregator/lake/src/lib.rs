//! Where rows live: in memory as soon as they are acknowledged, then in Delta tables.
//!
//! In reading order: [`schema`] says what a table's rows look like as Arrow, stored and public; [`convert`] turns log
//! entries into them, [`visits`] derives from events what sessions and users are made of. A [`follower`](mod@follow) reads
//! the write-ahead log into [`hot`] rows; [`flush`] moves them into a
//! [`delta`] table in one commit: data files are [written](write) as [`encoding`] says, at a [`place`], in a folder by way
//! of a [`store`] that syncs what it publishes. [`Lake`] is the handle;
//! [`Snapshot`] is what a query pins: hot rows and Delta versions that belong together, taken in one step.
//!
//! [`jobs`] keep the tables in order: [`compact`] makes few large files of many small ones, old days go to the [`archive`]
//! or [for good](retain), and what no table names any more is [deleted](vacuum).
//!
//! Not here: SQL and who may ask what.

pub mod schema;

mod archive;
mod compact;
mod convert;
mod delta;
mod encoding;
mod flush;
mod follow;
mod hot;
mod jobs;
mod lake;
mod mutations;
mod options;
mod place;
mod places;
mod retain;
mod scan;
mod snapshot;
mod store;
mod stored_filter;
mod torn;
mod vacuum;
mod visits;
mod write;

#[cfg(test)]
mod entries;

pub use delta::DeltaError;
pub use lake::{Lake, OpenError};
pub use mutations::Mutation;
pub use options::LakeOptions;
pub use place::{BucketError, Place};
pub use places::PlaceError;
pub use scan::{Wanted, as_views};
pub use snapshot::{ColdFile, ColdTable, HotMark, Newer, Snapshot, TableSnapshot};
pub use stored_filter::on_stored;
pub use visits::PAUSE_US;
