//! `POST /v1/batches`: agents deliver here.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_common::limits::FRAME_BYTES_MAX;
use serde_json::{Value, json};

use crate::failure::refused;
use crate::services::Services;
use ridealong_edge::Failure;

pub(crate) async fn batches(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    let held = services.body(&headers, body, FRAME_BYTES_MAX).await?;
    let receipt = services.ingest.accept_frame(&services.tenant(), held.bytes.clone()).await.map_err(refused)?;
    Ok(Json(json!({
        "producer": receipt.producer.to_string(),
        "storedTo": receipt.stored_to,
        "stored": receipt.stored,
        "duplicate": receipt.duplicate,
        "quarantined": receipt.quarantined,
    })))
}
