//! What `--salvage` does before a start: makes a damaged log sound again without what is damaged, and says what that cost.
//!
//! Every segment is read whole. Bytes that are no records and records that do not fit are copied to a folder aside, with a
//! line in its `index.txt`; then the segment is written anew with a gap record in their place (see
//! [`Gap`]) and put in place at once. So positions are never given twice, whoever follows passes the gap, and a start
//! after that is like any other. What a crash left unfinished at the end is no damage and is left to the start.
//!
//! Rows of a lost record that the checkpoint does not cover were never heard of afterwards: their producer's numbers are
//! missing, so they are stored if they are sent again. Those that the checkpoint covers stay received; they are in the
//! lake unless it had not got that far. A damaged checkpoint is set aside too, and built anew from the segments there are:
//! numbers and ids from before these are forgotten.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::time::Timestamp;

use super::{OpenError, open, read_header};
use crate::checkpoint::Checkpoint;
use crate::disk::{Disk, DiskFile, UNFINISHED};
use crate::entry::{LogId, Position};
use crate::ledger::{Ledger, Limits};
use crate::record::{Gap, Seed};
use crate::segment::{self, HEADER_BYTES, Search};

const COPY_BYTES: u64 = 1 << 20;
/// When the end of the log is gone nobody knows which positions were given; so many are passed over. More than a segment
/// can hold records, by far.
const POSITIONS_PASSED: u64 = 1 << 32;
const INDEX: &str = "index.txt";

/// What a salvage had to do; nothing, for a sound log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Salvaged {
    pub parts: Vec<SalvagedPart>,
    /// Records that are known to have been there and are given up.
    pub records_lost: u64,
    /// The checkpoint was unusable: books, numbers and event ids begin with the oldest segment.
    pub checkpoint_lost: bool,
}

/// Bytes that were set aside, positions that were given up, or both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SalvagedPart {
    pub file: String,
    pub offset: u64,
    pub bytes: u64,
    /// The first and the last.
    pub positions: Option<(Position, Position)>,
    pub why: &'static str,
    /// Where the bytes are now, in the folder aside.
    pub copy: Option<String>,
}

struct Salvage<'a> {
    disk: &'a dyn Disk,
    aside: &'a dyn Disk,
    now: Timestamp,
    salvaged: Salvaged,
}

/// Makes the log on `disk` one that can be opened, unless it cannot be read at all.
pub(crate) fn salvage(disk: &dyn Disk, aside: &dyn Disk, limits: Limits) -> Result<Salvaged, OpenError> {
    let mut salvage = Salvage { disk, aside, now: Timestamp::now(), salvaged: Salvaged::default() };
    let list = || disk.list().map_err(|source| OpenError::io("list", ".", source));
    for name in list()?.iter().filter(|name| name.ends_with(UNFINISHED)) {
        disk.remove(name).map_err(|source| OpenError::io("remove", name, source))?;
    }
    let mut firsts: Vec<Position> = list()?.iter().filter_map(|name| segment::parse_file_name(name)).collect();
    firsts.sort_unstable();
    let stored = match Checkpoint::read(disk, limits) {
        Err(OpenError::Damaged { offset, what, .. }) => salvage.without_checkpoint(offset, what)?,
        Err(OpenError::Missing { .. }) => salvage.without_checkpoint(0, "a run of event ids is missing")?,
        read => read?,
    };
    let log = match &stored {
        Some((checkpoint, _)) => checkpoint.log(),
        None if firsts.is_empty() => return Ok(salvage.salvaged),
        None => log_of(disk, &firsts)?,
    };
    let (mut checkpoint, mut ledger) = stored.unwrap_or_else(|| {
        let mut ledger = Ledger::new(log, limits);
        ledger.begin_after(firsts[0].before());
        (Checkpoint::none(log), ledger)
    });
    let covered = ledger.position();
    salvage.beginning(log, covered, &mut firsts)?;
    let mut lost = Lost::default();
    for (place, first) in firsts.iter().enumerate() {
        let segment = Segment { log, first: *first, next: firsts.get(place + 1).copied(), covered };
        lost += salvage.segment(&segment)?;
    }
    salvage.salvaged.records_lost += lost.all;
    if lost.covered > 0 || (checkpoint.position() < covered) {
        ledger.count_lost(lost.covered);
        let written = checkpoint.write(disk, &Mutex::new(ledger));
        written.map_err(|source| OpenError::io("write", "checkpoint", source))?;
    }
    Ok(salvage.salvaged)
}

/// Records given up in a segment.
#[derive(Clone, Copy, Default)]
struct Lost {
    all: u64,
    /// Those that no start will count any more, since it begins behind them.
    covered: u64,
}

impl std::ops::AddAssign for Lost {
    fn add_assign(&mut self, other: Self) {
        self.all += other.all;
        self.covered += other.covered;
    }
}

/// What is known about a segment before it is read.
struct Segment {
    log: LogId,
    first: Position,
    next: Option<Position>,
    /// Up to where the checkpoint accounts for everything.
    covered: Position,
}

/// What the new file consists of.
enum Piece {
    Copy { from: u64, to: u64 },
    Gap(Gap),
}

impl Salvage<'_> {
    /// Sets the checkpoint and its runs aside.
    fn without_checkpoint<T>(&mut self, offset: u64, why: &'static str) -> Result<Option<T>, OpenError> {
        self.salvaged.checkpoint_lost = true;
        let names = self.disk.list().map_err(|source| OpenError::io("list", ".", source))?;
        for name in names.iter().filter(|name| *name == "checkpoint" || name.ends_with(".run")) {
            let file = self.disk.open(name).map_err(|source| OpenError::io("open", name, source))?;
            let length = file.length().map_err(|source| OpenError::io("measure", name, source))?;
            let copy = self.copy_aside(&file, name, 0, length)?;
            self.note(SalvagedPart { file: name.clone(), offset, bytes: length, positions: None, why, copy })?;
            self.disk.remove(name).map_err(|source| OpenError::io("remove", name, source))?;
        }
        self.disk.sync_folder().map_err(|source| OpenError::io("sync", ".", source))?;
        Ok(None)
    }

    /// Puts a gap where the first segments that the log needs are missing.
    fn beginning(&mut self, log: LogId, covered: Position, firsts: &mut Vec<Position>) -> Result<(), OpenError> {
        let wanted = covered.next();
        let gap = match firsts.first() {
            Some(first) if *first <= wanted => return Ok(()),
            Some(first) => Gap { first: wanted, last: first.before(), lost: first.0 - wanted.0 },
            None => Gap { first: wanted, last: Position(wanted.0 + POSITIONS_PASSED), lost: 0 },
        };
        let name = segment::file_name(wanted);
        let positions = Some((gap.first, gap.last));
        self.salvaged.records_lost += gap.lost;
        self.note(SalvagedPart { file: name, offset: 0, bytes: 0, positions, why: "the file is missing", copy: None })?;
        self.write_segment(log, wanted, None, &[Piece::Gap(gap)])?;
        firsts.insert(0, wanted);
        Ok(())
    }

    /// Reads a segment and, when it is damaged, writes it anew.
    fn segment(&mut self, segment: &Segment) -> Result<Lost, OpenError> {
        let name = segment::file_name(segment.first);
        let io = |doing| {
            let name = &name;
            move |source| OpenError::io(doing, name, source)
        };
        let file = open(self.disk, segment.first)?;
        let length = file.length().map_err(io("measure"))?;
        let search = Search::new(file.clone(), Seed::of(segment.log), length);
        let mut is_damaged = false;
        match read_header(&file, segment.first) {
            Ok(header) if header == (segment.log, segment.first) => {}
            Err(error @ (OpenError::Io { .. } | OpenError::UnknownVersion { .. })) => return Err(error),
            _ => {
                is_damaged = true;
                self.set_aside(&file, &name, 0..HEADER_BYTES.min(length), None, "wrong header of a segment")?;
            }
        }
        let mark = match segment.next {
            Some(next) => next.before(),
            None => mark(&search, segment).map_err(io("read"))?,
        };
        let (mut pieces, mut lost) = (Vec::new(), Lost::default());
        let (mut expected, mut at) = (segment.first, HEADER_BYTES);
        // Behind the mark nothing was acknowledged as far as anybody knows.
        loop {
            let found = search.next(at).map_err(io("read"))?;
            let is_past = |last: Position| segment.next.is_some_and(|next| last >= next);
            if let Some(found) = found.filter(|found| (found.offset, found.first) == (at, expected))
                && !is_past(found.last)
            {
                push_copy(&mut pieces, at, found.end);
                (expected, at) = (found.last.next(), found.end);
                continue;
            }
            if expected > mark {
                break;
            }
            let mut behind = found;
            while let Some(other) = behind.filter(|other| other.first < expected || is_past(other.last)) {
                behind = search.next(other.end).map_err(io("read"))?;
            }
            let last = match (behind, segment.next) {
                (Some(behind), _) => behind.first.before(),
                (None, Some(next)) => next.before(),
                (None, None) => Position(mark.0 + POSITIONS_PASSED),
            };
            let gap = Gap { first: expected, last, lost: last.min(mark.max(expected)).0 + 1 - expected.0 };
            let end = behind.map_or(length, |behind| behind.offset);
            let why = search.why(at).map_err(io("read"))?;
            self.set_aside(&file, &name, at.min(length)..end, Some((gap.first, gap.last)), why)?;
            is_damaged = true;
            lost += Lost { all: gap.lost, covered: if last <= segment.covered { gap.lost } else { 0 } };
            pieces.push(Piece::Gap(gap));
            (expected, at) = (last.next(), end);
        }
        if is_damaged {
            self.write_segment(segment.log, segment.first, Some(&file), &pieces)?;
        }
        Ok(lost)
    }

    fn set_aside(
        &mut self,
        file: &Arc<dyn DiskFile>,
        name: &str,
        range: std::ops::Range<u64>,
        positions: Option<(Position, Position)>,
        why: &'static str,
    ) -> Result<(), OpenError> {
        let bytes = range.end.saturating_sub(range.start);
        let copy = if bytes == 0 { None } else { self.copy_aside(file, name, range.start, bytes)? };
        self.note(SalvagedPart { file: name.to_owned(), offset: range.start, bytes, positions, why, copy })
    }

    fn copy_aside(
        &self,
        file: &Arc<dyn DiskFile>,
        name: &str,
        offset: u64,
        bytes: u64,
    ) -> Result<Option<String>, OpenError> {
        let copy = format!("{name}-{offset}-{}.bytes", self.now.micros());
        let copied = self.aside.create(&copy).and_then(|to| {
            copy_bytes(&**file, offset, offset + bytes, &*to, 0)?;
            to.sync_data()?;
            self.aside.sync_folder()
        });
        copied.map_err(|source| OpenError::io("set aside", name, source))?;
        Ok(Some(copy))
    }

    /// Writes a line of the index, durably: before anything is changed in the log.
    fn note(&mut self, part: SalvagedPart) -> Result<(), OpenError> {
        let positions = match part.positions {
            Some((first, last)) => format!("{first}..={last}"),
            None => "none".to_owned(),
        };
        let copy = part.copy.as_deref().unwrap_or("nothing");
        let (now, SalvagedPart { file, offset, bytes, why, .. }) = (self.now, &part);
        let line = format!(
            "{now} file={file} offset={offset} bytes={bytes} positions={positions} why={why:?} copied-to={copy}\n"
        );
        let noted = self.aside.open(INDEX).or_else(|_| self.aside.create(INDEX)).and_then(|index| {
            index.write_at(index.length()?, line.as_bytes())?;
            index.sync_data()?;
            self.aside.sync_folder()
        });
        noted.map_err(|source| OpenError::io("write the index of", "salvaged", source))?;
        tracing::warn!(file, offset, bytes, positions, why, copy, "set aside what is damaged in the log");
        self.salvaged.parts.push(part);
        Ok(())
    }

    /// Puts a segment of these pieces in place, all at once.
    fn write_segment(
        &self,
        log: LogId,
        first: Position,
        old: Option<&Arc<dyn DiskFile>>,
        pieces: &[Piece],
    ) -> Result<(), OpenError> {
        let name = segment::file_name(first);
        let unfinished = format!("{name}{UNFINISHED}");
        let write = || -> io::Result<()> {
            let file = self.disk.create(&unfinished)?;
            file.write_at(0, &segment::header(log, first))?;
            let mut at = HEADER_BYTES;
            for piece in pieces {
                match (piece, old) {
                    (Piece::Copy { from, to }, Some(old)) => {
                        copy_bytes(&**old, *from, *to, &*file, at)?;
                        at += to - from;
                    }
                    (Piece::Copy { .. }, None) => unreachable!("a new segment has nothing to copy"),
                    (Piece::Gap(gap), _) => {
                        let mut record = Vec::new();
                        gap.encode(self.now.micros(), Seed::of(log), &mut record);
                        file.write_at(at, &record)?;
                        at += record.len() as u64;
                    }
                }
            }
            file.sync_data()?;
            self.disk.rename(&unfinished, &name)?;
            self.disk.sync_folder()
        };
        write().map_err(|source| OpenError::io("write anew", &name, source))
    }
}

/// Whose log it is, by the first header that can be read.
fn log_of(disk: &dyn Disk, firsts: &[Position]) -> Result<LogId, OpenError> {
    let mut unreadable = None;
    for first in firsts {
        match open(disk, *first).and_then(|file| read_header(&file, *first)) {
            Ok((log, _)) => return Ok(log),
            Err(error) => unreadable = unreadable.or(Some(error)),
        }
    }
    Err(unreadable.unwrap_or_else(|| OpenError::Missing { file: segment::file_name(Position(1)) }))
}

/// The highest position of the last segment that is known to have been acknowledged.
fn mark(search: &Search, segment: &Segment) -> io::Result<Position> {
    let mut mark = segment.covered.max(segment.first.before());
    let mut at = HEADER_BYTES;
    while let Some(found) = search.next(at)? {
        mark = mark.max(found.durable);
        at = found.end;
    }
    Ok(mark)
}

fn push_copy(pieces: &mut Vec<Piece>, from: u64, to: u64) {
    match pieces.last_mut() {
        Some(Piece::Copy { to: end, .. }) if *end == from => *end = to,
        _ => pieces.push(Piece::Copy { from, to }),
    }
}

fn copy_bytes(from: &dyn DiskFile, mut at: u64, end: u64, to: &dyn DiskFile, mut into: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(end - at) as usize];
    while at < end {
        let part = (end - at).min(COPY_BYTES) as usize;
        let read = from.read_at(at, &mut buffer[..part])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        to.write_at(into, &buffer[..read])?;
        at += read as u64;
        into += read as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
