//! Reads again from the log what a viewer missed while it was away, as long as the log has it. In small steps, each on a
//! thread for what blocks, the next one when the viewer has taken the last.

use std::sync::Arc;

use ridealong_common::block::Block;
use ridealong_common::table::Table;
use ridealong_wal::{Follower, ReadError, Wal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::channels::Written;
use crate::filter::EventFilter;
use crate::mark::Mark;
use crate::shown::ShownEvent;

/// Of the log, in one step: bounds what one viewer keeps in memory.
const STEP_BYTES: usize = 64 << 10;
/// Entries without a wanted event are read on in the same step, up to so many.
const STEP_READS_MAX: usize = 64;

/// What is to be read.
pub(crate) struct Section {
    pub wal: Wal,
    pub tenant: Arc<str>,
    pub filter: EventFilter,
    /// Not again.
    pub after: Mark,
    /// The last one.
    pub until: Mark,
}

pub(crate) struct Replay {
    state: State,
    /// How many read at one time.
    turns: Arc<Semaphore>,
}

enum State {
    Waiting(Box<Reader>),
    Reading(JoinHandle<(Box<Reader>, Step)>),
    Over,
}

struct Reader {
    section: Section,
    follower: Follower,
    turn: Option<OwnedSemaphorePermit>,
}

#[derive(Debug, Default)]
pub(crate) struct Step {
    pub events: Vec<Arc<ShownEvent>>,
    /// Whether some are gone, nobody knows how many.
    pub missed: bool,
    is_last: bool,
}

impl Replay {
    /// None when there is nothing between the marks.
    pub fn new(section: Section, turns: Arc<Semaphore>) -> Option<Self> {
        // The entry of the mark itself may hold more rows.
        let follower = section.wal.follow(section.after.position.before());
        let is_some = section.after < section.until;
        let reader = || State::Waiting(Box::new(Reader { section, follower, turn: None }));
        is_some.then(|| Self { state: reader(), turns })
    }

    /// The next events; None at the end. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Step> {
        loop {
            match &mut self.state {
                State::Over => return None,
                State::Waiting(reader) => {
                    if reader.turn.is_none() {
                        // Never closed.
                        reader.turn = Arc::clone(&self.turns).acquire_owned().await.ok();
                    }
                    let State::Waiting(mut reader) = std::mem::replace(&mut self.state, State::Over) else { continue };
                    self.state = State::Reading(tokio::task::spawn_blocking(move || {
                        let step = reader.step();
                        (reader, step)
                    }));
                }
                State::Reading(reading) => {
                    let read = reading.await;
                    self.state = State::Over;
                    let Ok((reader, step)) = read else {
                        tracing::error!("reading the log again for a viewer panicked");
                        return Some(Step { missed: true, ..Step::default() });
                    };
                    if !step.is_last {
                        self.state = State::Waiting(reader);
                    }
                    return Some(step);
                }
            }
        }
    }
}

impl Reader {
    fn step(&mut self) -> Step {
        let mut step = Step::default();
        for _ in 0..STEP_READS_MAX {
            if self.follower.position() >= self.section.until.position {
                step.is_last = true;
                return step;
            }
            match self.follower.next_batch(STEP_BYTES) {
                // Everything up to `until` is durable, so something was to be read: records of repeats only.
                Ok(entries) if entries.is_empty() => step.is_last = true,
                Ok(entries) => entries.iter().for_each(|entry| self.section.take(entry, &mut step)),
                Err(ReadError::Released { oldest }) => {
                    self.follower = self.section.wal.follow(oldest.before());
                    step.missed = true;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "log not read again for a viewer");
                    (step.missed, step.is_last) = (true, true);
                }
            }
            if step.is_last || step.missed || !step.events.is_empty() {
                return step;
            }
        }
        step
    }
}

impl Section {
    fn take(&self, entry: &ridealong_wal::Entry, step: &mut Step) {
        if entry.table != Table::Events || entry.tenant != self.tenant || entry.position > self.until.position {
            return;
        }
        let Ok(block) = Block::decode(&entry.payload).and_then(|block| block.check(entry.table)) else {
            step.missed = true;
            return;
        };
        let events = Written::new(self.wal.log_id(), entry, &block).matching(&self.filter);
        let wanted = |event: &Arc<ShownEvent>| event.mark > self.after && event.mark <= self.until;
        step.events.extend(events.into_iter().filter(wanted));
    }
}
