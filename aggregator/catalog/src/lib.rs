//! What each tenant has set, and every change of it, durable before it is in force. Knows no HTTP and no events.
//!
//! [`Catalog`] is the handle; [`TenantSettings`] is what it keeps; the `journal` is the file behind it.

mod catalog;
mod journal;
mod retention;
mod settings;

pub use catalog::{Catalog, ChangeError};
pub use journal::OpenError;
pub use retention::{Retentions, TableRetention};
pub use settings::{Corrections, Segment, TenantSettings};
