//! What the proxy itself added to requests, as a histogram for Prometheus: the agent reports its own cost.
//!
//! One writer, many readers: each recorder has its own, so a count is a load and a store, and no thread waits for another.

use std::sync::atomic::{AtomicU64, Ordering};

/// The upper bounds of the buckets, in microseconds; the last bucket has none.
pub const BOUNDS_US: [u64; 11] = [10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000];

#[derive(Debug, Default)]
pub struct Overhead {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// The counts at one moment, of one recorder or of several together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OverheadSnapshot {
    /// Requests in each bucket, not added up.
    pub buckets: [u64; BOUNDS_US.len() + 1],
    pub sum_us: u64,
}

impl Overhead {
    /// To be called by one thread only.
    pub fn add(&self, overhead_us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < overhead_us);
        increase(&self.buckets[bucket], 1);
        increase(&self.sum_us, overhead_us);
    }

    pub fn add_to(&self, sum: &mut OverheadSnapshot) {
        for (total, bucket) in sum.buckets.iter_mut().zip(&self.buckets) {
            *total += bucket.load(Ordering::Relaxed);
        }
        sum.sum_us += self.sum_us.load(Ordering::Relaxed);
    }
}

impl OverheadSnapshot {
    /// As Prometheus wants them: each bound in seconds with the requests up to it; the last is `+Inf`.
    pub fn cumulative(&self) -> Vec<(String, u64)> {
        let bounds = BOUNDS_US.iter().map(|us| (*us as f64 / 1e6).to_string()).chain(["+Inf".to_owned()]);
        let mut below = 0;
        let counts = self.buckets.iter().map(|count| {
            below += count;
            below
        });
        bounds.zip(counts).collect()
    }

    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }
}

/// Without the bus lock that adding atomically takes: the counter has one writer.
pub(crate) fn increase(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed) + by, Ordering::Release);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lies_in_the_bucket_that_ends_with_it() {
        let overhead = Overhead::default();
        for value in [0, 10, 11, 25_000, 25_001, 1 << 40] {
            overhead.add(value);
        }
        let mut sum = OverheadSnapshot::default();
        overhead.add_to(&mut sum);
        overhead.add_to(&mut sum);
        assert_eq!((sum.count(), sum.sum_us), (12, 2 * (50_022 + (1 << 40))));
        let cumulative = sum.cumulative();
        assert_eq!(cumulative[0], ("0.00001".to_owned(), 4));
        assert_eq!(cumulative[1], ("0.000025".to_owned(), 6));
        assert_eq!(cumulative[10], ("0.025".to_owned(), 8));
        assert_eq!(cumulative[11], ("+Inf".to_owned(), 12));
    }
}
