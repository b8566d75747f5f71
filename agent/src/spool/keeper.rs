//! The keeper: what the spool's thread does with each command. It numbers rows, commits groups, hands out parcels, and
//! keeps the spool within its limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ridealong_common::chunk::{Chunk, ChunkCompressor, Header};
use tokio::sync::{oneshot, watch};

use super::database::DatabaseError;
use super::group::{Group, Part};
use super::row::{ChunkKey, Class, Row};
use super::{AppendError, Command, Parcel, SpoolOptions, SpoolStatus};
use crate::books::{Books, reason};
use crate::summary::LastMinutes;

/// A database is an eighth of the spool's limit, and at most this.
const DATABASE_BYTES_MAX: u64 = 8 << 20;
/// Free space below which nothing is written: a few of sled's segments in each row.
const FREE_BYTES_MIN: u64 = 4 << 20;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(5);

pub(super) struct Keeper {
    options: SpoolOptions,
    books: Arc<Books>,
    last_minutes: Arc<LastMinutes>,
    tell: watch::Sender<SpoolStatus>,
    bulk: Row,
    kept: Row,
    group: Group,
    next_number: u64,
    /// What the shipper has, with the rows of each; their databases are not evicted.
    in_flight: Vec<(ChunkKey, u64)>,
    status: SpoolStatus,
    /// It fails because the disk is full: what is delivered makes room.
    is_full: bool,
    /// No write before this moment.
    retry_at: Instant,
}

impl Keeper {
    /// Looks through what an earlier start left.
    pub fn new(
        options: SpoolOptions,
        books: Arc<Books>,
        last_minutes: Arc<LastMinutes>,
        tell: watch::Sender<SpoolStatus>,
    ) -> Self {
        let database_bytes = (options.bytes_max / 8).min(DATABASE_BYTES_MAX);
        let [mut bulk, mut kept] = Class::ALL.map(|class| Row::new(&options.folder, class, database_bytes));
        let mut status = SpoolStatus { disk_bytes_max: options.bytes_max, ..SpoolStatus::default() };
        for row in [&mut bulk, &mut kept] {
            match row.recover() {
                Ok((rows, damaged)) => {
                    books.carried_over(rows);
                    status.damaged_databases += damaged;
                }
                Err(error) => status.failing = Some(error.to_string()),
            }
        }
        let group = Group::default();
        let mut keeper = Self {
            options,
            books,
            last_minutes,
            tell,
            bulk,
            kept,
            group,
            next_number: 0,
            in_flight: Vec::new(),
            status,
            is_full: false,
            retry_at: Instant::now(),
        };
        if keeper.status.failing.is_none() {
            keeper.status.failing = keeper.cannot_write(0);
        }
        keeper.report();
        keeper
    }

    pub fn gathered_rows(&self) -> usize {
        self.group.rows()
    }

    /// Does what the command says; true when the group should be written at once.
    pub fn take(&mut self, command: Command) -> bool {
        match command {
            Command::Rows(rows) => {
                self.group.add(rows);
                false
            }
            Command::Events { events, answer } => {
                self.books.produced(events.len() as u64);
                self.group.add_events(events, answer);
                true
            }
            Command::Commit { done } => {
                self.group.waiting.push(done);
                true
            }
            Command::Next { bytes_max, answer } => {
                self.hand_out(bytes_max, answer);
                false
            }
            Command::Acknowledge { keys, rows } => {
                self.books.acknowledged(rows);
                self.forget(&keys);
                false
            }
            Command::Discard { keys, rows } => {
                self.books.dropped(reason::REFUSED, rows);
                self.forget(&keys);
                false
            }
            Command::Close => true,
        }
    }

    /// Writes the group, fsyncs it, and answers those who wait for it.
    pub fn commit(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        let answers = std::mem::take(&mut group.answers);
        let waiting = std::mem::take(&mut group.waiting);
        if group.rows() > 0 {
            let done = self.write(group);
            for answer in answers {
                // Whoever waited may have gone.
                let _ = answer.send(done.clone());
            }
            self.report();
        }
        for done in waiting {
            // Whoever waited may have gone.
            let _ = done.send(());
        }
    }

    fn write(&mut self, group: Group) -> Result<(), AppendError> {
        let summaries = group.summaries();
        self.books.produced(summaries.len() as u64);
        self.last_minutes.add(&summaries);
        let parts = group.into_parts(&summaries, &self.options.resource);
        let rows: u64 = parts.iter().map(|part| u64::from(part.rows)).sum();
        if !self.make_room() {
            self.books.dropped(reason::SPOOL_FULL, rows);
            return Err(AppendError::Full);
        }
        if let Some(cause) = self.cannot_write(parts.iter().map(Part::bytes).sum()) {
            self.books.dropped(reason::SPOOL_FAILED, rows);
            self.status.failing = Some(cause.clone());
            return Err(AppendError::Failed(cause));
        }
        let durable_before = self.durable_rows();
        match self.insert(parts).and_then(|()| self.flush()) {
            Ok(()) => {
                self.status.commits += 1;
                self.status.failing = None;
                Ok(())
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, rows, "spool cannot be written");
                self.bulk.seal();
                self.kept.seal();
                let durable = self.durable_rows() - durable_before;
                self.books.dropped(reason::SPOOL_FAILED, rows - durable);
                self.retry_at = Instant::now() + PAUSE_AFTER_FAILURE;
                let cause = error.to_string();
                self.status.failing = Some(cause.clone());
                Err(AppendError::Failed(cause))
            }
        }
    }

    /// Why sled is not asked to write at this moment. It does not survive a full disk, so it never meets one; and a
    /// database that failed is leaked, so a new one is not tried at each commit.
    fn cannot_write(&mut self, bytes: u64) -> Option<String> {
        let full = self.full(bytes);
        self.is_full = full.is_some();
        if full.is_some() {
            return full;
        }
        let earlier = self.status.failing.clone().unwrap_or_default();
        (Instant::now() < self.retry_at).then_some(earlier)
    }

    /// Says so when the disk has no room for so many bytes more.
    fn full(&self, bytes: u64) -> Option<String> {
        let left = fs4::available_space(&self.options.folder).unwrap_or(u64::MAX);
        let needed = FREE_BYTES_MIN + bytes;
        (left < needed).then(|| format!("the disk is full: {left} bytes are left, {needed} are needed"))
    }

    fn insert(&mut self, parts: Vec<Part>) -> Result<(), DatabaseError> {
        let mut compressor = ChunkCompressor::new().ok();
        for part in parts {
            let (class, rows) = (part.class, u64::from(part.rows));
            let chunk = match part.numbered(self.options.producer, self.next_number) {
                Ok(chunk) => chunk,
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "rows make no chunk");
                    self.books.dropped(reason::SPOOL_FAILED, rows);
                    continue;
                }
            };
            self.next_number = chunk.end();
            let bytes = compressor.as_mut().map_or_else(|| chunk.encode(), |compressor| chunk.encode_with(compressor));
            self.row(class).insert(&chunk, &bytes)?;
        }
        Ok(())
    }

    /// Kept before bulk: an event that is acknowledged is worth more than a request that is not.
    fn flush(&mut self) -> Result<(), DatabaseError> {
        self.kept.flush()?;
        self.bulk.flush()
    }

    fn durable_rows(&self) -> u64 {
        self.bulk.durable_rows() + self.kept.durable_rows()
    }

    /// Evicts the oldest bulk databases while the spool is over its limit; false when that does not help.
    fn make_room(&mut self) -> bool {
        while self.bulk.disk_bytes() + self.kept.disk_bytes() > self.options.bytes_max {
            let busy = self.in_flight.iter().any(|(key, _)| key.class == Class::Bulk);
            let evicted = if busy { None } else { self.bulk.evict() };
            let Some(lost) = evicted else { return false };
            tracing::warn!(rows = lost.rows, "spool is full, oldest requests dropped");
            self.books.dropped(reason::SPOOL_FULL, lost.rows);
        }
        true
    }

    fn hand_out(&mut self, bytes_max: usize, answer: oneshot::Sender<Option<Parcel>>) {
        let parcel = [Class::Kept, Class::Bulk].into_iter().find_map(|class| self.parcel(class, bytes_max));
        let keys = parcel.iter().flat_map(|parcel| parcel.keys.iter().zip(&parcel.chunks));
        self.in_flight = keys.map(|(key, chunk)| (*key, u64::from(chunk.count))).collect();
        if answer.send(parcel).is_err() {
            self.in_flight.clear();
        }
    }

    fn parcel(&mut self, class: Class, bytes_max: usize) -> Option<Parcel> {
        loop {
            let mut unreadable: Vec<(ChunkKey, u64)> = Vec::new();
            let mut note =
                |key, header: Option<Header>| unreadable.push((key, header.map_or(0, |it| u64::from(it.count))));
            let oldest = self.row(class).oldest()?;
            match self.row(class).peek(bytes_max, &mut note) {
                Ok(found) => {
                    self.lose(class, &unreadable);
                    if let Some(parcel) = self.packed(found) {
                        return Some(parcel);
                    }
                    // The oldest may have been drained just now, and deleted: then the next one is the oldest.
                    if self.row(class).oldest() == Some(oldest) {
                        return None;
                    }
                }
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "spool database put aside");
                    self.status.damaged_databases += 1;
                    let lost = self.row(class).put_aside_oldest()?;
                    self.books.dropped(reason::SPOOL_DAMAGED, lost.rows);
                }
            }
        }
    }

    fn packed(&self, found: Vec<(ChunkKey, Chunk)>) -> Option<Parcel> {
        let (keys, chunks): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let producer = chunks.first()?.producer;
        let known = if producer == self.options.producer { self.next_number } else { 0 };
        let announced = chunks.iter().map(Chunk::end).fold(known, u64::max);
        Some(Parcel { producer, announced, chunks, keys })
    }

    fn lose(&mut self, class: Class, unreadable: &[(ChunkKey, u64)]) {
        let rows = unreadable.iter().map(|(_, rows)| rows).sum();
        self.books.dropped(reason::SPOOL_DAMAGED, rows);
        let numbers: Vec<(u64, u64)> = unreadable.iter().map(|(key, rows)| (key.number, *rows)).collect();
        self.remove(class, &numbers);
    }

    fn forget(&mut self, keys: &[ChunkKey]) {
        for class in Class::ALL {
            let gone = self.in_flight.iter().filter(|(key, _)| key.class == class && keys.contains(key));
            let numbers: Vec<(u64, u64)> = gone.map(|(key, rows)| (key.number, *rows)).collect();
            self.remove(class, &numbers);
        }
        self.in_flight.clear();
        if self.is_full && self.full(0).is_none() {
            (self.is_full, self.status.failing) = (false, None);
        }
        self.report();
    }

    fn remove(&mut self, class: Class, numbers: &[(u64, u64)]) {
        if let Err(error) = self.row(class).remove(numbers) {
            // They will be sent again, and found to be duplicates.
            tracing::warn!(error = &error as &dyn std::error::Error, "delivered chunks could not be removed");
        }
    }

    fn row(&mut self, class: Class) -> &mut Row {
        match class {
            Class::Bulk => &mut self.bulk,
            Class::Kept => &mut self.kept,
        }
    }

    fn report(&mut self) {
        self.status.disk_bytes = self.bulk.disk_bytes() + self.kept.disk_bytes();
        self.status.databases = self.bulk.databases() + self.kept.databases();
        self.status.chunks = self.bulk.chunks() + self.kept.chunks();
        (self.status.bulk, self.status.kept) = (self.bulk.progress(), self.kept.progress());
        self.tell.send_replace(self.status.clone());
    }
}
