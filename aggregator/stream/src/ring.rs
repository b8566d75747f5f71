//! The newest events of one channel, for viewers to read at their own pace. Bounded by count and bytes: a viewer that
//! is slower falls off its end and learns how many it has missed. Nothing here waits for a viewer.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::mark::Mark;
use crate::shown::ShownEvent;

pub(crate) struct Ring {
    events: VecDeque<Arc<ShownEvent>>,
    bytes: usize,
    events_max: usize,
    /// How many events were here before the first that is still here.
    first: u64,
    /// Every event after this mark is here, or came and went since.
    covers_after: Mark,
    /// Nothing up to this mark is taken again.
    tail: Mark,
    /// How often an unknown number of events was lost before they came here.
    gaps: u64,
}

/// Where a viewer is: how many events of the channel are behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    next: u64,
    gaps: u64,
}

/// What a viewer has not seen yet.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Events that are gone.
    pub missed: u64,
    /// Whether others are gone that nobody has counted.
    pub missed_unknown: bool,
    pub events: Vec<Arc<ShownEvent>>,
}

impl Cursor {
    /// Before the last events that were taken.
    pub fn back_by(self, events: usize) -> Self {
        Self { next: self.next - events as u64, ..self }
    }
}

impl Ring {
    /// Takes events after `after`.
    pub fn new(events_max: usize, after: Mark) -> Self {
        Self { events: VecDeque::new(), bytes: 0, events_max, first: 0, covers_after: after, tail: after, gaps: 0 }
    }

    /// Events in the order of the log; what was here before is left out. Keeps the newest whatever its size.
    pub fn push(&mut self, events: impl Iterator<Item = Arc<ShownEvent>>, bytes_max: usize) {
        for event in events {
            if event.mark <= self.tail {
                continue;
            }
            self.tail = event.mark;
            self.bytes += event.json.len();
            self.events.push_back(event);
            while self.events.len() > 1 && (self.events.len() > self.events_max || self.bytes > bytes_max) {
                self.drop_first();
            }
        }
    }

    fn drop_first(&mut self) {
        if let Some(gone) = self.events.pop_front() {
            self.bytes -= gone.json.len();
            self.covers_after = gone.mark;
            self.first += 1;
        }
    }

    /// Events up to `after` cannot be read any more, and nobody knows how many would have been among these here.
    pub fn lose(&mut self, after: Mark) {
        self.gaps += 1;
        self.tail = self.tail.max(after);
    }

    /// Where one begins who wants what comes from now on.
    pub fn end(&self) -> Cursor {
        Cursor { next: self.first + self.events.len() as u64, gaps: self.gaps }
    }

    pub fn tail(&self) -> Mark {
        self.tail
    }

    /// Where one goes on who has seen everything up to `mark`; None when some of what follows is gone.
    pub fn after(&self, mark: Mark) -> Option<Cursor> {
        let behind = self.events.partition_point(|event| event.mark <= mark) as u64;
        (mark >= self.covers_after).then_some(Cursor { next: self.first + behind, gaps: self.gaps })
    }

    /// At most `count` events from the cursor on, until they have `bytes`; the cursor moves behind them.
    pub fn take(&self, cursor: &mut Cursor, count: usize, bytes: usize) -> Taken {
        let missed = self.first.saturating_sub(cursor.next);
        let from = (cursor.next + missed - self.first) as usize;
        let mut taken = 0;
        let within = |event: &&Arc<ShownEvent>| {
            let is_within = taken < bytes;
            taken += event.json.len();
            is_within
        };
        let events: Vec<_> = self.events.iter().skip(from).take(count).take_while(within).cloned().collect();
        let missed_unknown = self.gaps != cursor.gaps;
        *cursor = Cursor { next: self.first + (from + events.len()) as u64, gaps: self.gaps };
        Taken { missed, missed_unknown, events }
    }
}

#[cfg(test)]
mod tests;
