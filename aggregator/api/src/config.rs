//! `GET /config`: what the caller's tenant has set. `PUT /config`: changes what is named, keeps the rest; in force, and
//! durable, when answered.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_catalog::{ChangeError, Segment, TenantSettings};
use ridealong_common::settings::nearest;
use ridealong_edge::Failure;
use ridealong_edge::body::json;
use ridealong_model::location::Location;
use ridealong_model::segment::SEGMENTS_MAX;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::description::problems::{Fails, JsonBody, Nothing, Setting, Settings as Kept};
use crate::description::shapes::{Settings, SettingsChange};
use crate::retention;
use crate::services::Services;

/// A hundred segments with long conditions.
const BODY_BYTES_MAX: usize = 1 << 20;

/// What is set
#[utoipa::path(get, path = "/config", operation_id = "getConfig", tag = "settings",
    responses((status = 200, body = Settings, description = "All of it"), Fails<Nothing>))]
pub(crate) async fn get(State(services): State<Services>) -> Json<Value> {
    Json(shown(&services.catalog.settings(&services.tenant())))
}

/// Changes what is named, keeps the rest
///
/// In force, and durable, when answered.
#[utoipa::path(put, path = "/config", operation_id = "putConfig", tag = "settings", request_body = SettingsChange,
    responses((status = 200, body = Settings, description = "All of it, as it is now"), Fails<(JsonBody, Setting, Kept)>))]
pub(crate) async fn put(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let asked: Map<String, Value> = json(&held.bytes)?;
    for Segment { name, condition } in segments(asked.get("segments"))? {
        let checked = services.segment_check.check(&condition).await;
        checked.map_err(|fault| invalid(format!("segment {name:?}: {fault}")))?;
    }
    let (catalog, tenant, has_archive) = (services.catalog.clone(), services.tenant(), services.has_archive);
    if asked.contains_key("location") && services.lake.status().tables.iter().any(|it| it.tenant == tenant.as_str()) {
        return Err(invalid("location can be set only as long as the tenant has no rows".to_owned()));
    }
    // Writes and syncs a file: the threads of the API must not wait for that.
    let changed =
        tokio::task::spawn_blocking(move || catalog.change(&tenant, |settings| apply(settings, asked, has_archive)))
            .await;
    match changed {
        Ok(Ok(settings)) => Ok(Json(shown(&settings))),
        Ok(Err(ChangeError::Invalid(fault))) => Err(invalid(fault)),
        Ok(Err(error @ ChangeError::NotDurable(_))) => Err(Failure::unavailable("not-kept", error.to_string())),
        Err(error) => Err(Failure::unavailable("stopping", error.to_string())),
    }
}

/// The segments that are asked for, few enough to check each.
fn segments(asked: Option<&Value>) -> Result<Vec<Segment>, Failure> {
    let segments = asked.map_or_else(|| Ok(Vec::new()), read_segments).map_err(invalid)?;
    if segments.len() > SEGMENTS_MAX {
        return Err(invalid(format!("{} segments, at most {SEGMENTS_MAX} are kept", segments.len())));
    }
    Ok(segments)
}

fn invalid(fault: String) -> Failure {
    Failure::new(400, "invalid-setting", "Invalid setting", fault)
}

fn shown(settings: &TenantSettings) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

fn apply(settings: &mut TenantSettings, asked: Map<String, Value>, has_archive: bool) -> Result<(), String> {
    for (key, value) in asked {
        match key.as_str() {
            "corrections" => correct(settings, value)?,
            "segments" => settings.segments = read_segments(&value)?,
            "location" => settings.location = read_location(&value)?,
            "retention" => settings.retention = retention::read(&value, has_archive)?,
            _ => return Err(unknown(&key, &["corrections", "location", "retention", "segments"])),
        }
    }
    Ok(())
}

fn correct(settings: &mut TenantSettings, value: Value) -> Result<(), String> {
    let Value::Object(asked) = value else { return Err("corrections must be an object of true and false".to_owned()) };
    let corrections = &mut settings.corrections;
    for (key, value) in asked {
        let switch = match key.as_str() {
            "clockSkew" | "clock_skew" => &mut corrections.clock_skew,
            "numbersAsText" | "numbers_as_text" => &mut corrections.numbers_as_text,
            "oversizeText" | "oversize_text" => &mut corrections.oversize_text,
            "casing" => &mut corrections.casing,
            _ => return Err(unknown(&key, &["clockSkew", "numbersAsText", "oversizeText", "casing"])),
        };
        *switch = value.as_bool().ok_or_else(|| format!("corrections.{key} must be true or false, this is {value}"))?;
    }
    Ok(())
}

/// A bucket, or null for the usual place. Whoever may ask for settings may not choose among the server's folders.
fn read_location(value: &Value) -> Result<Option<String>, String> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) if matches!(Location::parse(text), Ok(Location::Bucket(_))) => Ok(Some(text.clone())),
        _ => Err(format!("location must be \"s3://BUCKET/PREFIX\" or null, this is {value}")),
    }
}

fn read_segments(value: &Value) -> Result<Vec<Segment>, String> {
    let form = "segments must be a list of {\"name\": …, \"when\": …}";
    Vec::deserialize(value).map_err(|error| format!("{form}: {error}"))
}

fn unknown(key: &str, known: &[&str]) -> String {
    let key: String = key.chars().take(80).collect();
    let hint = nearest(&key, known.iter().copied()).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    format!("{key:?} is no setting{hint} There are: {}", known.join(", "))
}

#[cfg(test)]
mod tests;
