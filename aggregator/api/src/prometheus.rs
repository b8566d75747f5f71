//! `GET /metrics`: the aggregator's own numbers in Prometheus' text format.

use axum::extract::State;
use ridealong_edge::prometheus::Text;

use crate::services::Services;

pub(crate) async fn metrics(State(services): State<Services>) -> Text {
    let ingest = services.ingest.clone();
    let books = tokio::task::spawn_blocking(move || ingest.books()).await.unwrap_or_default();
    let tally = services.ingest.tally();
    let lake = services.lake.status();
    let mut text = Text::default();
    text.family("ridealong_rows_stored_total", "counter", "Rows stored, by table.");
    for table in &books.tables {
        text.sample("ridealong_rows_stored_total", &[("table", table.table.name())], table.rows_stored);
    }
    text.family("ridealong_rows_duplicate_total", "counter", "Rows that were not stored again, by table.");
    for table in &books.tables {
        text.sample("ridealong_rows_duplicate_total", &[("table", table.table.name())], table.rows_duplicate);
    }
    text.family("ridealong_refused_frames_total", "counter", "Batches refused, by reason.");
    for (reason, count) in &tally.refused_frames {
        text.sample("ridealong_refused_frames_total", &[("reason", reason)], *count);
    }
    text.family("ridealong_refused_events_total", "counter", "JSON events refused, by reason.");
    for (reason, count) in &tally.refused_events {
        text.sample("ridealong_refused_events_total", &[("reason", reason)], *count);
    }
    text.single("ridealong_frames_total", "counter", "Batches received.", tally.frames);
    text.single("ridealong_log_bytes", "gauge", "Bytes of the write-ahead log on disk.", books.bytes_on_disk);
    text.single("ridealong_log_position", "gauge", "Last durable position of the log.", books.position.0);
    text.single("ridealong_log_failed_syncs_total", "counter", "Fsyncs that failed.", books.failed_syncs);
    text.single("ridealong_lake_hot_rows", "gauge", "Rows in memory, not yet in Delta tables.", lake.hot_rows);
    text.single("ridealong_lake_hot_bytes", "gauge", "Memory of those rows.", lake.hot_bytes);
    text.single("ridealong_lake_flushes_total", "counter", "Flushes that succeeded.", lake.flushes);
    text.single("ridealong_lake_flushes_failed_total", "counter", "Flushes that failed.", lake.flushes_failed);
    text
}
