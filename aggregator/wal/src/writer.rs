//! The one thread that writes: takes a group from the queue, decides, writes once, syncs once, publishes, answers.
//!
//! After a failed write or sync nothing of that group counts: the segment is cut back to what was durable and never
//! written again; the next append begins a new one, at the same position. Until that works, every append is answered
//! with an error and tries it anew, so that a disk that was full is used again by itself.
//!
//! Each start writes to a new segment too. The process before may have died in the middle of that repair, and a cut that
//! was not synced can be undone by the power: written on, the old segment could then show the end of the failed group
//! behind new records. Behind a segment that another one follows, nothing counts.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::disk::{DiskFile, is_full};
use crate::entry::{Appended, Position};
use crate::ledger::{Decision, Provisional};
use crate::options::Clock;
use crate::queue::{AppendError, Job};
use crate::record::{Kind, Record, Seed};
use crate::segment::{self, HEADER_BYTES, Segment};
use crate::shared::Shared;

/// A buffer that a rare large group made larger than this is given back.
const BUFFER_BYTES_KEPT: usize = 16 << 20;

pub(crate) struct Writer {
    shared: Arc<Shared>,
    clock: Clock,
    seed: Seed,
    tail: Tail,
    condition: Condition,
    durable: Position,
    group: Vec<Job>,
    decisions: Vec<Result<(Position, Decision), AppendError>>,
    provisional: Provisional,
    buffer: Vec<u8>,
}

/// The segment that is written.
struct Tail {
    file: Arc<dyn DiskFile>,
    /// How much of it is durable.
    bytes: u64,
    began: Instant,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Sound,
    /// The file may hold more than is durable.
    Torn,
    /// Nothing may be written to this segment any more: one that begins after it may be in place already.
    Sealed,
}

impl Writer {
    pub fn new(shared: Arc<Shared>, clock: Clock, file: Arc<dyn DiskFile>) -> Self {
        let bytes = shared.segments.read().last().map_or(HEADER_BYTES, |segment| segment.bytes);
        Self {
            seed: Seed::of(shared.log),
            tail: Tail { file, bytes, began: clock() },
            condition: Condition::Sealed,
            durable: shared.durable(),
            group: Vec::new(),
            decisions: Vec::new(),
            provisional: Provisional::default(),
            buffer: Vec::new(),
            shared,
            clock,
        }
    }

    /// Until the queue is closed and empty.
    pub fn run(mut self) {
        let _stopped = Stopped(self.shared.clone());
        let bytes_max = self.shared.options.group_bytes_max;
        while self.shared.queue.take(bytes_max, &mut self.group) {
            match self.ready() {
                Ok(()) => self.commit(),
                Err(error) => {
                    self.shared.refused((self.clock)(), &error);
                    self.group.drain(..).for_each(|job| job.answer(Err(error.clone())));
                }
            }
        }
    }

    /// Makes the tail fit for the group, which may need a new segment.
    fn ready(&mut self) -> Result<(), AppendError> {
        let incoming: u64 = self.group.iter().map(|job| job.bytes() as u64).sum();
        let bytes_max = self.shared.options.log_bytes_max;
        if self.shared.bytes() + incoming > bytes_max {
            self.shared.refused_log_full.fetch_add(self.group.len() as u64, Ordering::Relaxed);
            return Err(AppendError::LogFull { bytes_max });
        }
        let holds_records = self.tail.bytes > HEADER_BYTES;
        let is_large = self.tail.bytes + incoming > self.shared.options.segment_bytes_max();
        let is_old = (self.clock)().duration_since(self.tail.began) >= self.shared.options.segment_age_max;
        if self.condition == Condition::Sound && holds_records && (is_large || is_old) {
            self.condition = Condition::Sealed;
        }
        let repaired = match self.condition {
            Condition::Sound => Ok(()),
            Condition::Sealed => self.roll(),
            Condition::Torn => self.cut_back().and_then(|()| self.roll()),
        };
        repaired.map_err(|error| match is_full(&error) {
            true => AppendError::Full { may_have_happened: false },
            false => AppendError::Unavailable { cause: error.to_string() },
        })
    }

    fn cut_back(&mut self) -> io::Result<()> {
        self.tail.file.truncate(self.tail.bytes)?;
        self.tail.file.sync_data()?;
        self.condition = Condition::Sealed;
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let first = self.durable.next();
        let file = segment::create(&*self.shared.disk, self.shared.log, first)?;
        self.tail = Tail { file, bytes: HEADER_BYTES, began: (self.clock)() };
        self.shared.rolled(Segment { first, bytes: HEADER_BYTES });
        self.condition = Condition::Sound;
        Ok(())
    }

    fn commit(&mut self) {
        self.decide();
        let records = self.decisions.iter().flatten().count();
        let outcome = if records == 0 { Ok(()) } else { self.write() };
        match outcome {
            Ok(()) => self.acknowledge(records),
            Err(error) => self.fail(&error),
        }
        self.provisional.clear();
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_BYTES_KEPT);
    }

    fn decide(&mut self) {
        let mut position = self.durable;
        let mut ledger = self.shared.ledger.lock();
        for job in &self.group {
            let decided = ledger.decide(&mut self.provisional, &job.entry).map(|decision| {
                position = position.next();
                (position, decision)
            });
            self.decisions.push(decided);
        }
    }

    fn write(&mut self) -> io::Result<()> {
        for (job, (position, decision)) in decided(&self.group, &self.decisions) {
            record(job, *position, self.durable, decision).encode(self.seed, &mut self.buffer);
        }
        self.tail.file.write_at(self.tail.bytes, &self.buffer)?;
        self.tail.file.sync_data().inspect_err(|_| self.shared.sync_failed())
    }

    /// Everything of the group is durable: the books first, then readers, then the callers.
    fn acknowledge(&mut self, records: usize) {
        let mut ledger = self.shared.ledger.lock();
        for (job, (position, decision)) in decided(&self.group, &self.decisions) {
            ledger.apply(&record(job, *position, self.durable, decision));
        }
        drop(ledger);
        if records > 0 {
            self.durable = Position(self.durable.0 + records as u64);
            self.tail.bytes += self.buffer.len() as u64;
            self.shared.publish(self.durable, self.tail.bytes);
            self.shared.accepted();
        }
        for (job, decided) in self.group.drain(..).zip(self.decisions.drain(..)) {
            let answer = decided.map(|(position, decision)| appended(position, decision, job.entry.rows));
            job.answer(answer);
        }
    }

    /// Nothing of the group counts.
    fn fail(&mut self, error: &io::Error) {
        self.condition = Condition::Torn;
        let is_full = is_full(error);
        tracing::error!(%error, after = self.durable.0, failed_syncs = self.shared.failed_syncs.load(Ordering::Relaxed),
            "the log could not be written, a new segment will be tried with each append");
        let is_cut = self.cut_back().is_ok();
        let failure = match is_full {
            true => AppendError::Full { may_have_happened: !is_cut },
            // A device that fails a sync may have kept the data and may lose the cut.
            false => AppendError::NotDurable { cause: error.to_string(), may_have_happened: true },
        };
        self.shared.refused((self.clock)(), &failure);
        for (job, decided) in self.group.drain(..).zip(self.decisions.drain(..)) {
            job.answer(Err(decided.err().unwrap_or_else(|| failure.clone())));
        }
    }
}

/// The jobs that become records.
fn decided<'a>(
    group: &'a [Job],
    decisions: &'a [Result<(Position, Decision), AppendError>],
) -> impl Iterator<Item = (&'a Job, &'a (Position, Decision))> {
    group.iter().zip(decisions).filter_map(|(job, decided)| Some((job, decided.as_ref().ok()?)))
}

fn record<'a>(job: &'a Job, position: Position, durable: Position, decision: &'a Decision) -> Record<'a> {
    let entry = &job.entry;
    Record {
        kind: decision.kind,
        table: entry.table,
        conflict: decision.conflict,
        tenant: &entry.tenant,
        position,
        durable,
        received_at_us: entry.received_at_us,
        announced: entry.announced,
        rows: entry.rows,
        numbers: entry.numbers,
        skipped: match decision.kind {
            Kind::Entry => decision.skipped().into(),
            Kind::Duplicate | Kind::Gap => Vec::new().into(),
        },
        quarantined: decision.quarantined.len() as u32,
        in_place_of_events: entry.in_place_of_events,
        ids: decision.ids.as_deref().map(Into::into),
        payload: if decision.kind == Kind::Entry { &entry.payload } else { &[] },
    }
}

fn appended(position: Position, decision: Decision, rows: u32) -> Appended {
    let quarantined = decision.quarantined.len() as u32;
    Appended {
        position: (decision.kind == Kind::Entry).then_some(position),
        stored: rows - quarantined - decision.duplicates.len() as u32,
        duplicate_rows: decision.duplicates,
        quarantined,
    }
}

/// However the thread ends, nobody waits for it in vain: its jobs are dropped, which their callers notice.
struct Stopped(Arc<Shared>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.queue.close();
        self.0.queue.abandon();
        self.0.stopped();
    }
}

#[cfg(test)]
mod tests;
