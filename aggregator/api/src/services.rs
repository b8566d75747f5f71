//! What the handlers call.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::http::HeaderMap;
use bytes::Bytes;
use ridealong_catalog::Catalog;
use ridealong_edge::Failure;
use ridealong_edge::body::{Bodies, Held, announced, discard};
use ridealong_ingest::{Admission, Ingest};
use ridealong_jobs::Jobs;
use ridealong_model::budget::Share;
use ridealong_model::export::Export;
use ridealong_model::lake::Lake;
use ridealong_model::metrics::MetricsEngine;
use ridealong_model::mutation::Mutate;
use ridealong_model::query::QueryEngine;
use ridealong_model::segment::SegmentCheck;
use ridealong_model::tenant::TenantId;
use ridealong_stream::Live;

use crate::failure::refused;
use crate::health::Disk;

/// Shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub ingest: Ingest,
    pub catalog: Catalog,
    /// Knows which rules of segments are valid.
    pub segment_check: Arc<dyn SegmentCheck>,
    pub admission: Admission,
    pub engine: Arc<dyn QueryEngine>,
    pub export: Arc<dyn Export>,
    pub metrics: Arc<dyn MetricsEngine>,
    pub lake: Arc<dyn Lake>,
    /// Deletes and corrects what is stored.
    pub mutate: Arc<dyn Mutate>,
    pub jobs: Jobs,
    pub live: Live,
    /// Whether there is a place for days that are kept and seldom read.
    pub has_archive: bool,
    pub disk: Disk,
    pub bodies: Bodies,
    pub limits: Limits,
    pub started: Instant,
}

/// Limits of the HTTP side.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A request whose body or answer takes longer is given up.
    pub request_timeout: std::time::Duration,
}

/// A body and its share of the memory, to be held until it is answered.
pub(crate) struct Admitted {
    pub bytes: Bytes,
    _held: Held,
    _share: Share,
}

impl Services {
    /// Reads a body of at most `max` bytes when there is room for what it will take.
    pub(crate) async fn body(&self, headers: &HeaderMap, body: Body, max: usize) -> Result<Admitted, Failure> {
        let bytes = announced(headers).map_or(max as u64, |length| length.min(max as u64));
        let share = match self.admission.enter(bytes).await {
            Ok(share) => share,
            Err(refusal) => {
                discard(body).await;
                return Err(refused(refusal));
            }
        };
        let held = self.bodies.read(headers, body, max).await?;
        Ok(Admitted { bytes: held.bytes.clone(), _held: held, _share: share })
    }

    /// While no key exists every caller is this tenant.
    pub fn tenant(&self) -> TenantId {
        TenantId::default_tenant()
    }
}
