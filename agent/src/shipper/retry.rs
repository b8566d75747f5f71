//! When to try again. The only module that names `backoff`: of it, the growth of the interval alone is used, without its
//! limit on the whole time, since nothing is given up.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff;

/// Short enough to resume well within 10 s of an aggregator's return.
const INTERVAL_MAX: Duration = Duration::from_secs(4);
/// The longest `Retry-After` that is followed.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

pub(super) struct Retry {
    backoff: ExponentialBackoff,
    failures: u64,
}

impl Retry {
    pub fn new() -> Self {
        let backoff = ExponentialBackoff {
            initial_interval: Duration::from_millis(250),
            max_interval: INTERVAL_MAX,
            multiplier: 2.0,
            randomization_factor: 0.0,
            max_elapsed_time: None,
            ..ExponentialBackoff::default()
        };
        Self { backoff, failures: 0 }
    }

    pub fn succeeded(&mut self) {
        if self.failures > 0 {
            tracing::info!(failures = self.failures, "aggregator takes batches again");
        }
        self.failures = 0;
        self.backoff.reset();
    }

    /// Whether this failure is the first in a row.
    pub fn first_failure(&self) -> bool {
        self.failures == 0
    }

    /// How long to wait: anywhere between nothing and the interval (full jitter, so that many agents do not come back
    /// at once), and not before the aggregator asks for.
    pub fn pause(&mut self, retry_after: Option<Duration>) -> Duration {
        self.failures += 1;
        let interval = self.backoff.next_backoff().unwrap_or(INTERVAL_MAX);
        let jittered = interval.mul_f64(fastrand::f64());
        jittered.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_gives_up_and_never_waits_longer_than_the_limit() {
        let mut retry = Retry::new();
        for _ in 0..10_000 {
            assert!(retry.pause(None) <= INTERVAL_MAX);
        }
    }

    #[test]
    fn the_aggregator_may_ask_for_more() {
        let mut retry = Retry::new();
        assert!(retry.pause(Some(Duration::from_secs(9))) >= Duration::from_secs(9));
        assert!(retry.pause(Some(Duration::from_secs(900_000))) <= RETRY_AFTER_MAX);
    }
}
