//! The follower: one thread that reads what is durable in the log into hot rows, from where Delta ends. Normal running
//! and recovery are this one loop.

use std::collections::BTreeMap;
use std::time::Duration;

use ridealong_engine::datafusion::arrow::array::RecordBatch;
use ridealong_wal::{Entry, Follower, Position, ReadError};

use crate::convert::{joined, rows_of};
use crate::flush::FlushRequest;
use crate::hot::TableKey;
use crate::lake::Shared;

/// Payload read at once: many small entries become one batch of hot rows.
const READ_BYTES: usize = 4 << 20;
/// How long the follower sleeps at most before it looks whether it should stop.
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) fn follow(shared: &Shared, start: Position) {
    let mut follower = shared.wal.follow(start);
    while !shared.closing.is_cancelled() {
        if shared.tables.hot_bytes() > shared.options.hot_bytes_max {
            request_flush(shared);
            std::thread::sleep(PAUSE);
            continue;
        }
        match follower.next_batch(READ_BYTES) {
            Ok(entries) if entries.is_empty() => {
                shared.counters.lock().log_error = None;
                wait(shared, &follower);
            }
            Ok(entries) => take(shared, &entries),
            Err(error) => {
                unreadable(shared, &error);
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Nothing is left to read: says so, and waits for more.
fn wait(shared: &Shared, follower: &Follower) {
    shared.readable.send_if_modified(|readable| {
        let advanced = follower.position() > *readable;
        *readable = (*readable).max(follower.position());
        advanced
    });
    follower.wait(PAUSE);
}

/// Rows that were acknowledged cannot be shown: said once, and by health as long as it lasts.
fn unreadable(shared: &Shared, error: &ReadError) {
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
    let (request, _) = FlushRequest::up_to(*shared.readable.borrow());
    let _ = shared.requests.try_send(request);
}

/// Turns entries into hot rows, those of one table into one batch, and then makes them readable all at once.
fn take(shared: &Shared, entries: &[Entry]) {
    let mut batches: BTreeMap<TableKey, (Vec<RecordBatch>, Position)> = BTreeMap::new();
    for entry in entries {
        let key = TableKey { tenant: entry.tenant.clone(), table: entry.table };
        if shared.tables.holds(&key, entry.position) {
            continue;
        }
        match rows_of(entry) {
            Ok(rows) => {
                let (batch, position) = batches.entry(key).or_default();
                batch.push(rows);
                *position = entry.position;
            }
            Err(error) => {
                tracing::error!(position = entry.position.0, error = &error as &dyn std::error::Error, "entry skipped");
                shared.counters.lock().unreadable += 1;
            }
        }
    }
    for (key, (rows, position)) in batches {
        if !shared.tables.contains(&key) {
            shared.tables.add(key.clone(), Default::default(), Position(0));
        }
        match joined(key.table, &rows) {
            Ok(rows) => shared.tables.append(&key, rows, position),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "rows skipped");
                shared.counters.lock().unreadable += 1;
            }
        }
    }
    if let Some(last) = entries.last() {
        shared.readable.send_replace(last.position);
    }
}
