//! Answers that may be given again: while what they were computed from is the same, or as long as a caller allows.
//!
//! Each question has a place. Who asks it holds the place while computing; who asks the same meanwhile waits there, and is
//! given that answer, since it has seen every row that was acknowledged before its computation began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use moka::future::Cache;
use parking_lot::Mutex;
use ridealong_model::metrics::MetricsAnswer;

/// Answers of all tenants together.
const BYTES_MAX: u64 = 32 << 20;
/// What a place takes beside its answer.
const PLACE_BYTES: usize = 512;

pub struct Answers {
    places: Cache<Arc<str>, Arc<Place>>,
}

/// Of one question.
#[derive(Default)]
pub struct Place {
    /// Held by who computes.
    pub running: tokio::sync::Mutex<()>,
    made: Mutex<Option<Arc<Answered>>>,
    bytes: AtomicU32,
}

pub struct Answered {
    pub answer: MetricsAnswer,
    /// Of what it was computed from.
    pub stamp: u64,
    /// It has every row acknowledged before.
    pub since: Instant,
}

impl Answers {
    pub fn new() -> Self {
        let weigh = |question: &Arc<str>, place: &Arc<Place>| {
            let bytes = place.bytes.load(Ordering::Relaxed) as usize + question.len() + PLACE_BYTES;
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self { places: Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build() }
    }

    pub async fn place(&self, question: &Arc<str>) -> Arc<Place> {
        self.places.get_with_by_ref(question, async { Arc::default() }).await
    }

    pub async fn put(&self, question: Arc<str>, place: &Arc<Place>, answered: Arc<Answered>) {
        place.bytes.store(u32::try_from(answered.answer.rows_json.len()).unwrap_or(u32::MAX), Ordering::Relaxed);
        *place.made.lock() = Some(answered);
        // Weighed again.
        self.places.insert(question, Arc::clone(place)).await;
    }
}

impl Place {
    pub fn made(&self) -> Option<Arc<Answered>> {
        self.made.lock().clone()
    }
}
