//! What the handlers call.

use std::sync::Arc;
use std::time::Instant;

use ridealong_catalog::Catalog;
use ridealong_edge::body::Bodies;
use ridealong_ingest::Ingest;
use ridealong_model::lake::Lake;
use ridealong_model::query::QueryEngine;
use ridealong_model::segment::SegmentCheck;
use ridealong_model::tenant::TenantId;

use crate::health::Disk;

/// Shared by all handlers. Cheap to clone.
#[derive(Clone)]
pub struct Services {
    pub ingest: Ingest,
    pub catalog: Catalog,
    /// Knows which rules of segments are valid.
    pub segment_check: Arc<dyn SegmentCheck>,
    pub engine: Arc<dyn QueryEngine>,
    pub lake: Arc<dyn Lake>,
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

impl Services {
    /// While no key exists every caller is this tenant.
    pub fn tenant(&self) -> TenantId {
        TenantId::default_tenant()
    }
}
