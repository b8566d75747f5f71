//! `POST /flush`: answers when everything acknowledged before it lies in Delta tables.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::services::Services;
use ridealong_edge::Failure;

pub(crate) async fn flush(State(services): State<Services>) -> Result<Json<Value>, Failure> {
    services.lake.flush().await.map_err(|error| Failure::unavailable("flush-failed", error.to_string()))?;
    Ok(Json(json!({ "committed": services.lake.status().committed })))
}
