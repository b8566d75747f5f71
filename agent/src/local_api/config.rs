//! `GET /config`: every setting, its value, where it came from. `PUT /config`: changes what may change while running.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_common::settings::by_json_key;
use ridealong_edge::Failure;
use ridealong_edge::body::json;
use serde_json::{Map, Value, json};

use super::LocalServices;
use crate::config::SETTINGS;
use crate::live::ChangeError;

/// Far more than all settings take.
const BODY_BYTES_MAX: usize = 64 << 10;

pub(super) async fn get(State(services): State<LocalServices>) -> Json<Value> {
    Json(shown(&services))
}

/// Takes an object of keys and values, as flags, in camelCase or in snake_case; null takes a change back.
pub(super) async fn put(
    State(services): State<LocalServices>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.bodies.read(&headers, body, BODY_BYTES_MAX).await?;
    let asked = asked(json(&held.bytes)?)?;
    // Writes and syncs a small file: the control thread must not wait for that.
    let live = services.live.clone();
    let changed = tokio::task::spawn_blocking(move || live.change(&asked)).await;
    match changed {
        Ok(Ok(())) => Ok(Json(shown(&services))),
        Ok(Err(ChangeError::Faults(faults))) => {
            let faults: Vec<String> =
                faults.0.iter().map(|fault| format!("{}: {}", fault.key, fault.problem)).collect();
            Err(Failure::new(400, "invalid-setting", "Invalid setting", faults.join("; ")))
        }
        Ok(Err(error @ ChangeError::Keep { .. })) => Err(Failure::unavailable("not-kept", error.to_string())),
        Err(error) => Err(Failure::unavailable("stopping", error.to_string())),
    }
}

fn asked(body: Map<String, Value>) -> Result<BTreeMap<&'static str, Option<String>>, Failure> {
    let (mut asked, mut faults) = (BTreeMap::new(), Vec::new());
    for (key, value) in body {
        let setting = match by_json_key(SETTINGS, &key) {
            Ok(setting) if setting.live => setting,
            Ok(setting) => {
                faults.push(format!("{} changes only at a start: set it in the file or as a flag", setting.key));
                continue;
            }
            Err(nearest) => {
                let hint = nearest.map(|key| format!(", did you mean {key}?")).unwrap_or_default();
                faults.push(format!("{key:?} is no setting{hint}"));
                continue;
            }
        };
        match value {
            Value::Null => asked.insert(setting.key, None),
            Value::String(text) => asked.insert(setting.key, Some(text)),
            Value::Number(number) => asked.insert(setting.key, Some(number.to_string())),
            other => {
                faults.push(format!("{key}: {other} is neither a text, a number nor null"));
                continue;
            }
        };
    }
    if faults.is_empty() {
        return Ok(asked);
    }
    Err(Failure::new(400, "invalid-setting", "Invalid setting", faults.join("; ")))
}

fn shown(services: &LocalServices) -> Value {
    let settings = services.live.shown().into_iter().map(|(setting, value)| {
        let (text, origin) = value.map_or((Value::Null, "unset".to_owned()), |(text, origin)| (text.into(), origin));
        let shown = json!({ "value": text, "origin": origin, "live": setting.live, "help": setting.help });
        (setting.key.to_owned(), shown)
    });
    Value::Object(settings.collect())
}
