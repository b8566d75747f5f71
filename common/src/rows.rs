//! Typed rows, as the agent and the JSON doors make them, and their blocks.

use std::borrow::Cow;
use std::sync::Arc;

use crate::block::{Block, BlockError, ColumnSink, Encoder};
use crate::event::TrackedEvent;
use crate::ids::EventId;
use crate::sketch::Sketch;
use crate::table::{events, host_metrics, request_summaries, requests};
use crate::time::Timestamp;

/// What is the same in every row of one agent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    pub service: String,
    pub version: Option<String>,
    pub environment: Option<String>,
    pub host: String,
}

/// One proxied HTTP exchange. Texts that many rows share are shared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestRow {
    pub event_id: EventId,
    pub timestamp: Timestamp,
    pub method: Cow<'static, str>,
    pub route: Arc<str>,
    /// Without what the agent's settings redact.
    pub path: String,
    /// The parameters that may be kept, as they were sent.
    pub query: Option<String>,
    /// The status sent to the client; none when the client got no head.
    pub status: Option<u16>,
    pub protocol: &'static str,
    /// First byte of the request to last byte of the response.
    pub duration_us: u64,
    /// First byte of the request to the response's head.
    pub ttfb_us: Option<u64>,
    /// First byte of the request to its last byte read.
    pub request_complete_us: Option<u64>,
    /// First byte of the request to a connection to the service at hand.
    pub upstream_connected_us: Option<u64>,
    /// First byte of the request to the response's last byte read from the service.
    pub response_complete_us: Option<u64>,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub error: Option<&'static str>,
    pub grpc_status: Option<u16>,
    /// The caller's own, when it sent one.
    pub request_id: Option<String>,
    pub trace_id: Option<String>,
    /// Truncated, hashed or whole, as the agent's settings say.
    pub client_address: Option<Arc<str>>,
    pub user_agent: Option<String>,
    /// Other request headers that may be kept: a JSON object of texts by lower-case name.
    pub headers: Option<String>,
    /// The client's `DNT`.
    pub dnt: Option<bool>,
    /// The client's `Sec-GPC`.
    pub sec_gpc: Option<bool>,
    /// How many exchanges the row stands for.
    pub sample_weight: f64,
}

impl RequestRow {
    /// A server error or an exchange that broke: what `error_count` counts.
    pub fn is_error(&self) -> bool {
        Self::counts_as_error(self.status, self.error)
    }

    /// About how many bytes of text it brings into a block.
    pub fn text_bytes(&self) -> usize {
        let length = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        let head = length(&self.query) + length(&self.user_agent) + length(&self.headers);
        self.path.len() + self.route.len() + head + length(&self.request_id) + length(&self.trace_id)
    }

    pub fn counts_as_error(status: Option<u16>, error: Option<&str>) -> bool {
        error.is_some() || status.is_some_and(|status| status >= 500)
    }

    pub fn block(rows: &[Self], resource: &Resource) -> Block {
        Self::columns(Block::of_rows(rows.len()), rows.iter(), resource)
    }

    /// The encoded block of the rows: the same bytes as `block(rows).encode()`, for less.
    pub fn encoded(rows: &[&Self], resource: &Resource) -> Result<Vec<u8>, BlockError> {
        Self::columns(Encoder::of_rows(rows.len()), rows.iter().copied(), resource).finish()
    }

    fn columns<'a, S: ColumnSink>(sink: S, rows: impl Iterator<Item = &'a Self> + Clone, resource: &Resource) -> S {
        let rows = || rows.clone();
        sink.ids(requests::EVENT_ID, rows().map(|row| row.event_id))
            .growing(requests::TIMESTAMP, rows().map(|row| row.timestamp.micros()))
            .constant(requests::SERVICE, Some(&resource.service))
            .constant(requests::VERSION, resource.version.as_deref())
            .constant(requests::ENVIRONMENT, resource.environment.as_deref())
            .constant(requests::HOST, Some(&resource.host))
            .texts(requests::METHOD, rows().map(|row| Some(&*row.method)))
            .texts(requests::ROUTE, rows().map(|row| Some(&*row.route)))
            .texts(requests::PATH, rows().map(|row| Some(row.path.as_str())))
            .optional_integers(requests::STATUS, rows().map(|row| row.status.map(i64::from)))
            .texts(requests::PROTOCOL, rows().map(|row| Some(row.protocol)))
            .integers(requests::DURATION_US, rows().map(|row| signed(row.duration_us)))
            .optional_integers(requests::TTFB_US, rows().map(|row| row.ttfb_us.map(signed)))
            .integers(requests::REQUEST_BYTES, rows().map(|row| signed(row.request_bytes)))
            .integers(requests::RESPONSE_BYTES, rows().map(|row| signed(row.response_bytes)))
            .texts(requests::ERROR, rows().map(|row| row.error))
            .texts(requests::REQUEST_ID, rows().map(|row| row.request_id.as_deref()))
            .texts(requests::TRACE_ID, rows().map(|row| row.trace_id.as_deref()))
            .floats(requests::SAMPLE_WEIGHT, rows().map(|row| row.sample_weight))
            .optional_integers(requests::REQUEST_COMPLETE_US, rows().map(|row| row.request_complete_us.map(signed)))
            .optional_integers(requests::UPSTREAM_CONNECTED_US, rows().map(|row| row.upstream_connected_us.map(signed)))
            .optional_integers(requests::RESPONSE_COMPLETE_US, rows().map(|row| row.response_complete_us.map(signed)))
            .optional_integers(requests::GRPC_STATUS, rows().map(|row| row.grpc_status.map(i64::from)))
            .texts(requests::QUERY, rows().map(|row| row.query.as_deref()))
            .texts(requests::CLIENT_ADDRESS, rows().map(|row| row.client_address.as_deref()))
            .texts(requests::USER_AGENT, rows().map(|row| row.user_agent.as_deref()))
            .texts(requests::HEADERS, rows().map(|row| row.headers.as_deref()))
            .optional_booleans(requests::DNT, rows().map(|row| row.dnt))
            .optional_booleans(requests::SEC_GPC, rows().map(|row| row.sec_gpc))
    }
}

/// One sample of the host. Network bytes are totals since boot, over all interfaces but loopback.
#[derive(Clone, Debug, PartialEq)]
pub struct HostRow {
    pub timestamp: Timestamp,
    /// 0 to 1, over all processors, since the sample before.
    pub cpu_utilization: f64,
    pub memory_used_bytes: u64,
    pub memory_total_bytes: u64,
    /// Of the file system that holds the spool.
    pub disk_used_bytes: u64,
    pub disk_total_bytes: u64,
    pub load_1m: f64,
    pub load_5m: f64,
    pub load_15m: f64,
    pub swap_used_bytes: u64,
    pub network_received_bytes: u64,
    pub network_transmitted_bytes: u64,
}

impl HostRow {
    pub fn block(rows: &[Self], resource: &Resource) -> Block {
        Block::of_rows(rows.len())
            .growing(host_metrics::TIMESTAMP, rows.iter().map(|row| row.timestamp.micros()))
            .constant(host_metrics::HOST, Some(&resource.host))
            .constant(host_metrics::SERVICE, Some(&resource.service))
            .constant(host_metrics::ENVIRONMENT, resource.environment.as_deref())
            .floats(host_metrics::CPU_UTILIZATION, rows.iter().map(|row| row.cpu_utilization))
            .integers(host_metrics::MEMORY_USED_BYTES, rows.iter().map(|row| signed(row.memory_used_bytes)))
            .integers(host_metrics::MEMORY_TOTAL_BYTES, rows.iter().map(|row| signed(row.memory_total_bytes)))
            .integers(host_metrics::DISK_USED_BYTES, rows.iter().map(|row| signed(row.disk_used_bytes)))
            .integers(host_metrics::DISK_TOTAL_BYTES, rows.iter().map(|row| signed(row.disk_total_bytes)))
            .floats(host_metrics::LOAD_1M, rows.iter().map(|row| row.load_1m))
            .floats(host_metrics::LOAD_5M, rows.iter().map(|row| row.load_5m))
            .floats(host_metrics::LOAD_15M, rows.iter().map(|row| row.load_15m))
            .integers(host_metrics::SWAP_USED_BYTES, rows.iter().map(|row| signed(row.swap_used_bytes)))
            .integers(host_metrics::NETWORK_RECEIVED_BYTES, rows.iter().map(|row| signed(row.network_received_bytes)))
            .integers(
                host_metrics::NETWORK_TRANSMITTED_BYTES,
                rows.iter().map(|row| signed(row.network_transmitted_bytes)),
            )
    }
}

/// What one interval saw of one route × method × status. Several rows of one key add up.
#[derive(Clone, Debug, PartialEq)]
pub struct SummaryRow {
    /// The interval's start.
    pub timestamp: Timestamp,
    pub route: Arc<str>,
    pub method: Cow<'static, str>,
    pub status: Option<u16>,
    pub count: u64,
    pub error_count: u64,
    pub duration_sum_us: u64,
    pub duration_max_us: u64,
    pub duration_sketch: Sketch,
    pub request_bytes: u64,
    pub response_bytes: u64,
}

impl SummaryRow {
    pub fn block(rows: &[Self], resource: &Resource) -> Block {
        Block::of_rows(rows.len())
            .growing(request_summaries::TIMESTAMP, rows.iter().map(|row| row.timestamp.micros()))
            .constant(request_summaries::SERVICE, Some(&resource.service))
            .constant(request_summaries::VERSION, resource.version.as_deref())
            .constant(request_summaries::ENVIRONMENT, resource.environment.as_deref())
            .constant(request_summaries::HOST, Some(&resource.host))
            .texts(request_summaries::ROUTE, rows.iter().map(|row| Some(&*row.route)))
            .texts(request_summaries::METHOD, rows.iter().map(|row| Some(&*row.method)))
            .optional_integers(request_summaries::STATUS, rows.iter().map(|row| row.status.map(i64::from)))
            .integers(request_summaries::COUNT, rows.iter().map(|row| signed(row.count)))
            .integers(request_summaries::ERROR_COUNT, rows.iter().map(|row| signed(row.error_count)))
            .integers(request_summaries::DURATION_SUM_US, rows.iter().map(|row| signed(row.duration_sum_us)))
            .integers(request_summaries::DURATION_MAX_US, rows.iter().map(|row| signed(row.duration_max_us)))
            .blobs(request_summaries::DURATION_SKETCH, rows.iter().map(|row| row.duration_sketch.encode()))
            .integers(request_summaries::REQUEST_BYTES, rows.iter().map(|row| signed(row.request_bytes)))
            .integers(request_summaries::RESPONSE_BYTES, rows.iter().map(|row| signed(row.response_bytes)))
    }
}

impl TrackedEvent {
    pub fn block(rows: &[Self]) -> Block {
        let text = |read: fn(&Self) -> &Option<String>| rows.iter().map(move |row| read(row).as_deref());
        Block::of_rows(rows.len())
            .ids(events::EVENT_ID, rows.iter().map(|row| row.event_id))
            .growing(events::TIMESTAMP, rows.iter().map(|row| row.timestamp.micros()))
            .texts(events::SOURCE, text(|row| &row.source))
            .texts(events::VERSION, text(|row| &row.version))
            .texts(events::ENVIRONMENT, text(|row| &row.environment))
            .texts(events::EVENT_TYPE, rows.iter().map(|row| Some(row.event_type.as_str())))
            .texts(events::EVENT_CATEGORY, text(|row| &row.event_category))
            .texts(events::USER_ID, text(|row| &row.user_id))
            .texts(events::ANONYMOUS_ID, text(|row| &row.anonymous_id))
            .texts(events::SESSION_ID, text(|row| &row.session_id))
            .texts(events::PROPERTIES, text(|row| &row.properties))
            .texts(events::USER_AGENT, text(|row| &row.context.user_agent))
            .texts(events::IP_ADDRESS, text(|row| &row.context.ip_address))
            .texts(events::DEVICE_TYPE, text(|row| &row.context.device_type))
            .texts(events::PLATFORM, text(|row| &row.context.platform))
            .texts(events::COUNTRY, text(|row| &row.context.country))
            .texts(events::REGION, text(|row| &row.context.region))
            .texts(events::CITY, text(|row| &row.context.city))
            .optional_floats(events::LATITUDE, rows.iter().map(|row| row.context.latitude))
            .optional_floats(events::LONGITUDE, rows.iter().map(|row| row.context.longitude))
            .texts(events::REFERRER, text(|row| &row.context.referrer))
            .texts(events::CONSENT, text(|row| &row.context.consent))
            .texts(events::SCHEMA_VERSION, text(|row| &row.schema_version))
            .texts(events::CORRECTIONS, text(|row| &row.corrections))
    }
}

/// SQL has signed integers only; nothing measured here comes near their end.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
