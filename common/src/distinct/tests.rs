use std::collections::HashSet;

use proptest::prelude::*;

use super::*;

fn of(values: impl Iterator<Item = u64>) -> Distinct {
    let mut sketch = Distinct::default();
    values.for_each(|value| sketch.add(format!("user-{value}").as_bytes()));
    sketch
}

fn encoded(sketch: &Distinct) -> Vec<u8> {
    let mut bytes = Vec::new();
    sketch.encode_into(&mut bytes);
    bytes
}

#[test]
fn few_are_counted_exactly_and_repeats_not_at_all() {
    for count in [0, 1, 2, 100, 1_000, FEW_MAX as u64 - 10] {
        let sketch = of((0..count).chain(0..count));
        assert_eq!((sketch.count(), sketch.is_exact()), (count, true));
    }
}

/// Over forty sketches of each size no one is off by more than the bound.
#[test]
fn many_are_within_the_bound() {
    for count in [5_000u64, 20_000, 50_000, 200_000, 1_000_000] {
        for seed in 0..if count > 100_000 { 5 } else { 40 } {
            let sketch = of((0..count).map(|value| value + seed * 10_000_000));
            let off = (sketch.count() as f64 - count as f64).abs() / count as f64;
            assert!(off <= ERROR, "{count} from {seed}: {} is off by {off}", sketch.count());
        }
    }
}

/// Registers that are all but full: what a hundred million values would leave.
#[test]
fn the_end_of_the_range_is_finite() {
    let registers = vec![RANK_MAX; REGISTERS].into_boxed_slice();
    let count = Distinct::Many(registers).count();
    assert!(count > 1_000_000_000, "{count}");
}

#[test]
fn what_is_stored_never_changes() {
    let mut sketch = Distinct::default();
    for value in ["", "a", "user-1", "Zürich", "0190c0de-0000-7000-8000-000000000007"] {
        sketch.add(value.as_bytes());
    }
    let hex: String = encoded(&sketch).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = "010005a89a81a802c0f5dcc207b4e2cffb01fa90ea0190f8849001";

#[test]
fn what_is_no_sketch_is_refused() {
    let damaged: [&[u8]; 7] = [
        b"",
        b"\x01",
        b"\x01\x02\x00",
        b"\x01\x00\x02\x05",
        b"\x01\x00\x02\x05\x00",
        b"\x01\x00\x01\xff\xff\xff\xff\x1f",
        b"\x01\x01\x00\x00",
    ];
    for bytes in damaged {
        assert_eq!(Distinct::decode_from(&mut &*bytes), Err(DistinctError::Damaged), "{bytes:?}");
    }
    assert_eq!(Distinct::decode_from(&mut &b"\x02\x00\x00"[..]), Err(DistinctError::Version(2)));
    let mut high = vec![0; REGISTERS + 2];
    (high[0], high[1], high[9]) = (1, 1, RANK_MAX + 1);
    assert_eq!(Distinct::decode_from(&mut &*high), Err(DistinctError::Damaged));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Merging parts in any order is as adding everything to one, and so is storing in between.
    #[test]
    fn parts_make_the_whole(parts in proptest::collection::vec(proptest::collection::vec(0u64..20_000, 0..4_000), 1..6)) {
        let whole = of(parts.iter().flatten().copied());
        let mut merged = Distinct::default();
        for part in parts.iter().rev() {
            let bytes = encoded(&of(part.iter().copied()));
            let mut rest = &*bytes;
            merged.merge(&Distinct::decode_from(&mut rest).expect("our own"));
            prop_assert!(rest.is_empty());
        }
        prop_assert_eq!(&merged, &whole);
        let exact = parts.iter().flatten().collect::<HashSet<_>>().len() as f64;
        prop_assert!((whole.count() as f64 - exact).abs() <= exact * ERROR);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = Distinct::decode_from(&mut &*bytes);
    }
}
