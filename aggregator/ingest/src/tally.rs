//! What came in and what was refused, counted where it happens, since the start of the process. What was stored and what
//! was a duplicate is counted by the log.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use serde::Serialize;

use crate::events::{EventReceipt, EventStatus};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<TallySnapshot>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TallySnapshot {
    pub frames: u64,
    pub frame_bytes: u64,
    /// Rows in frames that could be read.
    pub frame_rows: u64,
    /// Events at the JSON doors, whatever became of them.
    pub json_events: u64,
    /// What became of them; with the refused ones, all of them.
    pub json_stored: u64,
    pub json_duplicate: u64,
    pub json_quarantined: u64,
    /// Frames refused, by reason.
    pub refused_frames: BTreeMap<&'static str, u64>,
    /// Events at the JSON doors refused, by reason.
    pub refused_events: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn frame(&self, bytes: usize) {
        let mut counts = self.counts.lock();
        counts.frames += 1;
        counts.frame_bytes += bytes as u64;
    }

    pub fn frame_rows(&self, rows: u64) {
        self.counts.lock().frame_rows += rows;
    }

    pub fn frame_refused(&self, reason: &'static str) {
        *self.counts.lock().refused_frames.entry(reason).or_default() += 1;
    }

    pub fn events(&self, count: usize) {
        self.counts.lock().json_events += count as u64;
    }

    pub fn events_refused(&self, reason: &'static str, count: usize) {
        if count > 0 {
            *self.counts.lock().refused_events.entry(reason).or_default() += count as u64;
        }
    }

    pub fn receipts(&self, receipts: &[EventReceipt]) {
        let mut counts = self.counts.lock();
        for receipt in receipts {
            match &receipt.status {
                Ok(EventStatus::Stored) => counts.json_stored += 1,
                Ok(EventStatus::Duplicate) => counts.json_duplicate += 1,
                Ok(EventStatus::Quarantined) => counts.json_quarantined += 1,
                Err(_) => *counts.refused_events.entry("invalid").or_default() += 1,
            }
        }
    }

    pub fn snapshot(&self) -> TallySnapshot {
        self.counts.lock().clone()
    }
}
