//! The aggregator's books as SQL shows them, and what must hold of them at every moment.

use anyhow::{Context, Result};
use serde_json::Value;

use crate::aggregator::Aggregator;
use crate::api::{Answer, Api};

pub const TABLES: [&str; 4] = ["requests", "events", "host_metrics", "request_summaries"];

/// Tables whose books and rows differ within one query: none, at any moment. What retention has dropped was stored, and is
/// not found.
pub fn differences_sql() -> String {
    let tables = TABLES.map(|table| {
        let sum = |of: &str| {
            format!("coalesce((SELECT sum(count) FROM system.ledger WHERE table_name = '{table}' AND {of}), 0)")
        };
        format!(
            "SELECT '{table}' AS name, (SELECT count(*) FROM {table}) AS found, {} AS stored, {} AS readable, {} AS dropped",
            sum("outcome = 'stored'"),
            sum("stage = 'lake' AND outcome <> 'dropped'"),
            sum("stage = 'lake' AND outcome = 'dropped'")
        )
    });
    let each = tables.join(" UNION ALL ");
    format!("SELECT * FROM ({each}) WHERE found + dropped <> stored OR found <> readable")
}

/// Producers whose announced rows are not all accounted for: none.
const UNBALANCED: &str = "SELECT producer,
    sum(CASE WHEN stage = 'producer' THEN count ELSE 0 END) AS announced,
    sum(CASE WHEN stage = 'log' AND (reason IS NULL OR reason = 'event_id') THEN count ELSE 0 END) AS accounted
    FROM system.ledger WHERE producer IS NOT NULL GROUP BY producer
    HAVING sum(CASE WHEN stage = 'producer' THEN count ELSE 0 END)
        <> sum(CASE WHEN stage = 'log' AND (reason IS NULL OR reason = 'event_id') THEN count ELSE 0 END)";

/// Doors whose received rows are not all accounted for: none.
const UNBALANCED_DOORS: &str = "SELECT door,
    sum(CASE outcome WHEN 'received' THEN count ELSE 0 END) AS received,
    sum(CASE outcome WHEN 'received' THEN 0 ELSE count END) AS accounted
    FROM system.ledger WHERE stage = 'door' AND unit = 'rows' GROUP BY door
    HAVING sum(CASE outcome WHEN 'received' THEN count ELSE 0 END)
        <> sum(CASE outcome WHEN 'received' THEN 0 ELSE count END)";

/// The books balance, in `/stats` and in SQL, and SQL finds what they say.
pub async fn assert_balanced(aggregator: &Aggregator) -> Result<()> {
    for sql in [differences_sql().as_str(), UNBALANCED, UNBALANCED_DOORS] {
        let rows = aggregator.rows(sql).await?;
        assert!(rows.is_empty(), "{rows:?}: {sql}");
    }
    let stats = aggregator.stats().await?;
    assert_eq!(stats["balance"]["difference"], 0, "{stats}");
    for door in stats["doors"].as_array().context("no doors")? {
        let of = |name: &str| match &door["counts"][name] {
            Value::Object(reasons) => reasons.values().filter_map(Value::as_u64).sum(),
            count => count.as_u64().unwrap_or(0),
        };
        let went = ["stored", "duplicate", "quarantined", "refused", "abandoned", "inFlight"].map(of);
        assert_eq!(of("received"), went.iter().sum::<u64>(), "{door}");
    }
    Ok(())
}

/// What the log and the producers say, which no restart changes.
pub async fn lasting(aggregator: &Aggregator) -> Result<Vec<Value>> {
    let sql = "SELECT stage, door, producer, table_name, outcome, reason, count FROM system.ledger
        WHERE stage IN ('log', 'producer') ORDER BY 1, 2, 3, 4, 5, 6";
    aggregator.rows(sql).await
}

/// One count, summed.
pub async fn sum(aggregator: &Aggregator, of: &str) -> Result<u64> {
    Ok(aggregator.integers(&format!("SELECT sum(count) FROM system.ledger WHERE {of}")).await?[0] as u64)
}

/// Asks once whether books and tables agree; None when there was no answer.
pub async fn agree_now(api: &Api) -> Option<Answer> {
    let sql = differences_sql();
    api.post("/api/analytics/query", &serde_json::json!({ "sql": sql })).await.ok()
}
