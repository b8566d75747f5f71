//! The metrics: what each is computed from, and how it is read off a cell.

use ridealong_common::table::Table;

use crate::cells::family::{Group, hosts, traffic};
use crate::cells::kernel::unit;
use crate::cells::states::States;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Metric {
    EventCount,
    EventsPerSecond,
    UniqueUsers,
    UniqueSessions,
    RequestCount,
    RequestsPerSecond,
    ErrorCount,
    ErrorRate,
    LatencyP50,
    LatencyP90,
    LatencyP95,
    LatencyP99,
    LatencyMax,
    RequestBytes,
    ResponseBytes,
    CpuUtilization,
    MemoryUtilization,
    DiskUtilization,
}

/// A number of an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    Null,
    Integer(u64),
    Float(f64),
}

impl Metric {
    pub const ALL: [Metric; 18] = [
        Metric::EventCount,
        Metric::EventsPerSecond,
        Metric::UniqueUsers,
        Metric::UniqueSessions,
        Metric::RequestCount,
        Metric::RequestsPerSecond,
        Metric::ErrorCount,
        Metric::ErrorRate,
        Metric::LatencyP50,
        Metric::LatencyP90,
        Metric::LatencyP95,
        Metric::LatencyP99,
        Metric::LatencyMax,
        Metric::RequestBytes,
        Metric::ResponseBytes,
        Metric::CpuUtilization,
        Metric::MemoryUtilization,
        Metric::DiskUtilization,
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Metric::EventCount => "event_count",
            Metric::EventsPerSecond => "events_per_second",
            Metric::UniqueUsers => "unique_users",
            Metric::UniqueSessions => "unique_sessions",
            Metric::RequestCount => "request_count",
            Metric::RequestsPerSecond => "requests_per_second",
            Metric::ErrorCount => "error_count",
            Metric::ErrorRate => "error_rate",
            Metric::LatencyP50 => "latency_p50",
            Metric::LatencyP90 => "latency_p90",
            Metric::LatencyP95 => "latency_p95",
            Metric::LatencyP99 => "latency_p99",
            Metric::LatencyMax => "latency_max",
            Metric::RequestBytes => "request_bytes",
            Metric::ResponseBytes => "response_bytes",
            Metric::CpuUtilization => "cpu_utilization",
            Metric::MemoryUtilization => "memory_utilization",
            Metric::DiskUtilization => "disk_utilization",
        }
    }

    pub const fn group(self) -> Group {
        match self {
            Metric::EventCount | Metric::EventsPerSecond => Group::Events,
            Metric::UniqueUsers => Group::Users,
            Metric::UniqueSessions => Group::Sessions,
            Metric::LatencyP50 | Metric::LatencyP90 | Metric::LatencyP95 | Metric::LatencyP99 => Group::Latency,
            Metric::CpuUtilization | Metric::MemoryUtilization | Metric::DiskUtilization => Group::Hosts,
            _ => Group::Traffic,
        }
    }

    /// Tables that it may come from, the better one first.
    pub const fn tables(self) -> &'static [Table] {
        match self.group() {
            Group::Events | Group::Users | Group::Sessions => &[Table::Events],
            Group::Traffic | Group::Latency => &[Table::RequestSummaries, Table::Requests],
            Group::Hosts => &[Table::HostMetrics],
        }
    }

    const fn quantile(self) -> f64 {
        match self {
            Metric::LatencyP50 => 0.5,
            Metric::LatencyP90 => 0.9,
            Metric::LatencyP95 => 0.95,
            _ => 0.99,
        }
    }

    /// Its value in a cell of its group, none when no row fell into it; `seconds`: how much time the cell stands for.
    pub fn read(self, table: Table, cell: Option<(&States, usize)>, seconds: f64) -> Number {
        let numbers = match cell {
            Some((States::Latency(bins), at)) => {
                let value = bins[at].quantile(self.quantile(), unit(table));
                return value.map_or(Number::Null, |us| Number::Float(us / 1_000.0));
            }
            Some((States::Distinct(sets), at)) => return Number::Integer(sets[at].count()),
            Some((States::Numbers(kinds, values), at)) => &values[at * kinds.len()..(at + 1) * kinds.len()],
            Some((States::Settled(_), _)) => unreachable!("a grid's cells may change"),
            None => return self.nothing(),
        };
        let mean = |at: usize| match numbers[at] > 0.0 {
            true => Number::Float(numbers[at + 1] / numbers[at]),
            false => Number::Null,
        };
        match self {
            Metric::EventCount => counted(numbers[0]),
            Metric::RequestCount => counted(numbers[traffic::COUNT]),
            Metric::EventsPerSecond | Metric::RequestsPerSecond => Number::Float(numbers[0] / seconds),
            Metric::ErrorCount => counted(numbers[traffic::ERRORS]),
            Metric::ErrorRate if numbers[traffic::COUNT] > 0.0 => {
                Number::Float(numbers[traffic::ERRORS] / numbers[traffic::COUNT])
            }
            Metric::LatencyMax if numbers[traffic::COUNT] > 0.0 => Number::Float(numbers[traffic::MAX_US] / 1_000.0),
            Metric::RequestBytes => counted(numbers[traffic::REQUEST_BYTES]),
            Metric::ResponseBytes => counted(numbers[traffic::RESPONSE_BYTES]),
            Metric::CpuUtilization => mean(hosts::CPU),
            Metric::MemoryUtilization => mean(hosts::MEMORY),
            Metric::DiskUtilization => mean(hosts::DISK),
            _ => Number::Null,
        }
    }

    /// Of no rows at all.
    fn nothing(self) -> Number {
        match self {
            Metric::EventsPerSecond | Metric::RequestsPerSecond => Number::Float(0.0),
            Metric::ErrorRate | Metric::LatencyMax => Number::Null,
            _ if matches!(self.group(), Group::Latency | Group::Hosts) => Number::Null,
            _ => Number::Integer(0),
        }
    }
}

/// Whole unless it is a sum of weights.
fn counted(value: f64) -> Number {
    // Above this a float has no odd numbers.
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && (0.0..=WHOLE_MAX).contains(&value) {
        Number::Integer(value as u64)
    } else {
        Number::Float(value)
    }
}
