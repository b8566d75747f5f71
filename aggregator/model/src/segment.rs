//! Segments of users: rules that an admin writes, and the ports between who keeps them and who applies them.

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;

use crate::tenant::TenantId;

/// One condition. It is planned for each query that asks for segments.
pub const CONDITION_BYTES_MAX: usize = 4 << 10;
/// Rules of one tenant.
pub const SEGMENTS_MAX: usize = 100;

/// Users for whom `condition` holds, unless they are in a segment before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Segment {
    pub name: String,
    /// An SQL boolean expression over the columns of `users`: `event_count >= 100 AND country = 'DE'`.
    pub condition: String,
}

/// Who keeps the rules.
pub trait SegmentRules: Send + Sync {
    /// In the order in which they are tried: the first that holds is the user's segment.
    fn segments(&self, tenant: &TenantId) -> Arc<[Segment]>;
}

/// No rules: every segment is null.
pub struct NoSegments;

impl SegmentRules for NoSegments {
    fn segments(&self, _: &TenantId) -> Arc<[Segment]> {
        Arc::from([])
    }
}

/// Who applies the rules, and so knows which are valid.
#[async_trait]
pub trait SegmentCheck: Send + Sync {
    /// To be asked before a rule is kept. A rule that got in otherwise is skipped by queries.
    async fn check(&self, condition: &str) -> Result<(), ConditionFault>;
}

#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ConditionFault {
    #[error("the condition has {0} bytes, at most {CONDITION_BYTES_MAX} are taken")]
    TooLong(usize),
    #[error("the condition cannot be read: {0}")]
    Unreadable(String),
    #[error("the condition may use columns of users, values, operators and functions of one row only; {0} is none")]
    Barred(String),
    #[error("the condition must be true or false, this is of type {0}")]
    NotBoolean(String),
}
