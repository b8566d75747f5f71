//! Which exchanges become rows.
//!
//! Every exchange is counted in the summaries; rows are a sample. Errors and slow ones are always kept and stand for
//! themselves (weight 1); of the others a share of [`Sampling::rate`] is kept, each with the weight 1 / rate. So the sum
//! of the weights over any set of rows estimates the number of exchanges without bias.
//!
//! Whether one of the others is kept depends on its request id alone: the caller's `X-Request-ID` when it sent one,
//! otherwise the id that the proxy made and passes on. So all agents on a request's way decide alike, and what a lower
//! rate keeps a higher one keeps too. The hash is part of that: changing it would tear requests apart between versions.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ridealong_common::ids::EventId;
use uuid::Uuid;

/// What is kept. Changes while the agent runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// The share of ordinary exchanges that become rows: 0 to 1.
    pub rate: f64,
    /// What took longer is always kept.
    pub slow: Duration,
}

impl Default for Sampling {
    /// Every row: a service is small before it is large, and the rate can be lowered while it runs.
    fn default() -> Self {
        Self { rate: 1.0, slow: Duration::from_secs(1) }
    }
}

/// What the decision looks at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub event_id: EventId,
    /// The caller's own id.
    pub request_id: Option<&'a str>,
    pub duration_us: u64,
    pub is_error: bool,
}

impl Sampling {
    /// Itself, when the rate is one; otherwise what is wrong, to complete the sentence "`sample` …".
    pub fn checked(self) -> Result<Self, &'static str> {
        if (0.0..=1.0).contains(&self.rate) { Ok(self) } else { Err("must be between 0 and 1") }
    }

    /// The weight of the candidate's row; none when it makes no row.
    pub fn weight(&self, candidate: &Candidate<'_>) -> Option<f64> {
        let slow = u128::from(candidate.duration_us) > self.slow.as_micros();
        if candidate.is_error || slow || self.rate >= 1.0 {
            return Some(1.0);
        }
        (share_of(candidate) < self.rate).then(|| 1.0 / self.rate)
    }
}

/// Where a request id lies between 0 and 1, evenly.
fn share_of(candidate: &Candidate<'_>) -> f64 {
    let ours = || hash(&candidate.event_id.to_bytes());
    let bits = candidate.request_id.map_or_else(ours, |id| match Uuid::try_parse(id) {
        // Another agent's, as a rule, which decided by its 16 bytes.
        Ok(id) => hash(id.as_bytes()),
        Err(_) => hash(id.as_bytes()),
    });
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// FNV-1a of 64 bits (RFC 9923), then the finalizer of MurmurHash3: ids that were counted up differ in few bits only.
fn hash(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

/// The sampling that holds now, shared by whoever reads it and whoever changes it.
///
/// Recorders look once a tick (50 ms), so a change holds for all exchanges soon after, without costing any of them.
#[derive(Clone, Debug, Default)]
pub struct SamplingHandle {
    now: Arc<ArcSwap<Sampling>>,
}

impl SamplingHandle {
    pub fn new(sampling: Sampling) -> Self {
        Self { now: Arc::new(ArcSwap::from_pointee(sampling)) }
    }

    pub fn get(&self) -> Sampling {
        **self.now.load()
    }

    /// Takes what [`Sampling::checked`] let pass.
    pub fn set(&self, sampling: Sampling) {
        self.now.store(Arc::new(sampling));
    }
}

#[cfg(test)]
mod tests;
