//! The words that the parts of the aggregator share. No engine, no HTTP, no disk.
//!
//! [`tenant`] says whose data it is; [`budget`] what memory may be taken; [`query`] and [`lake`] are the two ports through
//! which the API reaches what only the engine packages know; [`ledger`] is the one through which SQL reaches the books;
//! [`location`] is where tables lie; [`segment`] is how rules about users reach them, [`retention`] how rules about old rows
//! do; [`jobs`] is the port to what keeps the tables in order; [`mutation`] the one by which stored rows are deleted or
//! corrected, [`export`] the one by which many of them leave; [`metrics`] is the port to numbers over time.

pub mod budget;
pub mod export;
pub mod jobs;
pub mod lake;
pub mod ledger;
pub mod location;
pub mod metrics;
pub mod mutation;
pub mod query;
pub mod retention;
pub mod segment;
pub mod tenant;
