//! What keeps one query from harming the program or other queries.
//!
//! A query works by a [`Permit`]: whoever works for it looks at that, so revoking it ends the work. [`guarded`] puts the
//! look before every batch of every step and into the conditions of joins; [`planning`] between the rules of the planner;
//! [`texts`] into functions that make much out of little. A [`pool`] bounds the query's memory, and its share while others
//! run. [`shape`] refuses statements whose plans would be too large before there is one. The [`watchdog`], on a thread of
//! its own, finds what goes on all the same.

mod guarded;
mod permit;
mod planning;
mod pool;
mod shape;
mod texts;
mod watchdog;

pub(crate) use guarded::{guarded, slice_bytes, sorted_on_disk};
pub(crate) use permit::{Permit, Why};
pub(crate) use planning::interrupted;
pub(crate) use pool::{QueryPool, SharedPool};
pub(crate) use shape::{check_plan, check_statement};
pub(crate) use texts::bounded;
pub(crate) use watchdog::{Threads, Watchdog};

#[cfg(test)]
mod tests;
