use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use proptest::prelude::*;

use super::*;

fn count(distinct: &Distinct, now: i64) -> DistinctCount {
    Distinct::count(std::iter::once(distinct), now)
}

proptest! {
    /// Against a map that forgets nothing.
    #[test]
    fn below_its_bound_it_is_exact(seen in proptest::collection::vec((0u64..60, 0i64..300), 0..400)) {
        let mut seen = seen;
        seen.sort_by_key(|(_, second)| *second);
        let mut distinct = Distinct::new(64);
        let mut naive: HashMap<u64, i64> = HashMap::new();
        for (value, second) in seen {
            distinct.add(value.wrapping_mul(0x9e37_79b9_7f4a_7c15), second);
            naive.insert(value, second);
            if second % 7 == 0 {
                distinct.forget(second);
            }
            let expected = naive.values().filter(|last| **last > second - WINDOW_SECONDS).count() as u64;
            prop_assert_eq!(count(&distinct, second), DistinctCount { count: expected, is_estimate: false });
        }
    }
}

#[test]
fn above_its_bound_it_is_near_and_says_so_and_it_becomes_exact_again() {
    let state = RandomState::new();
    let mut distinct = Distinct::new(4_096);
    for value in 0..200_000u32 {
        distinct.add(state.hash_one(value), 10);
    }
    let estimate = count(&distinct, 20);
    assert!(estimate.is_estimate);
    // Five standard errors.
    assert!(estimate.count.abs_diff(200_000) < 20_000, "{estimate:?}");
    assert!(distinct.last_seen.len() <= 4_096);
    // A quiet hour with ten values, seen each second.
    for second in 11..3_600 {
        for value in 0..10u32 {
            distinct.add(state.hash_one(value), second);
        }
        distinct.forget(second);
    }
    assert_eq!(count(&distinct, 3_599), DistinctCount { count: 10, is_estimate: false });
}

#[test]
fn several_count_what_they_share_once() {
    let state = RandomState::new();
    let part = |values: std::ops::Range<u32>, kept_max| {
        let mut distinct = Distinct::new(kept_max);
        values.for_each(|value| distinct.add(state.hash_one(value), 5));
        distinct
    };
    let exact = [part(0..600, 1_000), part(400..1_000, 1_000)];
    assert_eq!(Distinct::count(exact.iter(), 5), DistinctCount { count: 1_000, is_estimate: false });
    let mixed = [part(0..60_000, 4_096), part(50_000..100_000, 65_536)];
    let estimate = Distinct::count(mixed.iter(), 5);
    assert!(estimate.is_estimate && estimate.count.abs_diff(100_000) < 15_000, "{estimate:?}");
}

#[test]
fn while_it_keeps_more_again_it_does_not_count_too_few() {
    let state = RandomState::new();
    let mut distinct = Distinct::new(1_024);
    // 3,000 values come again each second; then 200.
    let mut lowest = u64::MAX;
    for second in 0..400 {
        let values = if second < 100 { 3_000 } else { 200 };
        (0..values).for_each(|value: u32| distinct.add(state.hash_one(value), second));
        distinct.forget(second);
        if second > 180 {
            lowest = lowest.min(count(&distinct, second).count);
        }
    }
    assert!(lowest > 140, "{lowest} of 200");
    assert_eq!(count(&distinct, 399), DistinctCount { count: 200, is_estimate: false });
}
