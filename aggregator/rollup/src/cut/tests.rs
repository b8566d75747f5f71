use proptest::prelude::*;

use super::*;

fn levels() -> impl Strategy<Value = Vec<Level>> {
    proptest::sample::subsequence(Level::ALL.to_vec(), 0..=5)
}

proptest! {
    /// Every moment of the window that lies within the bounds is taken once, none outside of it is, and what is taken as
    /// cells is whole buckets.
    #[test]
    fn each_moment_is_taken_once(
        from in -200_000i64..200_000, length in 1i64..400_000,
        oldest in -200_000i64..200_000, span in 0i64..400_000,
        levels in levels(), probes in proptest::collection::vec(-400_000i64..600_000, 32),
    ) {
        let seconds = |at: i64| at * 1_000_000 + 7;
        let window = (seconds(from), seconds(from + length));
        let bounds = (seconds(oldest), seconds(oldest + span));
        let taken = cut(window, bounds, &levels);
        for (level, start, end) in &taken.cells {
            prop_assert!(start % level.micros() == 0 && end % level.micros() == 0 && start < end);
            prop_assert!(levels.contains(level));
        }
        for probe in probes.into_iter().map(seconds).chain([window.0, window.1 - 1, window.1, bounds.0, bounds.1]) {
            if probe < bounds.0 || probe > bounds.1 {
                continue;
            }
            let cells = taken.cells.iter().filter(|(_, start, end)| (*start..*end).contains(&probe)).count();
            let rows = taken.rows.iter().filter(|(start, end)| (*start..*end).contains(&probe)).count();
            let expected = usize::from((window.0..window.1).contains(&probe));
            prop_assert_eq!(cells + rows, expected, "{} {:?}", probe, taken);
        }
    }
}

#[test]
fn ends_that_cut_nothing_need_no_rows() {
    let (hour, day) = (Level::Hour.micros(), Level::Day.micros());
    let bounds = (10 * day + 5, 10 * day + 7 * hour);
    let whole = cut((0, 20 * day), bounds, &Level::ALL);
    assert_eq!(whole, Cut { cells: vec![(Level::Day, 10 * day, 11 * day)], rows: Vec::new() });
    let unknown = cut((hour, 3 * hour + 1), UNKNOWN, &[Level::Hour]);
    assert_eq!(unknown, Cut { cells: vec![(Level::Hour, hour, 3 * hour)], rows: vec![(3 * hour, 3 * hour + 1)] });
}
