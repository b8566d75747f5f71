//! Reading the settings of what is recorded.

use ridealong_common::settings::{FromSetting, List, Reader};

use crate::pattern::Pattern;
use crate::privacy::{HeaderName, PrivacySettings};
use crate::sampling::Sampling;

/// Patterns of one setting: each may be compared with each path.
const PATTERNS_MAX: usize = 100;
/// Headers and query parameters that are kept: each may be a column's text in every row.
const NAMES_MAX: usize = 32;

pub(super) fn sampling(read: &mut Reader<'_>) -> Sampling {
    let sampling = Sampling { rate: read.required("sample"), slow: read.required("slow") };
    sampling.checked().unwrap_or_else(|problem| {
        read.fault("sample", problem);
        Sampling::default()
    })
}

pub(super) fn patterns(read: &mut Reader<'_>, key: &'static str) -> Vec<Pattern> {
    listed(read, key, PATTERNS_MAX)
}

pub(super) fn privacy(read: &mut Reader<'_>) -> PrivacySettings {
    PrivacySettings {
        record_query: listed(read, "record-query", NAMES_MAX),
        record_headers: listed::<HeaderName>(read, "record-headers", NAMES_MAX),
        redact: patterns(read, "redact"),
        client_address: read.required("client-address"),
    }
}

/// Given several times, or several with commas between.
fn listed<T: FromSetting>(read: &mut Reader<'_>, key: &'static str, most: usize) -> Vec<T> {
    let values: Vec<T> = read.many::<List<T>>(key).into_iter().flat_map(|List(values)| values).collect();
    if values.len() > most {
        read.fault(key, format!("has {} values, at most {most} are taken", values.len()));
    }
    values
}
