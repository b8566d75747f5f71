//! What agent and aggregator share. No runtime, no arrow, no HTTP.
//!
//! From the outside in: a [`frame`] travels over the wire and carries [`chunk`]s; a chunk is a numbered, checksummed
//! [`block`]; a block holds rows of one [`table`] column by column. [`rows`] has the typed rows, [`event`] the JSON shape
//! of a tracked event, [`sketch`] the latency sketch, [`distinct`] the one that counts different values, [`settings`] the one way in which both programs are configured.

pub mod ids;
pub mod limits;
pub mod time;
pub mod varint;

pub mod block;
pub mod chunk;
pub mod frame;
pub mod table;

pub mod distinct;
pub mod event;
pub mod problem;
pub mod rows;
pub mod sketch;

pub mod settings;
