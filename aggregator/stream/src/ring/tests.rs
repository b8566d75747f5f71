use bytes::Bytes;
use proptest::prelude::*;
use ridealong_wal::{LogId, Position};

use super::*;
use crate::mark::EventMark;

fn mark(at: u64) -> Mark {
    Mark { position: Position(at / 3 + 1), row: (at % 3) as u32 }
}

fn event(at: u64, bytes: usize) -> Arc<ShownEvent> {
    let id = EventMark::new(LogId::from_bytes([1; 16]), mark(at));
    Arc::new(ShownEvent { mark: mark(at), id, json: Bytes::from(vec![b'x'; bytes]) })
}

const BEFORE_ALL: Mark = Mark { position: Position(0), row: 0 };

#[derive(Clone, Debug)]
enum Step {
    Push { count: u64, bytes: usize },
    Take { viewer: usize, count: usize },
    Join,
    Resume { viewer: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1u64..12, 1usize..40).prop_map(|(count, bytes)| Step::Push { count, bytes }),
        (0usize..8, 1usize..9).prop_map(|(viewer, count)| Step::Take { viewer, count }),
        Just(Step::Join),
        (0usize..8).prop_map(|viewer| Step::Resume { viewer }),
    ];
    proptest::collection::vec(step, 1..120)
}

/// A viewer and what it must have been told: the number of the next event.
struct Viewer {
    cursor: Cursor,
    next: u64,
}

proptest! {
    /// Every viewer sees each event once and in order, or is told exactly how many it missed.
    #[test]
    fn nothing_is_shown_twice_and_nothing_lost_in_silence(steps in steps()) {
        let mut ring = Ring::new(10, BEFORE_ALL);
        let mut viewers: Vec<Viewer> = Vec::new();
        let mut pushed = 0;
        for step in steps {
            match step {
                Step::Push { count, bytes } => {
                    ring.push((pushed..pushed + count).map(|at| event(at, bytes)), 200);
                    pushed += count;
                    prop_assert!(ring.events.len() <= 10);
                    prop_assert!(ring.bytes <= 200);
                }
                Step::Join => viewers.push(Viewer { cursor: ring.end(), next: pushed }),
                Step::Take { viewer, count } => {
                    let Some(viewer) = viewers.get_mut(viewer) else { continue };
                    let taken = ring.take(&mut viewer.cursor, count, usize::MAX);
                    viewer.next += taken.missed;
                    for event in &taken.events {
                        prop_assert_eq!(event.mark, mark(viewer.next));
                        viewer.next += 1;
                    }
                    prop_assert!(taken.events.len() <= count);
                    prop_assert!(taken.events.len() == count || viewer.next == pushed, "fewer, though there were more");
                }
                Step::Resume { viewer } => {
                    let Some(viewer) = viewers.get_mut(viewer) else { continue };
                    let Some(last) = viewer.next.checked_sub(1) else { continue };
                    match ring.after(mark(last)) {
                        Some(cursor) => viewer.cursor = cursor,
                        None => prop_assert!(viewer.next < ring.first, "nothing that follows is gone"),
                    }
                }
            }
        }
        for mut viewer in viewers {
            let taken = ring.take(&mut viewer.cursor, usize::MAX, usize::MAX);
            prop_assert_eq!(viewer.next + taken.missed + taken.events.len() as u64, pushed);
        }
    }
}

#[test]
fn an_event_larger_than_the_ring_is_shown_all_the_same() {
    let mut ring = Ring::new(10, BEFORE_ALL);
    let mut cursor = ring.end();
    ring.push([event(0, 5), event(1, 1_000)].into_iter(), 100);
    let taken = ring.take(&mut cursor, 10, usize::MAX);
    assert_eq!((taken.missed, taken.events.len()), (1, 1));
}

#[test]
fn what_was_there_before_is_not_taken_again() {
    let mut ring = Ring::new(10, mark(4));
    ring.push((0..8).map(|at| event(at, 1)), 100);
    ring.push((6..9).map(|at| event(at, 1)), 100);
    let marks: Vec<Mark> = ring.events.iter().map(|event| event.mark).collect();
    assert_eq!(marks, [5, 6, 7, 8].map(mark));
    assert_eq!(ring.after(mark(3)), None);
    assert!(ring.after(mark(4)).is_some());
}

#[test]
fn a_gap_in_the_log_is_told_once() {
    let mut ring = Ring::new(10, BEFORE_ALL);
    let mut cursor = ring.end();
    ring.lose(mark(5));
    ring.push([event(7, 1)].into_iter(), 100);
    let taken = ring.take(&mut cursor, 10, usize::MAX);
    assert!(taken.missed_unknown && taken.events.len() == 1);
    assert!(!ring.take(&mut cursor, 10, usize::MAX).missed_unknown);
    let mut later = ring.end();
    assert!(!ring.take(&mut later, 10, usize::MAX).missed_unknown);
}

#[test]
fn what_is_taken_at_once_is_bounded_by_bytes_too_but_never_nothing() {
    let mut ring = Ring::new(10, BEFORE_ALL);
    let mut cursor = ring.end();
    ring.push((0..4).map(|at| event(at, 40)), 1_000);
    let counts = [100, 1, 1].map(|bytes| ring.take(&mut cursor, 10, bytes).events.len());
    assert_eq!(counts, [3, 1, 0]);
}
