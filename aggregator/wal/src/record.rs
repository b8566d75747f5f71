//! One record of the log, byte by byte. Numbers are little-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `D7 52 4C 1A`: a record begins here (lets recovery find records behind damage) |
//! | 4..8 | length of the whole record, these eight bytes included |
//! | 8..12 | CRC32C over the log's UUID, bytes 4..8 and bytes 12..length: a record of another log is not valid here |
//! | 12 | kind: 1 entry, 2 duplicate (an entry of which no row was stored), 3 gap (see [`Gap`]) |
//! | 13 | table number |
//! | 14 | flags: 1 numbers follow, 2 event ids follow, 4 the same numbers came before with another CRC, 8 a count of quarantined rows follows, 16 the rows came for `events` and were set aside |
//! | 15 | length of the tenant, 1 to 64 |
//! | 16..24 | position |
//! | 24..32 | the position that was durable when this was written, always smaller |
//! | 32..40 | received at, µs since 1970, signed |
//! | 40..48 | announced: numbers that the producer had handed out |
//! | 48..52 | rows, 1 to 262,144 |
//! | 52..56 | skipped rows (duplicate or quarantined): how many are listed; in a duplicate 0, since it means all |
//! | 56..60 | event ids: how many follow; rows − skipped rows when flag 2 is set, in a duplicate 0 |
//! | 60..64 | length of the payload, at most 32 MiB; in a duplicate 0 |
//! | then | the tenant, UTF-8 |
//! | then | with flag 1: producer (16), first number (8), CRC of the content (4) |
//! | then | with flag 8: how many of the rows that are not stored are quarantined (4), at least 1; the rest are duplicates |
//! | then | skipped rows, 4 bytes each, ascending |
//! | then | ids of the rows that are not skipped, 16 bytes each |
//! | then | the payload, untouched |

use std::borrow::Cow;

use ridealong_common::ids::{EventId, ProducerId};
use ridealong_common::table::Table;

use crate::books::RowCounts;
use crate::entry::{LogId, Numbers, Position};
use crate::fields::{Fields, PutFields};

pub const TENANT_BYTES_MAX: usize = 64;
pub const ROWS_MAX: u32 = 1 << 18;
pub const PAYLOAD_BYTES_MAX: usize = 32 << 20;

pub(crate) const MAGIC: [u8; 4] = [0xD7, b'R', b'L', 0x1A];
/// Magic and length: what must be there before anything can be said about a record.
pub(crate) const PREFIX_BYTES: usize = 8;
const FIXED_BYTES: usize = 64;
const NUMBERS_BYTES: usize = 28;
const RECORD_BYTES_MAX: usize =
    FIXED_BYTES + TENANT_BYTES_MAX + NUMBERS_BYTES + 4 + ROWS_MAX as usize * (4 + 16) + PAYLOAD_BYTES_MAX;

const FLAG_NUMBERS: u8 = 1;
const FLAG_IDS: u8 = 2;
const FLAG_CONFLICT: u8 = 4;
const FLAG_QUARANTINED: u8 = 8;
const FLAG_IN_PLACE: u8 = 16;

const _: () = assert!(RECORD_BYTES_MAX < u32::MAX as usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Entry = 1,
    Duplicate = 2,
    Gap = 3,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record<'a> {
    pub kind: Kind,
    pub table: Table,
    pub conflict: bool,
    pub tenant: &'a str,
    pub position: Position,
    pub durable: Position,
    pub received_at_us: i64,
    pub announced: u64,
    pub rows: u32,
    pub numbers: Option<Numbers>,
    pub skipped: Cow<'a, [u32]>,
    /// Of the rows that are not stored, how many were set aside; the others are duplicates.
    pub quarantined: u32,
    /// See [`NewEntry`](crate::NewEntry).
    pub in_place_of_events: bool,
    /// The ids of the rows that are not skipped, when rows of this entry are deduplicated by id.
    pub ids: Option<Cow<'a, [EventId]>>,
    pub payload: &'a [u8],
}

/// Positions whose records were damaged and set aside, and that name nothing any more. A record of it has the position of
/// the last of them, the first as what is announced, the number of records lost as payload (8 bytes), one row, and `-` as
/// tenant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gap {
    pub first: Position,
    pub last: Position,
    /// Records that are known to have been there. Fewer than there are positions when the end of the log is gone: then
    /// positions are skipped that may never have been given.
    pub lost: u64,
}

impl Gap {
    fn is_sound(&self) -> bool {
        let positions = self.last.0.checked_sub(self.first.before().0);
        self.first > Position::NONE && positions.is_some_and(|positions| positions > 0 && self.lost <= positions)
    }

    pub fn encode(&self, received_at_us: i64, seed: Seed, out: &mut Vec<u8>) {
        let record = Record {
            kind: Kind::Gap,
            table: Table::Events,
            conflict: false,
            tenant: "-",
            position: self.last,
            durable: self.first.before(),
            received_at_us,
            announced: self.first.0,
            rows: 1,
            numbers: None,
            skipped: Cow::Borrowed(&[]),
            quarantined: 0,
            in_place_of_events: false,
            ids: None,
            payload: &self.lost.to_le_bytes(),
        };
        record.encode(seed, out);
    }
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotARecord(pub &'static str);

/// What the CRC of every record of a log begins with.
#[derive(Clone, Copy)]
pub(crate) struct Seed(u32);

impl Seed {
    pub fn of(log: LogId) -> Self {
        Self(crc32c::crc32c(&log.to_bytes()))
    }

    fn crc(self, record: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c_append(self.0, &record[4..8]), &record[12..])
    }
}

/// The length that a record's first bytes claim, bounded.
pub(crate) fn length(prefix: &[u8]) -> Result<usize, NotARecord> {
    let mut fields = Fields::new(prefix);
    let (Some(magic), Some(length)) = (fields.array::<4>(), fields.u32()) else {
        return Err(NotARecord("ends within a record"));
    };
    if magic != MAGIC {
        return Err(NotARecord("no record begins here"));
    }
    let length = length as usize;
    if !(FIXED_BYTES..=RECORD_BYTES_MAX).contains(&length) {
        return Err(NotARecord("impossible record length"));
    }
    Ok(length)
}

impl<'a> Record<'a> {
    /// The first position that it stands for; the last is its own.
    pub fn first(&self) -> Position {
        self.gap().map_or(self.position, |gap| gap.first)
    }

    /// Rows of this record that were not stored again.
    pub fn duplicate_rows(&self) -> u32 {
        self.rows_not_stored() - self.quarantined
    }

    /// What became of the rows; `fresh` of their numbers, if they have any, had not come before.
    pub fn row_counts(&self, fresh: Option<u64>) -> RowCounts {
        let (duplicate, quarantined) = (u64::from(self.duplicate_rows()), u64::from(self.quarantined));
        let stored = u64::from(self.rows) - duplicate - quarantined;
        let duplicate_ids = fresh.map_or(duplicate, |fresh| fresh.saturating_sub(stored + quarantined).min(duplicate));
        RowCounts { stored, duplicate_numbers: duplicate - duplicate_ids, duplicate_ids, quarantined }
    }

    /// What was given up, when the record says that.
    pub fn gap(&self) -> Option<Gap> {
        let lost = u64::from_le_bytes(*self.payload.as_array::<8>()?);
        let gap = Gap { first: Position(self.announced), last: self.position, lost };
        (self.kind == Kind::Gap && gap.is_sound()).then_some(gap)
    }

    fn rows_not_stored(&self) -> u32 {
        match self.kind {
            Kind::Entry => self.skipped.len() as u32,
            Kind::Duplicate => self.rows,
            Kind::Gap => 0,
        }
    }

    pub fn encode(&self, seed: Seed, out: &mut Vec<u8>) {
        self.assert_sound();
        let start = out.len();
        let ids = self.ids.as_deref().unwrap_or_default();
        out.put(&MAGIC);
        out.put(&[0; 8]);
        out.put(&[self.kind as u8, self.table as u8, self.flags(), self.tenant.len() as u8]);
        out.put_u64(self.position.0);
        out.put_u64(self.durable.0);
        out.put_i64(self.received_at_us);
        out.put_u64(self.announced);
        out.put_u32(self.rows);
        out.put_count(self.skipped.len());
        out.put_count(ids.len());
        out.put_count(self.payload.len());
        out.put(self.tenant.as_bytes());
        if let Some(numbers) = &self.numbers {
            out.put(&numbers.producer.to_bytes());
            out.put_u64(numbers.first);
            out.put_u32(numbers.crc);
        }
        if self.quarantined > 0 {
            out.put_u32(self.quarantined);
        }
        for row in self.skipped.iter() {
            out.put_u32(*row);
        }
        for id in ids {
            out.put(&id.to_bytes());
        }
        out.put(self.payload);
        let length = out.len() - start;
        out[start + 4..start + 8].copy_from_slice(&(length as u32).to_le_bytes());
        let crc = seed.crc(&out[start..]);
        out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
    }

    /// Reads exactly one record, of the length that [`length`] gave.
    pub fn decode(bytes: &'a [u8], seed: Seed) -> Result<Self, NotARecord> {
        if length(bytes)? != bytes.len() {
            return Err(NotARecord("ends within a record"));
        }
        if bytes[8..12] != seed.crc(bytes).to_le_bytes() {
            return Err(NotARecord("wrong checksum"));
        }
        let record = Self::fields(&bytes[12..]).ok_or(NotARecord("impossible field"))?;
        record.check().map_err(NotARecord)?;
        Ok(record)
    }

    fn fields(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(bytes);
        let kind = match fields.u8()? {
            1 => Kind::Entry,
            2 => Kind::Duplicate,
            3 => Kind::Gap,
            _ => return None,
        };
        let table = Table::from_number(fields.u8()?)?;
        let flags = fields.u8()?;
        let tenant_bytes = usize::from(fields.u8()?);
        let position = Position(fields.u64()?);
        let durable = Position(fields.u64()?);
        let received_at_us = fields.i64()?;
        let announced = fields.u64()?;
        let rows = fields.u32()?;
        let [skipped, ids, payload] = [fields.u32()? as usize, fields.u32()? as usize, fields.u32()? as usize];
        let tenant = str::from_utf8(fields.take(tenant_bytes)?).ok()?;
        let numbers = match flags & FLAG_NUMBERS {
            0 => None,
            _ => Some(Numbers {
                producer: ProducerId::from_bytes(fields.array()?),
                first: fields.u64()?,
                crc: fields.u32()?,
            }),
        };
        let quarantined = match flags & FLAG_QUARANTINED {
            0 => 0,
            _ => fields.u32().filter(|quarantined| *quarantined > 0)?,
        };
        let skipped = fields
            .take(skipped.checked_mul(4)?)?
            .chunks_exact(4)
            .map(|row| u32::from_le_bytes([row[0], row[1], row[2], row[3]]));
        let (id_chunks, _) = fields.take(ids.checked_mul(16)?)?.as_chunks::<16>();
        let has_ids = flags & FLAG_IDS != 0;
        if !has_ids && ids != 0 {
            return None;
        }
        let record = Record {
            kind,
            table,
            conflict: flags & FLAG_CONFLICT != 0,
            in_place_of_events: flags & FLAG_IN_PLACE != 0,
            tenant,
            position,
            durable,
            received_at_us,
            announced,
            rows,
            numbers,
            skipped: skipped.collect(),
            quarantined,
            ids: has_ids.then(|| id_chunks.iter().map(|id| EventId::from_u128(u128::from_be_bytes(*id))).collect()),
            payload: fields.take(payload)?,
        };
        (fields.left() == 0).then_some(record)
    }

    fn flags(&self) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        flag(self.numbers.is_some(), FLAG_NUMBERS)
            | flag(self.ids.is_some(), FLAG_IDS)
            | flag(self.conflict, FLAG_CONFLICT)
            | flag(self.quarantined > 0, FLAG_QUARANTINED)
            | flag(self.in_place_of_events, FLAG_IN_PLACE)
    }

    /// What holds of every record, written or read.
    fn check(&self) -> Result<(), &'static str> {
        let kept = (self.rows as usize).saturating_sub(self.skipped.len());
        let ids = self.ids.as_deref().map(<[EventId]>::len);
        let shape_fits = match self.kind {
            Kind::Entry => kept > 0 && ids.is_none_or(|ids| ids == kept),
            Kind::Gap => self.gap().is_some() && self.skipped.is_empty() && ids.is_none() && self.numbers.is_none(),
            Kind::Duplicate => self.skipped.is_empty() && ids.is_none_or(|ids| ids == 0) && self.payload.is_empty(),
        };
        let skipped_fit =
            self.skipped.is_sorted_by(|a, b| a < b) && self.skipped.last().is_none_or(|row| *row < self.rows);
        let numbers_fit = self.numbers.is_none_or(|numbers| numbers.first.checked_add(u64::from(self.rows)).is_some());
        if self.tenant.is_empty() || self.tenant.len() > TENANT_BYTES_MAX {
            Err("impossible tenant")
        } else if self.rows == 0 || self.rows > ROWS_MAX || !skipped_fit || !shape_fits {
            Err("impossible rows")
        } else if self.quarantined > self.rows_not_stored() {
            Err("impossible quarantined rows")
        } else if self.payload.len() > PAYLOAD_BYTES_MAX {
            Err("impossible payload length")
        } else if !numbers_fit {
            Err("impossible numbers")
        } else if self.durable >= self.position {
            Err("impossible position")
        } else {
            Ok(())
        }
    }

    fn assert_sound(&self) {
        if let Err(what) = self.check() {
            panic!("the writer made a record with {what}");
        }
    }
}

#[cfg(test)]
mod tests;
