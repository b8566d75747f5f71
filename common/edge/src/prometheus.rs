//! Prometheus' text format, version 0.0.4.

use std::fmt::Write;

use axum::http::header;
use axum::response::{IntoResponse, Response};

const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Metrics on their way out.
#[derive(Default)]
pub struct Text(String);

impl Text {
    pub fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// One value. Label values are names of ours, which need no escaping.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: u64) {
        let labels: Vec<String> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.0, "{name}{labels} {value}");
    }

    /// A family with one histogram: each upper bound with the count up to it; the last bound is `+Inf`.
    pub fn histogram(&mut self, name: &str, help: &str, buckets: &[(String, u64)], sum: f64) {
        self.family(name, "histogram", help);
        for (bound, count) in buckets {
            self.sample(&format!("{name}_bucket"), &[("le", bound)], *count);
        }
        let count = buckets.last().map_or(0, |(_, count)| *count);
        let _ = writeln!(self.0, "{name}_sum {sum}\n{name}_count {count}");
    }

    /// A family with one time, given in milliseconds.
    pub fn seconds(&mut self, name: &str, help: &str, milliseconds: u64) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.0, "{name} {}.{:03}", milliseconds / 1_000, milliseconds % 1_000);
    }

    /// A family with one value.
    pub fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }
}

impl IntoResponse for Text {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, CONTENT_TYPE)], self.0).into_response()
    }
}
