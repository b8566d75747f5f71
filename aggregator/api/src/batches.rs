//! `POST /v1/batches`: agents deliver here.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use ridealong_common::limits::FRAME_BYTES_MAX;
use ridealong_edge::Failure;
use serde::Serialize;
use utoipa::ToSchema;

use crate::description::problems::{Batch, Body as BodyRead, Fails, Log};
use crate::failure::refused;
use crate::services::Services;

/// What became of an agent's batch
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BatchReceipt {
    #[schema(format = "uuid")]
    producer: String,
    /// All of this producer's rows below this number are stored
    stored_to: u64,
    stored: u64,
    duplicate: u64,
    quarantined: u64,
}

/// Takes an agent's batch
///
/// A frame of `common/src/frame.rs`, at most 8 MiB. 400 is for ever; 413: send it in parts; 503: send it again.
#[utoipa::path(post, path = "/v1/batches", operation_id = "batches", tag = "ingest",
    request_body(content = Vec<u8>, content_type = "application/vnd.ridealong.batch"),
    responses((status = 200, body = BatchReceipt, description = "Durable"), Fails<(BodyRead, Batch, Log)>))]
pub(crate) async fn batches(
    State(services): State<Services>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<BatchReceipt>, Failure> {
    let held = services.body(&headers, body, FRAME_BYTES_MAX).await?;
    let receipt = services.ingest.accept_frame(&services.tenant(), held.bytes.clone()).await.map_err(refused)?;
    Ok(Json(BatchReceipt {
        producer: receipt.producer.to_string(),
        stored_to: receipt.stored_to,
        stored: receipt.stored,
        duplicate: receipt.duplicate,
        quarantined: receipt.quarantined,
    }))
}
