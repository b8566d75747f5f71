//! Entries of the log as tests append them.

use std::sync::Arc;

use bytes::Bytes;
use ridealong_common::event::TrackedEvent;
use ridealong_common::rows::RequestRow;
use ridealong_common::table::Table;
use ridealong_wal::NewEntry;

pub(crate) fn of_requests(rows: &[RequestRow]) -> NewEntry {
    let payload = RequestRow::block(rows, &Default::default()).encode().expect("encodes");
    entry(Table::Requests, rows.len(), payload.into())
}

pub(crate) fn of_events(events: &[TrackedEvent]) -> NewEntry {
    let payload = TrackedEvent::block(events).encode().expect("encodes");
    let event_ids = Some(events.iter().map(|event| event.event_id).collect());
    NewEntry { event_ids, ..entry(Table::Events, events.len(), payload.into()) }
}

/// Rows without numbers and without ids to look for.
pub(crate) fn entry(table: Table, rows: usize, payload: Bytes) -> NewEntry {
    NewEntry {
        tenant: Arc::from("default"),
        table,
        received_at_us: 1,
        numbers: None,
        announced: 0,
        rows: rows as u32,
        event_ids: None,
        quarantined_rows: Vec::new(),
        in_place_of_events: false,
        payload,
    }
}
