//! The sidecar.
//!
//! A request's way: the [`proxy`] times it and hands an [`exchange`] to the [`recorder`], which gives it a [`route`], asks
//! [`sampling`] whether it becomes a row and [`privacy`] what the row may hold, and offers it to the [`spool`]; the [`shipper`] delivers what the spool holds. Beside that way: [`host`] samples the
//! machine, [`local_api`] takes events and answers for the agent, [`books`] count. [`config`] is what an operator writes, [`live`] what of it changes meanwhile,
//! [`run`] starts and stops it all.
//!
//! Arrows point one way: `proxy → recorder → spool → shipper`. Nothing waits for what lies further along.

pub mod exchange;
pub mod proxy;

pub mod recorder;

pub mod pattern;
pub mod privacy;
pub mod route;
pub mod sampling;

pub mod spool;
pub mod summary;

pub mod shipper;

pub mod host;
pub mod local_api;

pub mod background;
pub mod books;
pub mod config;
pub mod live;
pub mod overhead;
pub mod run;
