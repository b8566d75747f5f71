//! Where a page ended: opaque outside. Lists are ordered by time and id, newest first, so a page that begins after a row
//! begins there whatever came in, moved or went meanwhile.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ridealong_common::ids::EventId;
use ridealong_common::time::Timestamp;
use ridealong_model::query::time_literal;

/// Rows after this one, newest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cursor {
    pub timestamp: Timestamp,
    pub event_id: EventId,
}

/// The order in which a cursor has a meaning.
pub(crate) const NEWEST_FIRST: &str = r#""timestamp" DESC, event_id DESC"#;

impl Cursor {
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (micros, event_id) = str::from_utf8(&bytes).ok()?.split_once(' ')?;
        let timestamp = Timestamp(micros.parse().ok()?).checked()?;
        Some(Self { timestamp, event_id: event_id.parse().ok()? })
    }

    /// The rows after it, as SQL. The time stands there twice: by its bound alone files are left out.
    pub fn condition(&self) -> String {
        let (time, id) = (time_literal(self.timestamp), self.event_id);
        format!(r#""timestamp" <= {time} AND ("timestamp" < {time} OR event_id < '{id}')"#)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&URL_SAFE_NO_PAD.encode(format!("{} {}", self.timestamp.micros(), self.event_id)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went_out() {
        let cursor = Cursor { timestamp: Timestamp(-5), event_id: EventId::draw() };
        assert_eq!(Cursor::parse(&cursor.to_string()), Some(cursor));
    }

    #[test]
    fn what_is_none_is_refused() {
        let encoded = |text: &str| URL_SAFE_NO_PAD.encode(text);
        let id = EventId::draw();
        for text in [
            String::new(),
            "%".into(),
            encoded("5"),
            encoded("5 "),
            encoded("5 ' OR true"),
            encoded(&format!("x {id}")),
            encoded(&format!("{} {id}", i64::MAX)),
        ] {
            assert_eq!(Cursor::parse(&text), None, "{text}");
        }
    }
}
