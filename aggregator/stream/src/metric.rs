//! The names of the live numbers. What each means is in `numbers.rs`.

use ridealong_common::settings::nearest;
use thiserror::Error;

/// Names in one list; more are repetitions or nonsense.
pub const LIST_MAX: usize = 64;

macro_rules! metrics {
    ($($variant:ident $name:literal;)*) => {
        /// A number that is always at hand.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Metric {
            $($variant,)*
        }

        impl Metric {
            pub const ALL: &[Metric] = &[$(Metric::$variant,)*];

            pub const fn name(self) -> &'static str {
                match self {
                    $(Metric::$variant => $name,)*
                }
            }
        }
    };
}

metrics! {
    EventCount "event_count";
    EventsPerSecond "events_per_second";
    UniqueUsers "unique_users";
    UniqueSessions "unique_sessions";
    RequestCount "request_count";
    RequestsPerSecond "requests_per_second";
    ErrorCount "error_count";
    ErrorRate "error_rate";
    LatencyP50 "latency_p50";
    LatencyP90 "latency_p90";
    LatencyP95 "latency_p95";
    LatencyP99 "latency_p99";
    LatencyMax "latency_max";
    RequestBytes "request_bytes";
    ResponseBytes "response_bytes";
    CpuUtilization "cpu_utilization";
    MemoryUtilization "memory_utilization";
    DiskUtilization "disk_utilization";
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ListError {
    #[error("there is no metric {name:?}{}; there are: {}", hint(near), names())]
    Unknown { name: String, near: Option<&'static str> },
    #[error("{0} names in one list, at most {LIST_MAX} are taken")]
    TooMany(usize),
}

fn hint(near: &Option<&'static str>) -> String {
    near.map(|near| format!(", did you mean {near}?")).unwrap_or_default()
}

fn names() -> String {
    Metric::ALL.iter().map(|metric| metric.name()).collect::<Vec<_>>().join(", ")
}

impl Metric {
    /// Names with commas between, each metric once, in the order of the list; none when it is empty.
    pub fn list(text: &str) -> Result<Vec<Metric>, ListError> {
        let names = || text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let count = names().count();
        if count > LIST_MAX {
            return Err(ListError::TooMany(count));
        }
        let mut list = Vec::new();
        for name in names() {
            let metric = Self::named(name)?;
            if !list.contains(&metric) {
                list.push(metric);
            }
        }
        Ok(list)
    }

    fn named(name: &str) -> Result<Metric, ListError> {
        let found = Self::ALL.iter().copied().find(|metric| metric.name() == name);
        found.ok_or_else(|| {
            let shown: String = name.chars().take(80).collect();
            let near = nearest(&shown, Self::ALL.iter().map(|metric| metric.name()));
            ListError::Unknown { name: shown, near }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_its_order_and_names_each_once() {
        let list = Metric::list(" latency_p99,event_count,, latency_p99").expect("known names");
        assert_eq!(list, [Metric::LatencyP99, Metric::EventCount]);
        assert_eq!(Metric::list(""), Ok(Vec::new()));
    }

    #[test]
    fn every_name_is_found_again() {
        for metric in Metric::ALL {
            assert_eq!(Metric::list(metric.name()), Ok(vec![*metric]));
        }
    }

    #[test]
    fn a_mistyped_name_is_told_with_the_nearest() {
        let error = Metric::list("event_count,latency_p59").expect_err("no such metric");
        assert!(error.to_string().contains("did you mean latency_p5"), "{error}");
        let many = vec!["event_count"; LIST_MAX + 1].join(",");
        assert_eq!(Metric::list(&many), Err(ListError::TooMany(LIST_MAX + 1)));
    }
}
