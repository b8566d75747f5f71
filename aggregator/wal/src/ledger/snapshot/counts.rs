//! The small parts of a ledger on disk: counts of rows, of forgotten producers, of conflicts.

use ridealong_common::table::Table;

use crate::books::{Conflict, Conflicts, ProducersForgotten, RowCounts};
use crate::fields::{Fields, PutFields};

pub(super) fn put_rows(out: &mut Vec<u8>, rows: &RowCounts) {
    for count in [rows.stored, rows.duplicate_numbers, rows.duplicate_ids, rows.quarantined] {
        out.put_u64(count);
    }
}

/// Before version 4 all duplicates are said to be by number.
pub(super) fn take_rows(fields: &mut Fields<'_>, version: u32) -> Option<RowCounts> {
    let [stored, duplicate_numbers] = [fields.u64()?, fields.u64()?];
    let duplicate_ids = if version < 4 { 0 } else { fields.u64()? };
    let quarantined = if version < 2 { 0 } else { fields.u64()? };
    Some(RowCounts { stored, duplicate_numbers, duplicate_ids, quarantined })
}

pub(super) fn take_table(fields: &mut Fields<'_>) -> Option<Table> {
    Table::from_number(fields.u8()?)
}

pub(super) fn put_forgotten(out: &mut Vec<u8>, forgotten: &ProducersForgotten) {
    out.put_u64(forgotten.producers);
    for total in [forgotten.announced, forgotten.received, forgotten.given_up] {
        out.put(&total.to_le_bytes());
    }
}

pub(super) fn take_forgotten(fields: &mut Fields<'_>, version: u32) -> Option<ProducersForgotten> {
    let producers = fields.u64()?;
    let mut total = || Some(u128::from_le_bytes(fields.array()?));
    let [announced, received] = [total()?, total()?];
    let given_up = if version < 4 { 0 } else { total()? };
    Some(ProducersForgotten { producers, announced, received, given_up })
}

pub(super) fn put_conflicts(out: &mut Vec<u8>, conflicts: Option<&Conflicts>) {
    out.put_u64(conflicts.map_or(0, |conflicts| conflicts.count));
    for conflict in conflicts.iter().flat_map(|conflicts| [conflicts.first, conflicts.last]) {
        out.put_u64(conflict.first);
        out.put_u32(conflict.rows);
        out.put_i64(conflict.at_us);
    }
}

/// The inner None: there was none.
#[allow(clippy::option_option, reason = "bytes that are wrong, and bytes that say that there was none")]
pub(super) fn take_conflicts(fields: &mut Fields<'_>) -> Option<Option<Box<Conflicts>>> {
    let count = fields.u64()?;
    if count == 0 {
        return Some(None);
    }
    let mut conflict = || Some(Conflict { first: fields.u64()?, rows: fields.u32()?, at_us: fields.i64()? });
    let [first, last] = [conflict()?, conflict()?];
    Some(Some(Box::new(Conflicts { count, first, last })))
}
