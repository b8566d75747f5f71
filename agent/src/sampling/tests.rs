use super::*;

fn candidate(number: u128) -> Candidate<'static> {
    // As the proxy makes them: a time, fixed bits, a counter.
    let event_id = EventId::from_u128(0x0199_0000_0000_7abc_8123_4567_0000_0000 + number);
    Candidate { event_id, request_id: None, duration_us: 1_000, is_error: false }
}

fn at(rate: f64) -> Sampling {
    Sampling { rate, ..Sampling::default() }
}

#[test]
fn errors_and_slow_ones_are_always_kept_and_stand_for_themselves() {
    for rate in [0.0, 0.01, 1.0] {
        let error = Candidate { is_error: true, ..candidate(1) };
        let slow = Candidate { duration_us: 1_000_001, ..candidate(1) };
        assert_eq!((at(rate).weight(&error), at(rate).weight(&slow)), (Some(1.0), Some(1.0)));
    }
    assert_eq!(at(0.0).weight(&Candidate { duration_us: 1_000_000, ..candidate(1) }), None, "a second is not slow");
}

#[test]
fn ids_that_count_up_are_kept_evenly() {
    for rate in [0.5, 0.1, 0.01] {
        let sum: f64 = (0..100_000).filter_map(|number| at(rate).weight(&candidate(number))).sum();
        // Five standard deviations of a fair draw.
        let off = 5.0 * (100_000.0 * (1.0 - rate) / rate).sqrt();
        assert!((sum - 100_000.0).abs() < off, "{rate}: {sum}");
    }
}

#[test]
fn every_agent_on_the_way_decides_alike() {
    for number in 0..10_000 {
        let first = candidate(number);
        let passed_on = first.event_id.to_string();
        let second = Candidate { request_id: Some(&passed_on), ..candidate(number + 77) };
        assert_eq!(at(0.1).weight(&first), at(0.1).weight(&second));
    }
}

#[test]
fn what_a_lower_rate_keeps_a_higher_one_keeps_too() {
    for number in 0..10_000 {
        let text = format!("request-{number}");
        let named = Candidate { request_id: Some(&text), ..candidate(0) };
        let kept = [0.01, 0.1, 0.5].map(|rate| at(rate).weight(&named).is_some());
        assert!(kept.is_sorted(), "{text}: {kept:?}");
    }
}

#[test]
fn the_hash_never_changes() {
    assert_eq!(hash(b""), 0xefd0_1f60_ba99_2926);
}

#[test]
fn a_change_is_seen_by_every_copy_of_the_handle() {
    let handle = SamplingHandle::default();
    let copy = handle.clone();
    copy.set(at(0.25));
    assert_eq!(handle.get(), at(0.25));
}
