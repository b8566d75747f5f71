//! One viewer: what it is to be told next. Holds its place among the viewers until it is dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use ridealong_wal::Position;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::channels::Listening;
use crate::live::Shared;
use crate::numbers::NumbersRequest;
use crate::replay::Replay;
use crate::ring::{Cursor, Taken};
use crate::shown::ShownEvent;

/// Events told at once.
const EVENTS_AT_ONCE: usize = 256;
/// Of events told at once, as far as it is more than one.
const BYTES_AT_ONCE: usize = 128 << 10;

/// What a viewer is told.
#[derive(Debug)]
pub enum Said {
    /// A message of the type `metrics`.
    Numbers(Bytes),
    Events(Vec<Arc<ShownEvent>>),
    /// A message of the type `missed`: some events are gone before this viewer took them.
    Missed(Bytes),
    /// The program stops.
    Over,
}

pub struct Viewer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tenant: Arc<str>,
    pub(crate) numbers: Option<Numbers>,
    pub(crate) events: Option<Events>,
    pub(crate) _place: OwnedSemaphorePermit,
}

/// A viewer's way through the events.
pub(crate) struct Events {
    pub listening: Listening,
    pub more: watch::Receiver<u64>,
    pub cursor: Cursor,
    /// What comes before the cursor and is still to be read from the log.
    pub replay: Option<Replay>,
    /// To be said before anything else: an unknown number was missed.
    pub missed_unknown: bool,
}

/// When which numbers are due.
pub(crate) struct Numbers {
    request: NumbersRequest,
    every: Interval,
    /// The first ones wait until so much of the log was read, or for so long.
    first: Option<(Position, Instant)>,
}

/// At once, then each interval.
pub(crate) fn every(request: NumbersRequest, first: (Position, Instant)) -> Numbers {
    let mut every = interval(request.interval);
    // A viewer that was slow gets the newest numbers, not all that it missed.
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    Numbers { request, every, first: Some(first) }
}

impl Numbers {
    async fn next(&mut self, shared: &Shared, tenant: &Arc<str>) -> Said {
        let at_least = match self.first {
            Some((durable, deadline)) => {
                shared.has_read(durable, deadline).await;
                durable
            }
            None => Position::NONE,
        };
        self.every.tick().await;
        self.first = None;
        Said::Numbers(shared.say(tenant, &self.request, at_least))
    }
}

impl Viewer {
    /// Resolves when viewers are sent away: for who is not waiting for what is next, but for somebody to take the last.
    pub fn dismissal(&self) -> impl Future<Output = ()> + Send + use<> {
        self.shared.dismissed.clone().cancelled_owned()
    }

    /// Waits for what is next. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Said {
        let Self { shared, tenant, numbers, events, .. } = self;
        let due = async {
            match numbers {
                Some(numbers) => numbers.next(shared, tenant).await,
                None => std::future::pending().await,
            }
        };
        let came = async {
            match events {
                Some(events) => events.next(shared).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.dismissed.cancelled() => Said::Over,
            said = due => said,
            said = came => said,
        }
    }
}

impl Events {
    async fn next(&mut self, shared: &Shared) -> Said {
        loop {
            if std::mem::take(&mut self.missed_unknown) {
                return missed(shared, None);
            }
            if let Some(replay) = &mut self.replay {
                match replay.next().await {
                    None => self.replay = None,
                    Some(step) => {
                        self.missed_unknown = step.missed;
                        if !step.events.is_empty() {
                            shared.counts.events_shown.fetch_add(step.events.len() as u64, Ordering::Relaxed);
                            return Said::Events(step.events);
                        }
                    }
                }
                continue;
            }
            self.more.mark_unchanged();
            if let Some(said) = self.take(shared) {
                return said;
            }
            // The sender lives as long as the channel that is listened to.
            let _ = self.more.changed().await;
        }
    }

    fn take(&mut self, shared: &Shared) -> Option<Said> {
        let before = self.cursor;
        let ring = self.listening.channel.ring.lock();
        let Taken { missed: gone, missed_unknown, events } = ring.take(&mut self.cursor, EVENTS_AT_ONCE, BYTES_AT_ONCE);
        if gone > 0 || missed_unknown {
            // Said first; the events are taken in the next turn.
            self.cursor = self.cursor.back_by(events.len());
        }
        drop(ring);
        if gone > 0 {
            self.missed_unknown = missed_unknown;
            return Some(missed(shared, Some(gone)));
        }
        if missed_unknown {
            return Some(missed(shared, None));
        }
        if events.is_empty() {
            debug_assert_eq!(before, self.cursor, "nothing was taken");
            return None;
        }
        shared.counts.events_shown.fetch_add(events.len() as u64, Ordering::Relaxed);
        Some(Said::Events(events))
    }
}

/// `count` is null when nobody knows.
fn missed(shared: &Shared, count: Option<u64>) -> Said {
    match count {
        Some(count) => shared.counts.events_missed.fetch_add(count, Ordering::Relaxed),
        None => shared.counts.gaps.fetch_add(1, Ordering::Relaxed),
    };
    Said::Missed(Bytes::from(serde_json::json!({ "type": "missed", "count": count }).to_string()))
}
