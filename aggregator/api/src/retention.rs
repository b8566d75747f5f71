//! `GET /retention`: how long the caller's tenant keeps the rows of each table. `PUT /retention` sets all of it: a table
//! that is not named keeps its rows for ever. In force, and durable, when answered.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_catalog::{ChangeError, Retentions, TableRetention};
use ridealong_edge::Failure;
use ridealong_edge::body::json;
use serde_json::{Map, Value};

use crate::description::problems::{Fails, JsonBody, Nothing, Retention as Rules, Settings as Kept};
use crate::description::shapes::RetentionRules;
use crate::services::Services;

/// A few tables with two durations each.
const BODY_BYTES_MAX: usize = 16 << 10;

/// How long rows are kept
#[utoipa::path(get, path = "/retention", operation_id = "getRetention", tag = "settings",
    responses((status = 200, body = RetentionRules, description = "By table"), Fails<Nothing>))]
pub(crate) async fn get(State(services): State<Services>) -> Json<Retentions> {
    Json(services.catalog.settings(&services.tenant()).retention.clone())
}

/// Sets how long rows are kept
///
/// All of it: a table that is not named keeps its rows for ever. Days go whole, by `timestamp`. `archiveAfter` needs an aggregator with
/// `--archive`.
#[utoipa::path(put, path = "/retention", operation_id = "putRetention", tag = "settings", request_body = RetentionRules,
    responses((status = 200, body = RetentionRules, description = "As it is now"), Fails<(JsonBody, Rules, Kept)>))]
pub(crate) async fn put(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Retentions>, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let asked: Value = json(&held.bytes)?;
    let retention = read(&asked, services.has_archive).map_err(invalid)?;
    let (catalog, tenant) = (services.catalog.clone(), services.tenant());
    // Writes and syncs a file: the threads of the API must not wait for that.
    let change = move || {
        catalog.change(&tenant, |settings| {
            settings.retention = retention;
            Ok(())
        })
    };
    match tokio::task::spawn_blocking(change).await {
        Ok(Ok(settings)) => Ok(Json(settings.retention.clone())),
        Ok(Err(ChangeError::Invalid(fault))) => Err(invalid(fault)),
        Ok(Err(error @ ChangeError::NotDurable(_))) => Err(Failure::unavailable("not-kept", error.to_string())),
        Err(error) => Err(Failure::unavailable("stopping", error.to_string())),
    }
}

fn invalid(fault: String) -> Failure {
    Failure::new(400, "invalid-retention", "Invalid retention", fault)
}

/// As it was sent; whether tables and durations are sound is seen to where it is kept.
pub(crate) fn read(asked: &Value, has_archive: bool) -> Result<Retentions, String> {
    let form = r#"an object such as {"archiveAfter": "30d", "dropAfter": "365d"}"#;
    let Value::Object(tables) = asked else {
        return Err(format!("retention must be an object of tables, each with {form}"));
    };
    let mut retentions = Retentions::new();
    for (table, asked) in tables {
        let table: String = table.chars().take(80).collect();
        let Value::Object(asked) = asked else { return Err(format!("retention.{table} must be {form}")) };
        let retention = read_one(&table, asked)?;
        if retention.archive_after.is_some() && !has_archive {
            return Err(format!(
                "retention.{table}.archiveAfter needs an archive: start the aggregator with --archive"
            ));
        }
        retentions.insert(table, retention);
    }
    Ok(retentions)
}

fn read_one(table: &str, asked: &Map<String, Value>) -> Result<TableRetention, String> {
    let mut retention = TableRetention::default();
    for (key, value) in asked {
        let age = match key.as_str() {
            "archiveAfter" | "archive_after" => &mut retention.archive_after,
            "dropAfter" | "drop_after" => &mut retention.drop_after,
            _ => {
                let key: String = key.chars().take(80).collect();
                return Err(format!("retention.{table}.{key} is not known. There are: archiveAfter, dropAfter"));
            }
        };
        *age = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            _ => return Err(format!("retention.{table}.{key} must be a duration such as \"30d\"")),
        };
    }
    Ok(retention)
}

#[cfg(test)]
mod tests;
