//! The follower: one thread that reads what is durable in the log into hot rows, from where Delta ends. Normal running
//! and recovery are this one loop.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ridealong_common::table::Table;
use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_model::budget::Account;
use ridealong_wal::{Entry, Follower, Position, ReadError};

use crate::convert::{ConvertError, joined, rows_of};
use crate::flush::Request;
use crate::hot::TableKey;
use crate::lake::Shared;
use crate::visits;

/// Payload read at once: many small entries become one batch of hot rows.
const READ_BYTES: usize = 1 << 20;
/// How long the follower sleeps at most before it looks whether it should stop.
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) fn follow(shared: &Shared, start: Position) {
    let mut follower = shared.wal.follow(start);
    while !shared.closing.is_cancelled() {
        let hot_bytes = shared.tables.hot_bytes();
        shared.options.budget.hold(Account::HotRows, hot_bytes as u64);
        if hot_bytes > shared.options.hot_bytes_max {
            request_flush(shared);
            std::thread::sleep(PAUSE);
            continue;
        }
        match follower.next_batch(READ_BYTES) {
            Ok(entries) if entries.is_empty() => {
                shared.counters.lock().log_error = None;
                wait(shared, &follower);
            }
            Ok(entries) => {
                shared.read_offset.store(follower.offset(), Ordering::Relaxed);
                take(shared, &entries);
            }
            Err(error) => {
                cannot_read(shared, &error);
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Nothing is left to read: says so, and waits for more.
fn wait(shared: &Shared, follower: &Follower) {
    shared.tables.append(Vec::new(), follower.position());
    shared.readable.send_if_modified(|readable| {
        let advanced = follower.position() > *readable;
        *readable = (*readable).max(follower.position());
        advanced
    });
    follower.wait(PAUSE);
}

/// Rows that were acknowledged cannot be shown: said once, and by health as long as it lasts.
fn cannot_read(shared: &Shared, error: &ReadError) {
    let text = error.to_string();
    let mut counters = shared.counters.lock();
    if counters.log_error.as_ref() != Some(&text) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "the log cannot be read, queries are refused; \
            restore the file, or start with --salvage to set aside what is damaged"
        );
        counters.log_error = Some(text);
    }
}

fn request_flush(shared: &Shared) {
    // A full queue means that flushes are under way; an answer is not needed.
    let (request, _) = Request::flush(*shared.readable.borrow());
    let _ = shared.requests.try_send(request);
}

/// Turns entries into hot rows, those of one table into one batch, and then makes them readable all at once.
fn take(shared: &Shared, entries: &[Entry]) {
    let mut taken = Taken::default();
    for entry in entries {
        let key = |table| TableKey { tenant: entry.tenant.clone(), table };
        let missing = |table| Some(key(table)).filter(|key| !shared.tables.holds(key, entry.position));
        let own = missing(entry.table);
        // Each table has a position of its own in Delta: after a restart one may hold what the other does not.
        let visits = (entry.table == Table::Events).then(|| missing(Table::Visits)).flatten();
        if own.is_none() && visits.is_none() {
            continue;
        }
        match rows_of(entry) {
            Ok(rows) => {
                if let Some(key) = visits {
                    taken.add(key, rows.clone(), entry.position);
                }
                let Some(key) = own else { continue };
                match shared.mutations.replayed(&key, entry.position, rows) {
                    Ok(rows) => taken.add(key, rows, entry.position),
                    Err(error) => skipped(shared, &error.into(), entry.position),
                }
            }
            Err(error) => skipped(shared, &error, entry.position),
        }
    }
    let mut added = Vec::with_capacity(taken.tables.len());
    for (key, (rows, position)) in taken.tables {
        let batch = match key.table {
            Table::Visits => visits::of_events(&rows).map_err(ConvertError::from),
            table => joined(table, &rows).map(Some),
        };
        match batch {
            Ok(Some(batch)) => added.push((key, batch, position)),
            // No event that names anybody.
            Ok(None) => {}
            Err(error) => skipped(shared, &error, position),
        }
    }
    for (key, ..) in &added {
        if !shared.tables.contains(key) {
            shared.tables.add(key.clone(), Default::default(), Position(0), shared.mutations.changed(key));
        }
    }
    if let Some(last) = entries.last() {
        shared.tables.append(added, last.position);
        shared.readable.send_replace(last.position);
    }
}

/// The rows for each table, with the position of the last entry among them. For visits they are rows of events.
#[derive(Default)]
struct Taken {
    tables: BTreeMap<TableKey, (Vec<RecordBatch>, Position)>,
}

impl Taken {
    fn add(&mut self, key: TableKey, rows: RecordBatch, at: Position) {
        let (batches, position) = self.tables.entry(key).or_default();
        batches.push(rows);
        *position = at;
    }
}

fn skipped(shared: &Shared, error: &ConvertError, position: Position) {
    tracing::error!(position = position.0, error = error as &dyn std::error::Error, "rows skipped");
    shared.counters.lock().unreadable += 1;
}
