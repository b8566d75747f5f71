use super::*;

#[test]
fn half_are_below_the_median_and_few_far_above() {
    fastrand::seed(7);
    let latency = Latency::new(20, 0.5);
    let mut drawn: Vec<Duration> = (0..10_001).map(|_| latency.draw()).collect();
    drawn.sort_unstable();
    let at = |share: f64| drawn[(10_000.0 * share) as usize].as_secs_f64() * 1_000.0;
    assert!((19.0..21.0).contains(&at(0.5)), "{}", at(0.5));
    assert!((58.0..70.0).contains(&at(0.99)), "{}", at(0.99));
}
