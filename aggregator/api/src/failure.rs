//! The services' errors as problems: each gets its status and its stable type here.

use ridealong_common::frame::FrameError;
use ridealong_edge::Failure;
use ridealong_ingest::Refusal;
use ridealong_model::metrics::MetricsError;
use ridealong_model::mutation::MutationError;
use ridealong_model::query::QueryError;

/// A batch or an event that was not taken.
pub(crate) fn refused(refusal: Refusal) -> Failure {
    let detail = refusal.to_string();
    match &refusal {
        Refusal::Frame(FrameError::TooLarge(_)) => Failure::new(413, "batch-too-large", "Batch too large", detail),
        Refusal::Frame(_) | Refusal::Block { .. } => Failure::new(400, "invalid-batch", "Not a batch", detail),
        Refusal::Busy => Failure::unavailable("busy", detail),
        Refusal::NotDurable(_) => Failure::unavailable("not-durable", detail),
    }
}

/// Rows that were not deleted or corrected.
pub(crate) fn unchanged(error: MutationError) -> Failure {
    let detail = error.to_string();
    match error {
        MutationError::Invalid(_) => Failure::new(400, "invalid-mutation", "Not a mutation", detail),
        MutationError::TooMany(_) | MutationError::Busy => Failure::unavailable("busy", detail),
        MutationError::Behind => Failure::unavailable("behind", detail),
        MutationError::Failed(_) => Failure::new(500, "mutation-failed", "Rows were not changed", detail),
    }
}

/// A query that was not answered.
pub(crate) fn unanswered(error: QueryError) -> Failure {
    let detail = error.to_string();
    match error {
        QueryError::Invalid(_) => Failure::new(400, "invalid-query", "Query is not valid", detail),
        QueryError::NotARead(_) => Failure::new(400, "not-a-read", "Only reads are allowed", detail),
        QueryError::TimedOut(_) => Failure::new(408, "query-timeout", "Query took too long", detail),
        QueryError::TooLarge(_) => Failure::new(400, "query-too-large", "Query needs too much", detail),
        QueryError::Behind => Failure::unavailable("behind", detail),
        QueryError::Busy | QueryError::Short(_) => Failure::unavailable("busy", detail),
        QueryError::Unread(_) => Failure::unavailable("store-unreachable", detail),
        QueryError::Failed(_) => Failure::new(500, "query-failed", "Query failed", detail),
    }
}

/// Metrics that were not answered.
pub(crate) fn unmeasured(error: MetricsError) -> Failure {
    let detail = error.to_string();
    match error {
        MetricsError::Invalid { .. } => Failure::new(400, "invalid-metrics", "Question is not valid", detail),
        MetricsError::TooManyGroups(_) => Failure::new(400, "too-many-groups", "Answer would be too large", detail),
        MetricsError::TimedOut(_) => Failure::new(408, "query-timeout", "Question took too long", detail),
        MetricsError::Behind => Failure::unavailable("behind", detail),
        MetricsError::Busy => Failure::unavailable("busy", detail),
        MetricsError::Unread(_) => Failure::unavailable("store-unreachable", detail),
        MetricsError::Failed(_) => Failure::new(500, "query-failed", "Question failed", detail),
    }
}
