//! Points in time: microseconds since 1970 in UTC, RFC 3339 outside.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

/// Years 1 to 9999: what RFC 3339 can write and every reader of the tables can read (some know no year 0).
const RFC3339_MIN_US: i64 = -62_135_596_800_000_000;
const RFC3339_MAX_US: i64 = 253_402_300_799_999_999;

impl Timestamp {
    pub fn now() -> Self {
        Self::from_system(SystemTime::now())
    }

    pub fn from_system(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self(after.as_micros() as i64),
            Err(before) => Self(-(before.duration().as_micros() as i64)),
        }
    }

    /// Reads RFC 3339 (`2026-11-20T08:15:30.123456Z`, any offset).
    pub fn parse(text: &str) -> Option<Self> {
        let micros = DateTime::parse_from_rfc3339(text).ok()?.timestamp_micros();
        Self(micros).checked()
    }

    /// Itself, when RFC 3339 can write it.
    pub fn checked(self) -> Option<Self> {
        (RFC3339_MIN_US..=RFC3339_MAX_US).contains(&self.0).then_some(self)
    }

    pub fn micros(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_timestamp_micros(self.0) {
            Some(time) => out.write_str(&time.to_rfc3339_opts(SecondsFormat::Micros, true)),
            None => write!(out, "{} µs", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_taken_away_and_microseconds_kept() {
        let time = Timestamp::parse("2026-11-20T09:15:30.123456789+01:00").expect("a valid time");
        assert_eq!(time.to_string(), "2026-11-20T08:15:30.123456Z");
    }

    #[test]
    fn times_before_1970_and_leap_days_hold() {
        let time = Timestamp::parse("1968-02-29T23:59:59.000001Z").expect("a valid time");
        assert!(time.micros() < 0);
        assert_eq!(time.to_string(), "1968-02-29T23:59:59.000001Z");
    }

    #[test]
    fn the_first_and_the_last_moment_are_taken() {
        for text in ["0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"] {
            assert_eq!(Timestamp::parse(text).expect("a valid time").to_string(), text);
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in
            ["", "yesterday", "0000-12-31T23:59:59Z", "2026-13-01T00:00:00Z", "2026-11-20", "2026-11-20T08:15:30"]
        {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
