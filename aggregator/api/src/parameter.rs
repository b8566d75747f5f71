//! What parameters of URLs have in common, read or refused with what to mend.

use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;

use crate::cursor::Cursor;

pub(crate) fn invalid(detail: impl Into<String>) -> Failure {
    Failure::new(400, "invalid-parameter", "Parameter is not valid", detail)
}

/// How many at most.
pub(crate) fn limit(asked: Option<usize>, default: usize, max: usize) -> Result<usize, Failure> {
    match asked.unwrap_or(default) {
        limit if (1..=max).contains(&limit) => Ok(limit),
        _ => Err(invalid(format!("limit must lie between 1 and {max}"))),
    }
}

pub(crate) fn time(name: &str, text: Option<&str>) -> Result<Option<Timestamp>, Failure> {
    let read = |text| {
        let problem = || invalid(format!("{name} must be RFC 3339, for example 2026-11-20T08:15:30Z"));
        Timestamp::parse(text).ok_or_else(problem)
    };
    text.map(read).transpose()
}

pub(crate) fn cursor(text: Option<&str>) -> Result<Option<Cursor>, Failure> {
    let read = |text| Cursor::parse(text).ok_or_else(|| invalid("cursor is none that was given out here"));
    text.map(read).transpose()
}
