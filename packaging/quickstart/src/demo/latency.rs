//! How long an answer takes: log-normal, as answers of real services are. Most are near the median, some far above.

use std::f64::consts::TAU;
use std::time::Duration;

/// Nothing takes longer, however unlucky the draw.
const MAX: Duration = Duration::from_secs(1);

pub struct Latency {
    median_ms: u32,
    /// Standard deviation of the logarithm; 0.5 puts one in a hundred beyond three times the median.
    spread: f64,
}

impl Latency {
    pub const fn new(median_ms: u32, spread: f64) -> Self {
        Self { median_ms, spread }
    }

    /// Sleeps for one drawn latency.
    pub async fn pass(&self) {
        tokio::time::sleep(self.draw()).await;
    }

    fn draw(&self) -> Duration {
        // Box and Muller, A Note on the Generation of Random Normal Deviates, 1958. 1 - f64() is never 0.
        let normal = (-2.0 * (1.0 - fastrand::f64()).ln()).sqrt() * (TAU * fastrand::f64()).cos();
        let milliseconds = f64::from(self.median_ms) * (self.spread * normal).exp();
        Duration::from_secs_f64(milliseconds / 1_000.0).min(MAX)
    }
}

#[cfg(test)]
mod tests;
