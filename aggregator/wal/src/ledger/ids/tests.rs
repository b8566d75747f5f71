#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::VecDeque as Queue;

use proptest::prelude::*;

use super::*;

const DAY_US: i64 = 24 * 3600 * 1_000_000;

#[test]
fn forgets_by_age_and_not_before() {
    let mut ids = Ids::new(1_000, Duration::from_secs(7 * 24 * 3600));
    ids.insert(1, 0);
    ids.insert(2, 3 * DAY_US);
    ids.expire(7 * DAY_US);
    assert!(ids.contains(1) && ids.contains(2));
    ids.expire(7 * DAY_US + 1);
    assert!(!ids.contains(1) && ids.contains(2));
    let books = ids.books();
    assert_eq!((books.count, books.oldest_at_us, books.forgotten_early), (1, Some(3 * DAY_US), 0));
    ids.expire(100 * DAY_US);
    let books = ids.books();
    assert_eq!((books.count, books.oldest_at_us, books.forgotten_early), (0, None, 0));
}

#[test]
fn forgets_the_oldest_when_there_are_too_many() {
    let mut ids = Ids::new(3, Duration::from_secs(60));
    (0..5).for_each(|id| ids.insert(id, 0));
    assert_eq!((0..5).filter(|id| ids.contains(*id)).collect::<Vec<_>>(), [2, 3, 4]);
    assert_eq!(ids.books().forgotten_early, 2);
}

proptest! {
    #[test]
    fn agrees_with_a_plain_queue(operations in prop::collection::vec((0_u128..400, 0_i64..3), 0..3_000), ids_max in 1_usize..300) {
        const WINDOW_US: i64 = 1_024;
        let mut ids = Ids::new(ids_max, Duration::from_micros(WINDOW_US as u64));
        let mut model: Queue<(u128, i64)> = Queue::new();
        let mut now = 0;
        for (id, step) in operations {
            now += step;
            if !model.iter().any(|(known, _)| *known == id) {
                if model.len() == ids_max {
                    model.pop_front();
                }
                model.push_back((id, now));
            }
            ids.insert(id, now);
            ids.expire(now);
            // Ids of one slice, here two microseconds wide, go together.
            while model.front().is_some_and(|(_, at)| now - at > WINDOW_US) && !ids.contains(model[0].0) {
                model.pop_front();
            }
            prop_assert!(model.front().is_none_or(|(_, at)| now - at <= WINDOW_US + 1));
        }
        prop_assert_eq!(ids.len(), model.len());
        prop_assert!(model.iter().all(|(id, _)| ids.contains(*id)));
        prop_assert_eq!(ids.numbers().map(|number| ids.get(number)).collect::<Vec<_>>(), model.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    }
}
