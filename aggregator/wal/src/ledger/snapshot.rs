//! The ledger as the checkpoint stores it; the event ids themselves are in runs beside it. Little-endian.
//!
//! | what | bytes |
//! |---|---|
//! | conflicts | 8 |
//! | records lost | 8 (not before version 3) |
//! | producers forgotten, their totals of announced, received and (not before version 4) given up | 8, 16, 16, 16 |
//! | tenants | 4, then each: see below |
//! | producers | 4, then each: see below |
//! | ids: number of the first and of the next, forgotten early | 8, 8, 8 |
//! | slices of ids | 4, then each: number of its first id 8, oldest µs 8, newest µs 8 |
//!
//! Counts of rows: stored 8, duplicate by number 8, duplicate by id 8, quarantined 8.
//!
//! A tenant: length of the name 1, name; producers forgotten, as above; tables 1, then each: number 1, counts of all rows,
//! of those without numbers, of those of forgotten producers. Before version 4: no producers forgotten, and a table is
//! number 1, rows stored 8, duplicate 8, quarantined 8 (not in version 1).
//!
//! A producer: tenant's place in the list 4, id 16, announced 8, received 8, given up 8, last seen µs 8, last position 8;
//! runs held 4, then each: start 8, end 8; recent ranges 1, then each: first 8, rows 4, CRC 4. From version 4 on also:
//! unsplit 8; tables 1, then each: number 1, counts of rows; conflicts 8, and unless 0 the first and the last of them:
//! first number 8, rows 4, at µs 8.

mod counts;

use std::collections::VecDeque;
use std::sync::Arc;

use ridealong_common::ids::ProducerId;

use super::ids::Slice;
use super::intervals::Intervals;
use super::producers::{Held, Producer, ProducerKey, RECENT_MAX};
use super::tenants::{TableCounts, Tenants};
use super::{Ledger, Limits};
use crate::books::RowCounts;
use crate::entry::{LogId, Position};
use crate::fields::{Fields, PutFields};

const PRODUCER_BYTES: usize = 4 + 16 + 8 * 5 + 4 + 1;

/// One moment of the ledger, to be written without holding it.
pub(crate) struct Snapshot {
    pub position: Position,
    /// The parts of the body before and after the producers, which are written out when the ledger is free again.
    head: Vec<u8>,
    producers: Vec<(ProducerKey, Arc<Producer>)>,
    tail: Vec<u8>,
    /// The number of the first id that is remembered.
    pub ids_head: u64,
    /// The ids from number `ids_from` on.
    pub ids_from: u64,
    pub ids: Vec<u128>,
}

impl Ledger {
    /// With the ids from number `ids_from` on; the earlier ones are in runs already.
    pub fn snapshot(&self, ids_from: u64) -> Snapshot {
        let numbers = self.ids.numbers();
        let ids_from = ids_from.clamp(numbers.start, numbers.end);
        Snapshot {
            position: self.position,
            head: self.head(),
            producers: self.producers.shared(),
            tail: self.tail(),
            ids_head: numbers.start,
            ids_from,
            ids: (ids_from..numbers.end).map(|number| self.ids.get(number)).collect(),
        }
    }

    /// The ledger as of `position`, without its ids; None when the body is not one that was ever written.
    pub fn restore(log: LogId, limits: Limits, position: Position, version: u32, body: &[u8]) -> Option<Restoring> {
        let mut fields = Fields::new(body);
        let mut ledger = Ledger::new(log, limits);
        ledger.position = position;
        ledger.conflicts = fields.u64()?;
        ledger.records_lost = if version < 3 { 0 } else { fields.u64()? };
        ledger.producers.restore_forgotten(counts::take_forgotten(&mut fields, version)?);
        let tenants = fields.count(2)?;
        for _ in 0..tenants {
            read_tenant(&mut fields, version, &mut ledger.tenants)?;
        }
        for _ in 0..fields.count(PRODUCER_BYTES)? {
            let (key, producer) = read_producer(&mut fields, version)?;
            if key.0 as usize >= tenants {
                return None;
            }
            ledger.producers.restore(key, producer);
        }
        let [head, next, forgotten_early] = [fields.u64()?, fields.u64()?, fields.u64()?];
        let slices = read_slices(&mut fields, head, next)?;
        ledger.ids.restore_from(head, slices, forgotten_early);
        (fields.left() == 0 && ledger.tenants.list().len() == tenants).then_some(Restoring { ledger, ids_next: next })
    }

    fn head(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.put_u64(self.conflicts);
        out.put_u64(self.records_lost);
        counts::put_forgotten(&mut out, &self.producers.forgotten());
        out.put_count(self.tenants.list().len());
        for tenant in self.tenants.list() {
            out.put_u8(tenant.name.len() as u8);
            out.put(tenant.name.as_bytes());
            counts::put_forgotten(&mut out, &tenant.forgotten);
            out.put_u8(tenant.tables().count() as u8);
            for (table, counts) in tenant.tables() {
                out.put_u8(table as u8);
                for rows in [&counts.rows, &counts.unnumbered, &counts.forgotten] {
                    counts::put_rows(&mut out, rows);
                }
            }
        }
        out
    }

    fn tail(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let numbers = self.ids.numbers();
        out.put_u64(numbers.start);
        out.put_u64(numbers.end);
        out.put_u64(self.ids.forgotten_early());
        out.put_count(self.ids.slices().len());
        for slice in self.ids.slices() {
            out.put_u64(slice.first);
            out.put_i64(slice.oldest_us);
            out.put_i64(slice.newest_us);
        }
        out
    }
}

impl Snapshot {
    /// The ledger but for its ids, as it is stored.
    pub fn body(&self) -> Vec<u8> {
        let mut out = self.head.clone();
        out.put_count(self.producers.len());
        for (key, producer) in &self.producers {
            put_producer(&mut out, key, producer);
        }
        out.put(&self.tail);
        out
    }
}

/// A ledger whose ids are still to come.
pub(crate) struct Restoring {
    ledger: Ledger,
    ids_next: u64,
}

impl Restoring {
    /// The number of the next id that is wanted; None when they are all there.
    pub fn wanted(&self) -> Option<u64> {
        let next = self.ledger.ids.numbers().end;
        (next < self.ids_next).then_some(next)
    }

    /// The id of the number that was wanted; false when that cannot be.
    pub fn id(&mut self, id: u128) -> bool {
        self.ledger.ids.restore(id)
    }

    /// The ledger, once nothing is wanted.
    pub fn finish(self) -> Option<Ledger> {
        self.wanted().is_none().then_some(self.ledger)
    }
}

fn read_tenant(fields: &mut Fields<'_>, version: u32, tenants: &mut Tenants) -> Option<()> {
    let bytes = usize::from(fields.u8()?);
    let tenant = tenants.intern(str::from_utf8(fields.take(bytes)?).ok()?);
    if version >= 4 {
        tenants.get_mut(tenant).forgotten = counts::take_forgotten(fields, version)?;
    }
    for _ in 0..fields.u8()? {
        let table = counts::take_table(fields)?;
        let rows = counts::take_rows(fields, version)?;
        let (unnumbered, forgotten) = match version {
            // Who sent them is not known any more.
            ..4 => (RowCounts::default(), rows),
            _ => (counts::take_rows(fields, version)?, counts::take_rows(fields, version)?),
        };
        *tenants.get_mut(tenant).table_mut(table) = TableCounts { rows, unnumbered, forgotten };
    }
    Some(())
}

fn put_producer(out: &mut Vec<u8>, (tenant, id): &ProducerKey, producer: &Producer) {
    out.put_u32(*tenant);
    out.put(&id.to_bytes());
    out.put_u64(producer.announced);
    out.put_u64(producer.received);
    out.put_u64(producer.given_up);
    out.put_i64(producer.last_seen_us);
    out.put_u64(producer.last_position.0);
    out.put_count(producer.held.runs().len());
    for run in producer.held.runs() {
        out.put_u64(run.start);
        out.put_u64(run.end);
    }
    out.put_u8(producer.recent.len() as u8);
    for held in &producer.recent {
        out.put_u64(held.first);
        out.put_u32(held.rows);
        out.put_u32(held.crc);
    }
    out.put_u64(producer.unsplit);
    out.put_u8(producer.tables.len() as u8);
    for (table, rows) in &producer.tables {
        out.put_u8(*table as u8);
        counts::put_rows(out, rows);
    }
    counts::put_conflicts(out, producer.conflicts.as_deref());
}

fn read_producer(fields: &mut Fields<'_>, version: u32) -> Option<(ProducerKey, Producer)> {
    let key = (fields.u32()?, ProducerId::from_bytes(fields.array()?));
    let [announced, received, given_up] = [fields.u64()?, fields.u64()?, fields.u64()?];
    let last_seen_us = fields.i64()?;
    let last_position = Position(fields.u64()?);
    let runs = (0..fields.count(16)?).map(|_| Some(fields.u64()?..fields.u64()?)).collect::<Option<Vec<_>>>()?;
    let held = Intervals::restore(runs)?;
    let recent = (0..fields.u8()?)
        .map(|_| Some(Held { first: fields.u64()?, rows: fields.u32()?, crc: fields.u32()? }))
        .collect::<Option<VecDeque<_>>>()?;
    let mut producer =
        Producer { announced, received, given_up, last_seen_us, last_position, held, recent, ..Producer::default() };
    producer.unsplit = received;
    if version >= 4 {
        producer.unsplit = fields.u64()?;
        let tables = 0..fields.u8()?;
        producer.tables = tables
            .map(|_| Some((counts::take_table(fields)?, counts::take_rows(fields, version)?)))
            .collect::<Option<_>>()?;
        producer.conflicts = counts::take_conflicts(fields)?;
    }
    is_sound(&producer).then_some((key, producer))
}

/// What the books say of every producer.
fn is_sound(producer: &Producer) -> bool {
    let split = producer.tables.iter().try_fold(producer.unsplit, |sum, (_, rows)| {
        sum.checked_add(rows.stored)?.checked_add(rows.duplicate_ids)?.checked_add(rows.quarantined)
    });
    producer.recent.len() <= RECENT_MAX
        && producer.announced >= producer.held.end()
        && producer.received.checked_add(producer.given_up).is_some_and(|arrived| arrived <= producer.announced)
        && split == Some(producer.received)
}

/// Slices begin with the first id, follow each other and hold at least one id each.
fn read_slices(fields: &mut Fields<'_>, head: u64, next: u64) -> Option<VecDeque<Slice>> {
    let slices = (0..fields.count(24)?)
        .map(|_| Some(Slice { first: fields.u64()?, oldest_us: fields.i64()?, newest_us: fields.i64()? }))
        .collect::<Option<VecDeque<_>>>()?;
    let ascending = slices.iter().zip(slices.iter().skip(1)).all(|(a, b)| a.first < b.first && head < b.first);
    let begins = slices.front().is_none_or(|slice| slice.first <= head);
    let ends = slices.back().is_none_or(|slice| slice.first < next);
    (head <= next && slices.is_empty() == (head == next) && ascending && begins && ends).then_some(slices)
}
