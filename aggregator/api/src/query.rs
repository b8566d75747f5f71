//! `POST /query`: SQL, reads only.

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use ridealong_model::query::{
    Param, QueryAnswer, QueryRequest, ROWS_DEFAULT, ROWS_MAX, SQL_BYTES_MAX, TIMEOUT_DEFAULT, TIMEOUT_MAX,
};
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::description::problems::{Fails, JsonBody, Sql};
use crate::description::shapes::QueryAnswered;
use crate::failure::unanswered;
use crate::services::Services;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;

/// The statement in JSON, its escapes, and the parameters.
const BODY_BYTES_MAX: usize = 4 * SQL_BYTES_MAX;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(example = json!({
    "sql": "SELECT route, count(*) AS requests FROM requests WHERE service = $1 GROUP BY 1 ORDER BY 2 DESC",
    "params": ["shop"], "timeoutMs": 5_000, "maxRows": 100,
}))]
pub(crate) struct QueryBody {
    /// One statement that reads, at most 64 KiB
    #[schema(format = "sql", min_length = 1, max_length = 65_536)]
    sql: String,
    /// Values for `$1`, `$2` …: texts, numbers, true, false or null
    #[serde(default)]
    #[schema(value_type = Vec<crate::description::shapes::Scalar>)]
    params: Vec<Value>,
    #[schema(minimum = 1, maximum = 30_000, default = 10_000)]
    timeout_ms: Option<u64>,
    #[schema(minimum = 1, maximum = 10_000, default = 1_000)]
    max_rows: Option<usize>,
}

/// Runs SQL
///
/// One statement over one snapshot of the caller's tables; it sees every row acknowledged before. Reads only. Text in the
/// dialect of PostgreSQL; `properties->>'key'` reads a property.
#[utoipa::path(post, path = "/query", operation_id = "query", tag = "query", request_body = QueryBody,
    responses((status = 200, body = QueryAnswered, description = "Its rows"), Fails<(JsonBody, Sql)>))]
pub(crate) async fn query(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let request = checked(read_json(&held.bytes)?)?;
    let answer = services.engine.query(&services.tenant(), request).await.map_err(unanswered)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], written(&answer)).into_response())
}

fn checked(body: QueryBody) -> Result<QueryRequest, Failure> {
    let invalid = |detail: String| Failure::new(400, "invalid-query", "Query is not valid", detail);
    let timeout = body.timeout_ms.map_or(TIMEOUT_DEFAULT, Duration::from_millis);
    if timeout.is_zero() || timeout > TIMEOUT_MAX {
        return Err(invalid(format!("timeoutMs must lie between 1 and {}", TIMEOUT_MAX.as_millis())));
    }
    let rows_max = body.max_rows.unwrap_or(ROWS_DEFAULT);
    if rows_max == 0 || rows_max > ROWS_MAX {
        return Err(invalid(format!("maxRows must lie between 1 and {ROWS_MAX}")));
    }
    let params = body.params.into_iter().map(param).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(QueryRequest { sql: body.sql, params, timeout, rows_max })
}

fn param(value: Value) -> Result<Param, String> {
    match value {
        Value::Null => Ok(Param::Null),
        Value::Bool(value) => Ok(Param::Boolean(value)),
        Value::String(text) => Ok(Param::Text(text)),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Ok(Param::Integer(integer)),
            (None, Some(float)) => Ok(Param::Float(float)),
            (None, None) => Err(format!("the parameter {number} is no 64-bit number")),
        },
        other => Err(format!("a parameter must be a text, a number, true, false or null, this is {other}")),
    }
}

/// The rows are JSON already: they are put in as they are.
fn written(answer: &QueryAnswer) -> Vec<u8> {
    let rest = json!({
        "columns": answer.columns,
        "totalRows": (!answer.truncated).then_some(answer.rows),
        "truncated": answer.truncated,
        "executionTime": answer.execution.as_micros() as f64 / 1_000.0,
        "queryPlan": answer.plan,
        "queryId": answer.query_id,
        "cacheHit": answer.cache_hit,
        "dataFreshness": answer.behind.as_micros() as f64 / 1_000.0,
    });
    let rest = rest.to_string();
    let mut body = Vec::with_capacity(answer.rows_json.len() + rest.len() + 16);
    body.extend_from_slice(b"{\"data\":");
    body.extend_from_slice(&answer.rows_json);
    body.push(b',');
    body.extend_from_slice(&rest.as_bytes()[1..]);
    body
}
