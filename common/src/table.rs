//! The tables and their columns: one list from which the block codec, the lake's schema and SQL are all made.
//!
//! A column's `id` is what is written to disk and wire; it is never reused or changed. Adding a column is adding a line
//! here with a new id: older blocks read as null in it, older readers skip it.

/// A table of a tenant. The number is stored: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Table {
    /// One proxied HTTP exchange a row.
    Requests = 1,
    /// One tracked event a row.
    Events = 2,
    /// One sample of one host a row.
    HostMetrics = 3,
    /// One route × method × status of one interval a row; rows of the same key add up.
    RequestSummaries = 4,
    /// One event that was not accepted a row, with why; made by the aggregator only.
    Quarantine = 5,
    /// A run of one visitor's events a row, from which SQL makes `sessions` and `users`; rows of the same run add up.
    /// Derived from events by the lake: it stands in no log and travels over no wire.
    Visits = 64,
}

impl Table {
    pub const ALL: [Table; 5] =
        [Table::Requests, Table::Events, Table::HostMetrics, Table::RequestSummaries, Table::Quarantine];

    /// What the lake makes itself, beside what the log holds.
    pub const DERIVED: [Table; 1] = [Table::Visits];

    /// A table of the log and of the wire.
    pub fn from_number(number: u8) -> Option<Table> {
        Self::ALL.into_iter().find(|table| *table as u8 == number)
    }

    /// Any table that the lake holds.
    pub fn from_name(name: &str) -> Option<Table> {
        Self::ALL.into_iter().chain(Self::DERIVED).find(|table| table.name() == name)
    }

    pub const fn name(self) -> &'static str {
        match self {
            Table::Requests => "requests",
            Table::Events => "events",
            Table::HostMetrics => "host_metrics",
            Table::RequestSummaries => "request_summaries",
            Table::Quarantine => "quarantine",
            Table::Visits => "visits",
        }
    }

    /// Whether an agent may send rows of it.
    pub const fn comes_from_agents(self) -> bool {
        !matches!(self, Table::Quarantine | Table::Visits)
    }

    pub const fn columns(self) -> &'static [Column] {
        match self {
            Table::Requests => requests::COLUMNS,
            Table::Events => events::COLUMNS,
            Table::HostMetrics => host_metrics::COLUMNS,
            Table::RequestSummaries => request_summaries::COLUMNS,
            Table::Quarantine => quarantine::COLUMNS,
            Table::Visits => visits::COLUMNS,
        }
    }

    pub fn column(self, id: u16) -> Option<&'static Column> {
        self.columns().iter().find(|column| column.id == id)
    }
}

/// What a column holds, before any storage's own types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// 16 bytes, text outside.
    Id,
    /// Microseconds since 1970, UTC.
    Time,
    Text,
    Integer,
    /// In a block an integer, 0 or 1: a program that does not know the column can still skip it.
    Boolean,
    Float,
    /// A serialised [`crate::sketch::Sketch`].
    Sketch,
}

#[derive(Debug)]
pub struct Column {
    pub id: u16,
    pub name: &'static str,
    pub kind: ColumnKind,
    pub nullable: bool,
}

/// When the aggregator took the row. Every table has it, always as this id; it travels beside the block, not in it.
pub const RECEIVED_AT: u16 = 3;

macro_rules! columns {
    ($module:ident: $($id:literal $constant:ident $name:literal $kind:ident $nullable:ident;)*) => {
        pub mod $module {
            use super::{Column, ColumnKind};

            $(pub const $constant: u16 = $id;)*

            pub(super) const COLUMNS: &[Column] = &[$(Column {
                id: $id,
                name: $name,
                kind: ColumnKind::$kind,
                nullable: columns!(@$nullable),
            },)*];
        }
    };
    (@required) => { false };
    (@optional) => { true };
}

columns! { requests:
    1 EVENT_ID "event_id" Id required;
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 SERVICE "service" Text required;
    5 VERSION "version" Text optional;
    6 ENVIRONMENT "environment" Text optional;
    7 HOST "host" Text optional;
    8 METHOD "method" Text required;
    9 ROUTE "route" Text required;
    10 PATH "path" Text required;
    11 STATUS "status" Integer optional;
    12 PROTOCOL "protocol" Text required;
    13 DURATION_US "duration_us" Integer required;
    14 TTFB_US "ttfb_us" Integer optional;
    15 REQUEST_BYTES "request_bytes" Integer required;
    16 RESPONSE_BYTES "response_bytes" Integer required;
    17 ERROR "error" Text optional;
    18 REQUEST_ID "request_id" Text optional;
    19 TRACE_ID "trace_id" Text optional;
    20 SAMPLE_WEIGHT "sample_weight" Float required;
    21 REQUEST_COMPLETE_US "request_complete_us" Integer optional;
    22 UPSTREAM_CONNECTED_US "upstream_connected_us" Integer optional;
    23 RESPONSE_COMPLETE_US "response_complete_us" Integer optional;
    24 GRPC_STATUS "grpc_status" Integer optional;
    25 QUERY "query" Text optional;
    26 CLIENT_ADDRESS "client_address" Text optional;
    27 USER_AGENT "user_agent" Text optional;
    28 HEADERS "headers" Text optional;
    29 DNT "dnt" Boolean optional;
    30 SEC_GPC "sec_gpc" Boolean optional;
}

columns! { events:
    1 EVENT_ID "event_id" Id required;
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 SOURCE "source" Text optional;
    5 VERSION "version" Text optional;
    6 ENVIRONMENT "environment" Text optional;
    7 EVENT_TYPE "event_type" Text required;
    8 EVENT_CATEGORY "event_category" Text optional;
    9 USER_ID "user_id" Text optional;
    10 ANONYMOUS_ID "anonymous_id" Text optional;
    11 SESSION_ID "session_id" Text optional;
    12 PROPERTIES "properties" Text optional;
    13 USER_AGENT "user_agent" Text optional;
    14 IP_ADDRESS "ip_address" Text optional;
    15 DEVICE_TYPE "device_type" Text optional;
    16 PLATFORM "platform" Text optional;
    17 COUNTRY "country" Text optional;
    18 REGION "region" Text optional;
    19 CITY "city" Text optional;
    20 LATITUDE "latitude" Float optional;
    21 LONGITUDE "longitude" Float optional;
    22 REFERRER "referrer" Text optional;
    23 CONSENT "consent" Text optional;
    24 SCHEMA_VERSION "schema_version" Text optional;
    25 BROWSER "browser" Text optional;
    26 IS_BOT "is_bot" Boolean optional;
    27 HOUR "hour" Integer optional;
    28 WEEKDAY "weekday" Integer optional;
    29 CORRECTIONS "corrections" Text optional;
}

columns! { host_metrics:
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 HOST "host" Text required;
    5 SERVICE "service" Text required;
    6 ENVIRONMENT "environment" Text optional;
    7 CPU_UTILIZATION "cpu_utilization" Float required;
    8 MEMORY_USED_BYTES "memory_used_bytes" Integer required;
    9 MEMORY_TOTAL_BYTES "memory_total_bytes" Integer required;
    10 DISK_USED_BYTES "disk_used_bytes" Integer required;
    11 DISK_TOTAL_BYTES "disk_total_bytes" Integer required;
    12 LOAD_1M "load_1m" Float required;
    13 LOAD_5M "load_5m" Float required;
    14 LOAD_15M "load_15m" Float required;
    15 SWAP_USED_BYTES "swap_used_bytes" Integer required;
    16 NETWORK_RECEIVED_BYTES "network_received_bytes" Integer required;
    17 NETWORK_TRANSMITTED_BYTES "network_transmitted_bytes" Integer required;
}

columns! { request_summaries:
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 SERVICE "service" Text required;
    5 VERSION "version" Text optional;
    6 ENVIRONMENT "environment" Text optional;
    7 HOST "host" Text optional;
    8 ROUTE "route" Text required;
    9 METHOD "method" Text required;
    10 STATUS "status" Integer optional;
    11 COUNT "count" Integer required;
    12 ERROR_COUNT "error_count" Integer required;
    13 DURATION_SUM_US "duration_sum_us" Integer required;
    14 DURATION_MAX_US "duration_max_us" Integer required;
    15 DURATION_SKETCH "duration_sketch" Sketch required;
    16 REQUEST_BYTES "request_bytes" Integer required;
    17 RESPONSE_BYTES "response_bytes" Integer required;
}

columns! { quarantine:
    1 EVENT_ID "event_id" Id required;
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 SOURCE_TABLE "source_table" Text required;
    5 REASON "reason" Text required;
    6 DETAIL "detail" Text required;
    7 PAYLOAD "payload" Text optional;
    8 SOURCE "source" Text optional;
    9 EVENT_TYPE "event_type" Text optional;
    10 STATUS "status" Text required;
    11 REVISION "revision" Integer required;
}

columns! { visits:
    2 TIMESTAMP "timestamp" Time required;
    3 RECEIVED_AT "received_at" Time required;
    4 USER_ID "user_id" Text optional;
    5 ANONYMOUS_ID "anonymous_id" Text optional;
    6 SESSION_ID "session_id" Text optional;
    7 SOURCE "source" Text optional;
    8 COUNTRY "country" Text optional;
    9 DEVICE_TYPE "device_type" Text optional;
    10 PLATFORM "platform" Text optional;
    11 LAST_TIMESTAMP "last_timestamp" Time required;
    12 EVENT_COUNT "event_count" Integer required;
    13 PAGE_COUNT "page_count" Integer required;
    14 ERROR_COUNT "error_count" Integer required;
    15 ENTRY_EVENT_TYPE "entry_event_type" Text required;
    16 EXIT_EVENT_TYPE "exit_event_type" Text required;
    17 REFERRER "referrer" Text optional;
    18 REFERRER_TIMESTAMP "referrer_timestamp" Time optional;
}

// The aggregator writes the time of arrival beside any block: the column must be the same one in every table.
const _: () = {
    assert!(requests::RECEIVED_AT == RECEIVED_AT);
    assert!(events::RECEIVED_AT == RECEIVED_AT);
    assert!(host_metrics::RECEIVED_AT == RECEIVED_AT);
    assert!(request_summaries::RECEIVED_AT == RECEIVED_AT);
    assert!(quarantine::RECEIVED_AT == RECEIVED_AT);
    assert!(visits::RECEIVED_AT == RECEIVED_AT);
};

#[cfg(test)]
mod tests;
