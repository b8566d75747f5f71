//! Where a page ended: opaque outside.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ridealong_common::time::Timestamp;
use ridealong_ingest::QuarantineRow;

/// Rows after this one, newest first.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cursor {
    pub timestamp: Timestamp,
    pub event_id: String,
}

impl Cursor {
    pub fn after(row: &QuarantineRow) -> Self {
        Self { timestamp: row.timestamp, event_id: row.event_id.to_string() }
    }

    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (micros, event_id) = str::from_utf8(&bytes).ok()?.split_once(' ')?;
        let timestamp = Timestamp(micros.parse().ok()?).checked()?;
        Some(Self { timestamp, event_id: event_id.to_owned() })
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&URL_SAFE_NO_PAD.encode(format!("{} {}", self.timestamp.micros(), self.event_id)))
    }
}
