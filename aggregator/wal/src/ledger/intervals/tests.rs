#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn agrees_with_a_plain_set(ranges in prop::collection::vec((0_u64..60, 1_u64..12), 0..30), probe in (0_u64..60, 1_u64..12)) {
        let mut intervals = Intervals::default();
        let mut set = BTreeSet::new();
        for (start, length) in ranges {
            let new = (start..start + length).filter(|number| set.insert(*number)).count() as u64;
            prop_assert_eq!(intervals.insert(start..start + length), new);
        }
        prop_assert!(Intervals::restore(intervals.runs().to_vec()).is_some());
        let held: Vec<u64> = intervals.runs().iter().cloned().flatten().collect();
        prop_assert_eq!(&held, &set.iter().copied().collect::<Vec<_>>());
        let missing: Vec<u64> = intervals.missing(80).flatten().collect();
        prop_assert_eq!(missing, (0..80).filter(|number| !set.contains(number)).collect::<Vec<_>>());
        let probe = probe.0..probe.0 + probe.1;
        prop_assert_eq!(intervals.contains(&probe), probe.clone().all(|number| set.contains(&number)));
        let left: Vec<u64> = uncovered(probe.clone(), intervals.runs().iter().rev()).into_iter().flatten().collect();
        prop_assert_eq!(left, probe.filter(|number| !set.contains(number)).collect::<Vec<_>>());
    }
}

#[test]
fn the_oldest_gap_is_given_up() {
    let mut intervals = Intervals::default();
    for start in [2, 10, 20] {
        intervals.insert(start..start + 1);
    }
    assert_eq!(intervals.close_oldest_gap(), 7);
    assert_eq!(intervals.runs(), [2..11, 20..21]);
}
