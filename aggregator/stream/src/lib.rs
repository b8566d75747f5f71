//! Live numbers and events of each tenant, straight from the log, for any number of viewers at the cost of one.
//!
//! [`Live`] is the handle. One thread follows the log (`follow`) while anybody looks (`interest`): it counts each entry into the tenant's `window` of the
//! last minute, from which `numbers` answers every [`Metric`], and gives its events to the `channels` that somebody
//! listens to. A [`Viewer`] reads a channel's `ring` at its own pace; what it missed while it was away it reads again
//! from the log (`replay`). Only what is durable is shown. What was deleted after it came may still be.
//!
//! No engine, no HTTP.

mod live;
mod viewer;

mod follow;
mod interest;

mod metric;
mod numbers;
mod window;

mod channels;
mod filter;
mod mark;
mod replay;
mod ring;
mod shown;

mod columns;

#[cfg(test)]
mod testing;

pub use channels::RingLimits;
pub use filter::EventFilter;
pub use live::{Clock, Live, LiveOptions, LiveStatus, SubscribeError, Wanted, WantedEvents};
pub use mark::{EventMark, NoMark};
pub use metric::{ListError, Metric};
pub use numbers::NumbersRequest;
pub use shown::ShownEvent;
pub use viewer::{Said, Viewer};
pub use window::{Scope, WINDOW_SECONDS};
