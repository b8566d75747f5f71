//! Metrics over time: counts, rates, percentiles and different values by bucket and dimension, without SQL.
//!
//! In reading order: a [`question`] is checked and becomes parts, one for each table. [`Metrics`] answers it from
//! [`cells`]: of rows in memory as far as they are folded ([`hot`]), of files from their rollups ([`shelf`]). A range is
//! [`cut`] into whole buckets, and what is left at its ends, like what no rollup covers, is [read](reader) row by row through
//! the same kernel, of which [`edges`] keeps what is asked for again. [`answer`] joins the parts; [`cache`] keeps what may be given again.
//!
//! A rollup is of something that never changes: one file, with the numbers of the mutations that it has not seen. So
//! deletions, corrections, late rows, compaction, archive and restore need no rules here: another file is another rollup.
//!
//! Not here: HTTP, SQL, and who may ask what.

mod answer;
mod cache;
mod cells;
mod cut;
mod edges;
mod engine;
mod hot;
mod question;
mod reader;
mod shelf;

pub use engine::{Metrics, MetricsOptions};
