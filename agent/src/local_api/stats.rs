//! `GET /stats`: the agent's half of the books. `GET /metrics`: the same for Prometheus.

use axum::Json;
use axum::extract::State;
use ridealong_edge::prometheus::Text;
use serde_json::{Value, json};

use super::LocalServices;
use crate::books::Exchanges;

pub(super) async fn stats(State(services): State<LocalServices>) -> Json<Value> {
    let (books, exchanges) = (services.books.snapshot(), services.books.exchanges());
    let proxy = services.proxy.snapshot();
    Json(json!({
        "uptimeSeconds": services.started.elapsed().as_secs(),
        "producer": services.producer.to_string(),
        "produced": books.produced,
        "carriedOver": books.carried_over,
        "acknowledged": books.acknowledged,
        "pending": books.pending,
        "dropped": books.dropped,
        "exchanges": {
            "count": exchanges.count,
            "errors": exchanges.errors,
            "sampledOut": exchanges.sampled_out,
            "uncounted": exchanges.uncounted,
        },
        "spool": services.spool.status(),
        "delivery": *services.shipper.lock(),
        "proxy": {
            "connectionsAccepted": proxy.connections_accepted,
            "connectionsForced": proxy.connections_forced,
            "headsRefused": proxy.heads_refused,
            "headTimeouts": proxy.head_timeouts,
            "upstreamConnections": proxy.upstream_connections,
            "upstreamRetries": proxy.upstream_retries,
        },
    }))
}

pub(super) async fn metrics(State(services): State<LocalServices>) -> Text {
    let books = services.books.snapshot();
    let spool = services.spool.status();
    let proxy = services.proxy.snapshot();
    let mut text = Text::default();
    text.single("ridealong_agent_rows_produced_total", "counter", "Rows made by this start.", books.produced);
    text.single("ridealong_agent_rows_acknowledged_total", "counter", "Rows the aggregator holds.", books.acknowledged);
    text.single("ridealong_agent_rows_pending", "gauge", "Rows not yet delivered.", books.pending);
    text.family("ridealong_agent_rows_dropped_total", "counter", "Rows lost, by reason.");
    for (reason, count) in &books.dropped {
        text.sample("ridealong_agent_rows_dropped_total", &[("reason", reason)], *count);
    }
    text.single("ridealong_agent_spool_bytes", "gauge", "Bytes of the spool on disk.", spool.disk_bytes);
    text.single("ridealong_agent_spool_bytes_max", "gauge", "The spool's limit.", spool.disk_bytes_max);
    text.single(
        "ridealong_agent_connections_accepted_total",
        "counter",
        "Connections accepted by the proxy.",
        proxy.connections_accepted,
    );
    text.single("ridealong_agent_heads_refused_total", "counter", "Heads that did not parse.", proxy.heads_refused);
    exchange_metrics(&mut text, &services.books.exchanges());
    text
}

fn exchange_metrics(text: &mut Text, exchanges: &Exchanges) {
    let mut counter = |name, help, value| text.single(name, "counter", help, value);
    counter("ridealong_proxy_requests_total", "Requests proxied.", exchanges.count);
    counter("ridealong_proxy_errors_total", "Of them those answered 5xx or broken off.", exchanges.errors);
    counter("ridealong_proxy_sampled_out_total", "Requests counted, but not made rows.", exchanges.sampled_out);
    counter("ridealong_proxy_uncounted_total", "Requests missing in the summaries.", exchanges.uncounted);
    let buckets = exchanges.overhead.cumulative();
    let help = "Time that the proxy itself added to a request.";
    text.histogram("ridealong_proxy_overhead_seconds", help, &buckets, exchanges.overhead.sum_us as f64 / 1e6);
}
