//! Which rows of a new entry are duplicates. Numbers first, ids second; rows granted earlier in the same group count.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use ridealong_common::ids::EventId;

use super::intervals::uncovered;
use super::producers::{Held, ProducerKey};
use super::{Ledger, Producers};
use crate::entry::NewEntry;
use crate::queue::AppendError;
use crate::record::Kind;

/// What a group was granted and what is not yet durable.
#[derive(Default)]
pub(crate) struct Provisional {
    numbers: HashMap<ProducerKey, Vec<Held>>,
    ids: HashSet<u128>,
}

/// What becomes of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub kind: Kind,
    pub conflict: bool,
    /// The rows that are held already, ascending.
    pub duplicates: Vec<u32>,
    /// The new rows that are set aside, ascending.
    pub quarantined: Vec<u32>,
    /// The ids of the rows that are stored, when the entry has ids.
    pub ids: Option<Vec<EventId>>,
}

impl Provisional {
    pub fn clear(&mut self) {
        self.numbers.clear();
        self.ids.clear();
    }
}

impl Ledger {
    /// Decides about a checked entry and notes in `provisional` what it is granted.
    pub fn decide(&mut self, provisional: &mut Provisional, entry: &NewEntry) -> Result<Decision, AppendError> {
        let tenant = self.tenants.admit(&entry.tenant).ok_or(AppendError::Invalid("too many tenants"))?;
        let mut new_numbers = None;
        if let Some(numbers) = &entry.numbers {
            let key = (tenant, numbers.producer);
            let held = Held::new(numbers, entry.rows);
            let granted = provisional.numbers.entry(key).or_default();
            let left = new_parts(&self.producers, &key, granted, &held);
            if left.is_empty() {
                let conflict = self.is_conflict(&key, granted, &held);
                return Ok(Decision::duplicate(entry, conflict));
            }
            granted.push(held);
            new_numbers = Some((held, left));
        }
        let all_new = new_numbers.as_ref().is_none_or(|(held, left)| *left == [held.range()]);
        if all_new && entry.event_ids.is_none() && entry.quarantined_rows.is_empty() {
            return Ok(Decision::plain());
        }
        let salt = self.tenants.salt(tenant, entry.table);
        let mut decision = Decision::plain();
        let mut ids = entry.event_ids.as_ref().map(|ids| Vec::with_capacity(ids.len()));
        let mut parts = NewRows::new(new_numbers.as_ref());
        let mut quarantined = entry.quarantined_rows.iter().copied().peekable();
        for row in 0..entry.rows {
            let is_quarantined = quarantined.next_if_eq(&row).is_some();
            let id = entry.event_ids.as_ref().map(|ids| ids[row as usize]);
            let seen = |id: EventId| {
                let key = id.as_u128() ^ salt;
                self.ids.contains(key) || !provisional.ids.insert(key)
            };
            if !parts.is_new(row) {
                decision.duplicates.push(row);
            } else if is_quarantined {
                decision.quarantined.push(row);
            } else if id.is_some_and(seen) {
                decision.duplicates.push(row);
            } else if let (Some(ids), Some(id)) = (&mut ids, id) {
                ids.push(id);
            }
        }
        if decision.duplicates.len() + decision.quarantined.len() == entry.rows as usize {
            decision.kind = Kind::Duplicate;
        }
        decision.ids = ids;
        Ok(decision)
    }

    fn is_conflict(&self, key: &ProducerKey, granted: &[Held], held: &Held) -> bool {
        let known = self.producers.get(key).map(|producer| &producer.recent);
        let conflict = known.into_iter().flatten().chain(granted).any(|other| other.conflicts(held));
        // Someone must look into the first; a stream of them is in the books and must not fill the journal.
        if conflict && (self.conflicts + 1).is_power_of_two() {
            let (tenant, producer) = (self.tenants.name(key.0), key.1);
            tracing::error!(%tenant, %producer, first = held.first, rows = held.rows, total = self.conflicts + 1,
                "the same numbers came again with other content");
        }
        conflict
    }
}

impl Decision {
    fn plain() -> Self {
        Self { kind: Kind::Entry, conflict: false, duplicates: Vec::new(), quarantined: Vec::new(), ids: None }
    }

    fn duplicate(entry: &NewEntry, conflict: bool) -> Self {
        let ids = entry.event_ids.as_ref().map(|_| Vec::new());
        Self { kind: Kind::Duplicate, conflict, duplicates: (0..entry.rows).collect(), quarantined: Vec::new(), ids }
    }

    /// The rows that are not stored, ascending.
    pub fn skipped(&self) -> Vec<u32> {
        let mut skipped = [self.duplicates.as_slice(), &self.quarantined].concat();
        skipped.sort_unstable();
        skipped
    }
}

/// The parts of a range that neither the ledger nor the group holds.
fn new_parts(producers: &Producers, key: &ProducerKey, granted: &[Held], held: &Held) -> Vec<Range<u64>> {
    let range = held.range();
    let known = producers.get(key).map_or(&[][..], |producer| producer.held.overlapping(&range));
    let granted: Vec<Range<u64>> = granted.iter().map(Held::range).collect();
    uncovered(range, known.iter().chain(&granted))
}

/// Walks along the new parts of an entry's numbers, row by row.
struct NewRows<'a> {
    first: u64,
    /// None: the entry has no numbers, every row is new.
    parts: Option<&'a [Range<u64>]>,
}

impl<'a> NewRows<'a> {
    fn new(numbers: Option<&'a (Held, Vec<Range<u64>>)>) -> Self {
        match numbers {
            None => Self { first: 0, parts: None },
            Some((held, parts)) => Self { first: held.first, parts: Some(parts) },
        }
    }

    /// To be asked for each row in order.
    fn is_new(&mut self, row: u32) -> bool {
        let number = self.first + u64::from(row);
        let Some(parts) = &mut self.parts else { return true };
        while let [part, rest @ ..] = *parts
            && part.end <= number
        {
            *parts = rest;
        }
        parts.first().is_some_and(|part| part.start <= number)
    }
}
