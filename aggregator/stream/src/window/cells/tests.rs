use proptest::prelude::*;

use super::*;

/// What came: the second of the clock when it came, how late it was, and how much.
fn arrivals() -> impl Strategy<Value = Vec<(i64, i64, u64)>> {
    proptest::collection::vec((0i64..4, 0i64..90, 1u64..1_000_000), 0..200).prop_map(|steps| {
        let mut now = 1_000;
        let step = |(pause, late, amount): (i64, i64, u64)| {
            now += pause * 11;
            (now, late, amount)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    /// At every moment the same as adding up a list of everything that ever came.
    #[test]
    fn it_equals_a_naive_list(arrivals in arrivals()) {
        let mut cells = Cells::new(8);
        let mut list: Vec<(i64, Sums, u64)> = Vec::new();
        for (now, late, amount) in arrivals {
            let second = now - late;
            let sums = Sums {
                events: 1, requests: amount, errors: amount / 2, request_bytes: 3, response_bytes: 5, latency_max_us: amount,
            };
            let mut sketch = Sketch::new();
            sketch.add(amount);
            // The caller leaves out what is older than the window.
            if is_in_window(second, now) {
                prop_assert!(cells.add(second, &sums, Some(&sketch)));
                list.push((second, sums, amount));
            }
            let (mut expected, mut latencies) = (Sums::default(), Sketch::new());
            for (_, sums, amount) in list.iter().filter(|(second, ..)| *second > now - WINDOW_SECONDS && *second <= now) {
                expected.add(sums);
                latencies.add(*amount);
            }
            let mut found = Sketch::new();
            cells.latencies(now, &mut found);
            prop_assert_eq!(cells.sums(now), expected);
            prop_assert_eq!(found, latencies);
        }
    }
}

#[test]
fn a_second_that_was_overwritten_is_refused() {
    let mut cells = Cells::new(8);
    let one = Sums { events: 1, ..Sums::default() };
    assert!(cells.add(100, &one, None));
    assert!(!cells.add(40, &one, None));
    assert_eq!(cells.sums(100).events, 1);
}
