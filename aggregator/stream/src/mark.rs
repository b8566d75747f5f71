//! Where in the log an event is: what a viewer hands back to go on after it.

use std::fmt;
use std::str::FromStr;

use ridealong_wal::{LogId, Position};

/// An event's place: its entry, and the row in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    pub position: Position,
    pub row: u32,
}

impl Mark {
    /// After every row of an entry.
    pub(crate) const fn end_of(position: Position) -> Self {
        Self { position, row: u32::MAX }
    }
}

/// A mark as viewers know it, `LOG-POSITION-ROW`: 8 digits of the log's identity, since positions of another log name
/// other events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventMark {
    log: u32,
    pub(crate) mark: Mark,
}

impl EventMark {
    pub(crate) fn new(log: LogId, mark: Mark) -> Self {
        Self { log: short(log), mark }
    }

    pub(crate) fn is_of(&self, log: LogId) -> bool {
        self.log == short(log)
    }
}

fn short(log: LogId) -> u32 {
    let [a, b, c, d, ..] = log.to_bytes();
    u32::from_be_bytes([a, b, c, d])
}

impl fmt::Display for EventMark {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:08x}-{}-{}", self.log, self.mark.position.0, self.mark.row)
    }
}

impl FromStr for EventMark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(NoMark);
        let log = u32::from_str_radix(part()?, 16).map_err(|_| NoMark)?;
        let position = Position(part()?.parse().map_err(|_| NoMark)?);
        let row = part()?.parse().map_err(|_| NoMark)?;
        Ok(Self { log, mark: Mark { position, row } })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is the id of no event that was shown here, such as 1f3a9c02-1234-0")]
pub struct NoMark;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_is_written() {
        let log = LogId::from_bytes([0x0f, 0x3a, 0x9c, 2, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
        let mark = EventMark::new(log, Mark { position: Position(1_234), row: 7 });
        assert_eq!(mark.to_string(), "0f3a9c02-1234-7");
        assert_eq!(mark.to_string().parse(), Ok(mark));
        assert!(mark.is_of(log) && !mark.is_of(LogId::draw()));
    }

    #[test]
    fn what_is_no_mark_is_refused() {
        for text in ["", "1", "1-2", "g-1-1", "1--1", "1-2-3-4", "1-2-4294967296", "00000001-18446744073709551616-0"] {
            assert_eq!(text.parse::<EventMark>(), Err(NoMark), "{text}");
        }
    }
}
