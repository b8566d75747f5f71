//! The file `mutations`, a journal: what was asked, until it has reached every file. Each change is JSON, one of
//! [`Entry`].

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ridealong_wal::disk::Disk;
use ridealong_wal::journal::{Change, Format, Journal as File, JournalError};
use serde::{Deserialize, Serialize};

use super::people::People;

const FORMAT: Format = Format {
    name: "mutations",
    header: *b"RLMU\x01\0\0\0",
    record_magic: *b"RLmu",
    // As many names as are noted one by one, at their longest.
    change_bytes_max: 16 << 20,
    file_bytes_max: 32 << 20,
};

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Entry {
    /// In force from here on.
    Begun(Box<Record>),
    /// The visits of those that it names were made anew, of every mutation up to this number.
    Visited { tenant: String, number: u64 },
    /// No file and no part of the log holds rows that it changes.
    Done { number: u64 },
    /// All that has been, when the file is written anew.
    Total { tenant: String, table: String, rows_deleted: u64 },
    /// The highest number given so far.
    Last { number: u64 },
}

/// One mutation as it was asked, and what it found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub number: u64,
    pub at_us: i64,
    pub tenant: String,
    pub table: String,
    pub condition: String,
    /// The new values; None when the rows are deleted.
    pub set: Option<BTreeMap<String, serde_json::Value>>,
    /// It holds for rows of this log up to this position.
    pub log: String,
    pub position: u64,
    /// Rows that it found.
    pub rows: u64,
    /// Files with such rows, by their names, and how many.
    pub files: BTreeMap<String, u64>,
    /// Whose visits it changes, until they are made anew.
    pub people: Option<People>,
}

/// What is not done, and what has been.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub records: BTreeMap<u64, Record>,
    /// By tenant and table.
    pub deleted: BTreeMap<(String, String), u64>,
    pub last: u64,
}

pub(crate) struct Journal(File);

impl Journal {
    pub fn open(disk: Arc<dyn Disk>) -> Result<(Self, Kept), JournalError> {
        let (file, kept) = File::open(disk, FORMAT, kept)?;
        Ok((Self(file), kept))
    }

    /// Makes a change durable; `kept` is what holds with it.
    pub fn append(&mut self, entry: &Entry, kept: &Kept) -> io::Result<()> {
        self.0.append(&serde_json::to_vec(entry)?, || {
            let totals = kept.deleted.iter().map(|((tenant, table), rows)| Entry::Total {
                tenant: tenant.clone(),
                table: table.clone(),
                rows_deleted: *rows,
            });
            // A record counts what it deletes when it is read: the totals are those of before it.
            let totals = totals.map(|total| less_open(total, kept));
            let records = kept.records.values().cloned().map(|record| Entry::Begun(Box::new(record)));
            let all = [Entry::Last { number: kept.last }].into_iter().chain(totals).chain(records);
            all.map(|entry| Ok(serde_json::to_vec(&entry)?)).collect()
        })
    }
}

fn less_open(total: Entry, kept: &Kept) -> Entry {
    let Entry::Total { tenant, table, rows_deleted } = total else { return total };
    let open =
        kept.records.values().filter(|record| record.set.is_none() && record.tenant == tenant && record.table == table);
    let open: u64 = open.map(|record| record.rows).sum();
    Entry::Total { tenant, table, rows_deleted: rows_deleted.saturating_sub(open) }
}

fn kept(changes: &[Change<'_>]) -> Result<Kept, JournalError> {
    let mut kept = Kept::default();
    for Change { offset, bytes } in changes {
        let entry = serde_json::from_slice(bytes).map_err(|_| FORMAT.damaged(*offset, "a change cannot be read"))?;
        kept.take(entry);
    }
    Ok(kept)
}

impl Kept {
    /// As before a mutation that could not be made durable, but for its number.
    pub fn undo(&mut self, record: &Record) {
        self.records.remove(&record.number);
        if record.set.is_none()
            && let Some(rows) = self.deleted.get_mut(&(record.tenant.clone(), record.table.clone()))
        {
            *rows = rows.saturating_sub(record.rows);
        }
    }

    pub fn take(&mut self, entry: Entry) {
        match entry {
            Entry::Begun(record) => {
                self.last = self.last.max(record.number);
                if record.set.is_none() {
                    *self.deleted.entry((record.tenant.clone(), record.table.clone())).or_default() += record.rows;
                }
                self.records.insert(record.number, *record);
            }
            Entry::Visited { tenant, number } => {
                let seen = self.records.range_mut(..=number).map(|(_, record)| record);
                seen.filter(|record| record.tenant == tenant).for_each(|record| record.people = None);
            }
            Entry::Done { number } => drop(self.records.remove(&number)),
            Entry::Total { tenant, table, rows_deleted } => {
                *self.deleted.entry((tenant, table)).or_default() += rows_deleted;
            }
            Entry::Last { number } => self.last = self.last.max(number),
        }
    }
}

#[cfg(test)]
mod tests;
