//! What is kept together, and by which dimensions: the families of rollups that each file of a table has.
//!
//! A family's number is stored: never reuse one. Another choice of dimensions is another number.

use ridealong_common::table::Table;

/// What a cell holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// How many events.
    Events,
    /// Which users.
    Users,
    /// Which sessions.
    Sessions,
    /// How many requests, errors and bytes, and the longest.
    Traffic,
    /// How long requests took.
    Latency,
    /// How busy hosts were.
    Hosts,
}

/// Numbers of [`Group::Traffic`].
pub mod traffic {
    pub const COUNT: usize = 0;
    pub const ERRORS: usize = 1;
    pub const REQUEST_BYTES: usize = 2;
    pub const RESPONSE_BYTES: usize = 3;
    pub const MAX_US: usize = 4;
}

/// Numbers of [`Group::Hosts`]: of each of three the number of samples that have it, and their sum.
pub mod hosts {
    pub const CPU: usize = 0;
    pub const MEMORY: usize = 2;
    pub const DISK: usize = 4;
}

/// How a number of a cell merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    Sum,
    Max,
}

impl Group {
    /// The numbers of a cell; none when it holds a sketch.
    pub const fn numbers(self) -> &'static [Merge] {
        use Merge::{Max, Sum};
        match self {
            Group::Events => &[Sum],
            Group::Users | Group::Sessions | Group::Latency => &[],
            Group::Traffic => &[Sum, Sum, Sum, Sum, Max],
            Group::Hosts => &[Sum, Sum, Sum, Sum, Sum, Sum],
        }
    }

    /// Columns that it is computed from.
    pub const fn columns(self, table: Table) -> &'static [&'static str] {
        match (self, table) {
            (Group::Users, _) => &["user_id"],
            (Group::Sessions, _) => &["session_id"],
            (Group::Traffic, Table::RequestSummaries) => {
                &["count", "error_count", "request_bytes", "response_bytes", "duration_max_us"]
            }
            (Group::Traffic, _) => {
                &["sample_weight", "error", "status", "request_bytes", "response_bytes", "duration_us"]
            }
            (Group::Latency, Table::RequestSummaries) => &["duration_sketch", "duration_max_us"],
            (Group::Latency, _) => &["sample_weight", "duration_us"],
            (Group::Hosts, _) => {
                &["cpu_utilization", "memory_used_bytes", "memory_total_bytes", "disk_used_bytes", "disk_total_bytes"]
            }
            (Group::Events, _) => &[],
        }
    }
}

/// Lengths of buckets, each a multiple of the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    TenSeconds,
    Minute,
    QuarterHour,
    Hour,
    Day,
}

impl Level {
    pub const ALL: [Level; 5] = [Level::TenSeconds, Level::Minute, Level::QuarterHour, Level::Hour, Level::Day];

    pub const fn micros(self) -> i64 {
        1_000_000
            * match self {
                Level::TenSeconds => 10,
                Level::Minute => 60,
                Level::QuarterHour => 900,
                Level::Hour => 3_600,
                Level::Day => 86_400,
            }
    }

    pub fn number(self) -> u8 {
        self as u8
    }

    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// It and all that are longer.
    pub fn and_up(self) -> &'static [Level] {
        const ALL: &[Level] = &Level::ALL;
        &ALL[self as usize..]
    }
}

/// One kind of cell by one set of dimensions.
#[derive(Debug)]
pub struct Family {
    pub number: u8,
    pub table: Table,
    pub group: Group,
    /// Columns.
    pub dimensions: &'static [&'static str],
    pub finest: Level,
}

/// Narrow ones first: the first that has a question's dimensions is the one with the fewest cells. Which people use is
/// visible for a second only with few dimensions, since each cell holds whom it has seen.
pub const FAMILIES: &[Family] = &[
    family(1, Table::Events, Group::Events, &["source", "environment"], Level::TenSeconds),
    family(2, Table::Events, Group::Events, KINDS, Level::TenSeconds),
    family(3, Table::Events, Group::Events, AUDIENCE, Level::TenSeconds),
    family(4, Table::Events, Group::Users, &["source", "environment"], Level::Minute),
    family(5, Table::Events, Group::Users, KINDS, Level::Minute),
    family(6, Table::Events, Group::Users, AUDIENCE, Level::Hour),
    family(7, Table::Events, Group::Sessions, &["source", "environment"], Level::Minute),
    family(8, Table::Events, Group::Sessions, KINDS, Level::Minute),
    family(9, Table::Events, Group::Sessions, AUDIENCE, Level::Hour),
    family(10, Table::RequestSummaries, Group::Traffic, &["service", "environment"], Level::TenSeconds),
    family(11, Table::RequestSummaries, Group::Traffic, ROUTES, Level::TenSeconds),
    family(12, Table::RequestSummaries, Group::Traffic, STATUSES, Level::TenSeconds),
    family(13, Table::RequestSummaries, Group::Traffic, SUMMARIES, Level::TenSeconds),
    family(14, Table::RequestSummaries, Group::Latency, &["service", "environment"], Level::TenSeconds),
    family(15, Table::RequestSummaries, Group::Latency, ROUTES, Level::TenSeconds),
    family(16, Table::RequestSummaries, Group::Latency, STATUSES, Level::TenSeconds),
    family(17, Table::RequestSummaries, Group::Latency, SUMMARIES, Level::TenSeconds),
    family(18, Table::HostMetrics, Group::Hosts, &["service", "environment", "host"], Level::Minute),
];

const KINDS: &[&str] = &["source", "environment", "event_type", "event_category", "version"];
const AUDIENCE: &[&str] = &["source", "environment", "event_type", "country", "device_type", "platform"];
const ROUTES: &[&str] = &["service", "environment", "method", "route"];
const STATUSES: &[&str] = &["service", "environment", "version", "host", "status"];
/// All that a summary has.
pub const SUMMARIES: &[&str] = &["service", "environment", "version", "host", "method", "route", "status"];
/// A summary's time is the beginning of an interval of this length.
pub const SUMMARY_INTERVAL_US: i64 = Level::TenSeconds.micros();

/// Tables that have families.
pub const TABLES: [Table; 3] = [Table::Events, Table::RequestSummaries, Table::HostMetrics];

const fn family(number: u8, table: Table, group: Group, dimensions: &'static [&'static str], finest: Level) -> Family {
    Family { number, table, group, dimensions, finest }
}

impl Family {
    pub fn of_table(table: Table) -> impl Iterator<Item = &'static Family> {
        FAMILIES.iter().filter(move |family| family.table == table)
    }

    pub fn from_number(number: u8) -> Option<&'static Family> {
        FAMILIES.iter().find(|family| family.number == number)
    }

    pub fn covers<'a>(&self, mut columns: impl Iterator<Item = &'a str>) -> bool {
        columns.all(|column| self.dimensions.contains(&column))
    }
}
