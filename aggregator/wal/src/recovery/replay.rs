//! Reads the segments in order into the ledger and leaves all of them durable.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{OpenError, Recovered, RecoveryReport, open, read_header};
use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, DiskFile};
use crate::entry::Position;
use crate::ledger::Ledger;
use crate::record::Seed;
use crate::segment::{self, HEADER_BYTES, ScanError, Scanner, Search, Segment};

const COPY_BYTES: usize = 1 << 20;

pub(super) fn replay(
    disk: &dyn Disk,
    firsts: &[Position],
    checkpoint: Checkpoint,
    ledger: Ledger,
) -> Result<Recovered, OpenError> {
    let report =
        RecoveryReport { log_id: checkpoint.log(), durable: Position::NONE, records: 0, bytes: 0, cut_bytes: 0 };
    let seed = Seed::of(checkpoint.log());
    let mut replay = Replay { seed, checkpoint, ledger, bytes_replayed: 0, report };
    let mut segments = Vec::with_capacity(firsts.len());
    let (last, sealed) = firsts.split_last().expect("a log without segments is begun, not replayed");
    for (first, next) in sealed.iter().zip(&firsts[1..]) {
        let mut segment = SegmentFile::open(disk, *first, &replay)?;
        let is_covered = *next <= replay.checkpoint.position().next();
        let bytes = if is_covered { segment.length } else { replay.sealed(&mut segment, *next)? };
        segments.push(Segment { first: *first, bytes });
    }
    let mut tail = SegmentFile::open(disk, *last, &replay)?;
    let bytes = replay.tail(&mut tail)?;
    segments.push(Segment { first: *last, bytes });
    replay.report.durable = replay.ledger.position();
    let Replay { checkpoint, ledger, bytes_replayed, report, .. } = replay;
    Ok(Recovered { ledger, checkpoint, segments, tail: tail.file, bytes_replayed, report })
}

struct Replay {
    seed: Seed,
    checkpoint: Checkpoint,
    ledger: Ledger,
    bytes_replayed: u64,
    report: RecoveryReport,
}

struct SegmentFile {
    name: String,
    file: Arc<dyn DiskFile>,
    scanner: Scanner,
    length: u64,
    /// The position of the next record, and the highest that a record said to be durable.
    expected: Position,
    mark: Position,
}

impl SegmentFile {
    fn open(disk: &dyn Disk, first: Position, replay: &Replay) -> Result<Self, OpenError> {
        let name = segment::file_name(first);
        let file = open(disk, first)?;
        if read_header(&file, first)? != (replay.checkpoint.log(), first) {
            return Err(OpenError::damaged(&name, 0, "the segment is of another log or position"));
        }
        let length = file.length().map_err(|source| OpenError::io("measure", &name, source))?;
        let scanner = Scanner::new(file.clone(), replay.seed);
        let mark = replay.checkpoint.position().max(first.before());
        Ok(Self { name, file, scanner, length, expected: first, mark })
    }

    fn damaged(&self, what: &'static str) -> OpenError {
        OpenError::damaged(&self.name, self.scanner.offset(), what)
    }

    fn io(&self, doing: &'static str) -> impl Fn(std::io::Error) -> OpenError + '_ {
        move |source| OpenError::io(doing, &self.name, source)
    }

    /// Cuts everything from `offset` on; returns how much that was.
    fn cut(&mut self, offset: u64) -> Result<u64, OpenError> {
        let cut = self.length - offset;
        if cut > 0 {
            self.file.truncate(offset).map_err(self.io("cut"))?;
            self.file.sync_data().map_err(self.io("sync"))?;
            self.length = offset;
            tracing::warn!(file = self.name, offset, bytes = cut, "cut what a crash left unfinished");
        }
        Ok(cut)
    }
}

enum Next {
    Record { position: Position, end: u64 },
    End,
    Damage(&'static str),
}

impl Replay {
    /// A segment that another one follows: it holds every position before `next`.
    fn sealed(&mut self, segment: &mut SegmentFile, next: Position) -> Result<u64, OpenError> {
        while segment.expected < next {
            match self.next(segment)? {
                Next::Record { .. } => {}
                Next::End => return Err(OpenError::Missing { file: segment::file_name(segment.expected) }),
                Next::Damage(what) => return Err(segment.damaged(what)),
            }
        }
        let end = segment.scanner.offset();
        self.report.cut_bytes += segment.cut(end)?;
        Ok(end)
    }

    /// The last segment: whatever is above the mark may be torn.
    fn tail(&mut self, segment: &mut SegmentFile) -> Result<u64, OpenError> {
        let mut unproven = VecDeque::new();
        let mut proven_end = HEADER_BYTES;
        let damage = loop {
            match self.next(segment)? {
                Next::Record { position, end } => unproven.push_back((position, end)),
                Next::End => break "the log ends before what was durable",
                Next::Damage(what) => break what,
            }
            drop_proven(&mut unproven, &mut proven_end, segment.mark);
        };
        let end = segment.scanner.offset();
        segment.mark = segment.mark.max(self.mark_behind(segment)?);
        if segment.expected <= segment.mark {
            return Err(segment.damaged(damage));
        }
        drop_proven(&mut unproven, &mut proven_end, segment.mark);
        self.report.cut_bytes += segment.cut(end)?;
        write_again(segment, proven_end)?;
        Ok(end)
    }

    /// Reads one record, which must be the next, and accounts for it unless the checkpoint has.
    fn next(&mut self, segment: &mut SegmentFile) -> Result<Next, OpenError> {
        let begin = segment.scanner.offset();
        let scanned = match segment.scanner.next(segment.length) {
            Ok(Some(scanned)) => scanned,
            Ok(None) => return Ok(Next::End),
            Err(ScanError::Damaged(what)) => return Ok(Next::Damage(what)),
            Err(ScanError::Io(source)) => return Err(OpenError::io("read", &segment.name, source)),
        };
        let record = scanned.record;
        let position = record.position;
        if record.first() != segment.expected {
            return Err(OpenError::damaged(&segment.name, begin, "the record is not the one that comes next"));
        }
        let covered = position <= self.checkpoint.position();
        if !covered {
            self.ledger.apply(&record);
        }
        segment.mark = segment.mark.max(record.durable);
        segment.expected = position.next();
        let end = segment.scanner.offset();
        self.report.records += 1;
        self.report.bytes += end - begin;
        self.bytes_replayed += if covered { 0 } else { end - begin };
        Ok(Next::Record { position, end })
    }

    /// The highest mark of any sound record behind the damage, wherever it begins.
    fn mark_behind(&self, segment: &SegmentFile) -> Result<Position, OpenError> {
        let search = Search::new(segment.file.clone(), self.seed, segment.length);
        let mut mark = Position::NONE;
        let mut from = segment.scanner.offset() + 1;
        while let Some(found) = search.next(from).map_err(segment.io("read"))? {
            if found.last > segment.expected {
                mark = mark.max(found.durable);
            }
            from = found.end;
        }
        Ok(mark)
    }
}

/// Moves the end of what the mark proves to be on disk.
fn drop_proven(unproven: &mut VecDeque<(Position, u64)>, proven_end: &mut u64, mark: Position) {
    while let Some((_, end)) = unproven.pop_front_if(|(position, _)| *position <= mark) {
        *proven_end = end;
    }
}

/// Writes what lies behind `from` once more, the same bytes, and syncs it.
fn write_again(segment: &SegmentFile, from: u64) -> Result<(), OpenError> {
    let mut buffer = vec![0; COPY_BYTES.min((segment.length - from) as usize)];
    let mut at = from;
    while at < segment.length {
        let part = (segment.length - at).min(COPY_BYTES as u64) as usize;
        let read = segment.file.read_at(at, &mut buffer[..part]).map_err(segment.io("read"))?;
        if read < part {
            return Err(OpenError::damaged(&segment.name, at + read as u64, "the file became shorter"));
        }
        segment.file.write_at(at, &buffer[..part]).map_err(segment.io("write"))?;
        at += part as u64;
    }
    segment.file.sync_data().map_err(segment.io("sync"))
}
