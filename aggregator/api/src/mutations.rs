//! `/mutations`: rows of a table that are stored already, deleted or corrected by a condition. A dry run unless `dryRun` is
//! false. What is made is in every answer begun after it; the list shows what has not reached every file.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_common::table::Table;
use ridealong_common::time::Timestamp;
use ridealong_edge::Failure;
use ridealong_edge::body::json as read_json;
use ridealong_model::mutation::{MutationChange, MutationRequest};
use ridealong_model::query::Param;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::description::problems::{Fails, JsonBody, Mutation as Mutating, Nothing};
use crate::failure::unchanged;
use crate::services::Services;

const BODY_BYTES_MAX: usize = 64 << 10;

/// Which rows, and what becomes of them: either `delete` or `set`
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = MutationAsked, example = json!({"table": "requests", "where": "service = 'shop'", "delete": true}))]
pub(crate) struct Asked {
    #[schema(example = "requests")]
    table: String,
    /// An SQL condition over the table's columns that says the same of a row at any time
    #[schema(format = "sql-condition", min_length = 1)]
    r#where: String,
    /// Columns with their new values
    set: Option<Map<String, Value>>,
    #[serde(default)]
    delete: bool,
    /// Only says how many rows it would be
    #[serde(default = "yes")]
    #[schema(default = true)]
    dry_run: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Made {
    /// Null when there was nothing to change, and of a dry run
    mutation: Option<u64>,
    /// Rows that were found
    rows: u64,
    dry_run: bool,
}

/// A mutation that has not reached every file
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Pending {
    mutation: u64,
    #[schema(format = DateTime)]
    at: String,
    table: &'static str,
    r#where: String,
    delete: bool,
    rows: u64,
    /// Files that still hold the rows as they were
    files_left: u64,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct PendingList {
    /// Oldest first
    data: Vec<Pending>,
}

fn yes() -> bool {
    true
}

/// Deletes or corrects rows
///
/// A dry run unless `dryRun` is false. What is made is in every answer begun afterwards; rows that come later are not touched.
#[utoipa::path(post, path = "/mutations", operation_id = "mutate", tag = "events", request_body = Asked,
    responses((status = 200, body = Made, description = "Made, or counted"), Fails<(JsonBody, Mutating)>))]
pub(crate) async fn make(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Made>, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let asked: Asked = read_json(&held.bytes)?;
    let dry_run = asked.dry_run;
    let request =
        checked(asked, &services).map_err(|detail| Failure::new(400, "invalid-mutation", "Not a mutation", detail))?;
    let done = services.mutate.mutate(request).await.map_err(unchanged)?;
    Ok(Json(Made { mutation: done.number, rows: done.rows, dry_run }))
}

fn checked(asked: Asked, services: &Services) -> Result<MutationRequest, String> {
    let table = Table::ALL.into_iter().find(|table| table.name() == asked.table);
    let table = table.ok_or_else(|| {
        let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
        format!("table {:?} is none whose rows can be changed; there are: {}", asked.table, names.join(", "))
    })?;
    let change = match (asked.set, asked.delete) {
        (None, true) => MutationChange::Delete,
        (Some(_), false) if table == Table::Quarantine => {
            return Err("what was set aside is corrected by PATCH /quarantine/{eventId}".to_owned());
        }
        (Some(values), false) => {
            let values = values.into_iter().map(|(name, value)| Ok((name.clone(), param(&name, value)?)));
            MutationChange::Set(values.collect::<Result<_, String>>()?)
        }
        _ => return Err("send either \"delete\": true or \"set\": {column: value}".to_owned()),
    };
    Ok(MutationRequest { tenant: services.tenant(), table, condition: asked.r#where, change, dry_run: asked.dry_run })
}

fn param(name: &str, value: Value) -> Result<Param, String> {
    Ok(match value {
        Value::Null => Param::Null,
        Value::Bool(value) => Param::Boolean(value),
        Value::String(text) => Param::Text(text),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Param::Integer(integer),
            (None, Some(float)) => Param::Float(float),
            (None, None) => return Err(format!("{name}: {number} is out of range")),
        },
        // Columns of JSON hold it as text.
        object @ (Value::Object(_) | Value::Array(_)) => Param::Text(object.to_string()),
    })
}

/// What is not yet in every file
#[utoipa::path(get, path = "/mutations", operation_id = "listMutations", tag = "events",
    responses((status = 200, body = PendingList, description = "All of them"), Fails<Nothing>))]
pub(crate) async fn list(State(services): State<Services>) -> Json<PendingList> {
    let mutations = services.mutate.mutations(&services.tenant()).into_iter();
    let data = mutations.map(|mutation| Pending {
        mutation: mutation.number,
        at: Timestamp(mutation.at_us).to_string(),
        table: mutation.table,
        r#where: mutation.condition,
        delete: mutation.deletes,
        rows: mutation.rows,
        files_left: mutation.files_left,
    });
    Json(PendingList { data: data.collect() })
}
