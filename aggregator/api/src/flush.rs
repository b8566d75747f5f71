//! `POST /flush`: answers when everything acknowledged before it lies in Delta tables.

use axum::Json;
use axum::extract::State;
use ridealong_edge::Failure;
use serde::Serialize;
use utoipa::ToSchema;

use crate::description::problems::{Fails, Flush};
use crate::services::Services;

#[derive(Serialize, ToSchema)]
pub(crate) struct Flushed {
    /// The log position up to which all rows lie in Delta tables
    committed: u64,
}

/// Commits everything so far
///
/// Answered when everything acknowledged before lies in Delta tables, where other programs read it.
#[utoipa::path(post, path = "/flush", operation_id = "flush", tag = "operation",
    responses((status = 200, body = Flushed, description = "Committed"), Fails<Flush>))]
pub(crate) async fn flush(State(services): State<Services>) -> Result<Json<Flushed>, Failure> {
    services.lake.flush().await.map_err(|error| Failure::unavailable("flush-failed", error.to_string()))?;
    Ok(Json(Flushed { committed: services.lake.status().committed }))
}
