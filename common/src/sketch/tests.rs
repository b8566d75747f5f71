use proptest::prelude::*;

use super::*;

fn sketch_of(values: &[u64]) -> Sketch {
    let mut sketch = Sketch::new();
    values.iter().for_each(|value| sketch.add(*value));
    sketch
}

#[test]
fn the_bytes_of_version_1_do_not_change() {
    let sketch = sketch_of(&[0, 0, 1, 7, 1_000, 1_000, 25_000, 3_600_000_000]);
    let golden = include_bytes!("golden/sketch_v1.bin");
    assert_eq!(sketch.encode(), golden);
    assert_eq!(Sketch::decode(golden), Ok(sketch));
}

#[test]
fn an_empty_sketch_has_no_quantile() {
    assert_eq!(Sketch::new().quantile(0.5), None);
    assert_eq!(Sketch::decode(&Sketch::new().encode()), Ok(Sketch::new()));
}

#[test]
fn another_version_and_damage_are_told_apart() {
    assert_eq!(Sketch::decode(&[2, 0, 0]), Err(SketchError::Version(2)));
    for damaged in [&[][..], &[1], &[1, 0], &[1, 0, 1], &[1, 0, 1, 5], &[1, 0, 1, 5, 0], &[1, 0, 0, 0]] {
        assert_eq!(Sketch::decode(damaged), Err(SketchError::Damaged), "{damaged:?}");
    }
}

#[test]
fn the_largest_values_fit() {
    let sketch = sketch_of(&[u64::MAX, 1]);
    assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch));
}

#[test]
fn more_bins_than_the_cap_merge_the_lowest() {
    let mut sketch = Sketch::new();
    (0..=INDEX_MAX).for_each(|index| sketch.merge(&Sketch { zeros: 0, bins: [(index, 1)].into() }));
    assert_eq!(sketch.bins.len(), BINS_MAX);
    assert_eq!(sketch.count(), u64::from(INDEX_MAX) + 1);
}

proptest! {
    #[test]
    fn quantiles_are_within_one_per_cent(mut values in proptest::collection::vec(0u64..5_000_000_000, 1..300), q in 0.0f64..=1.0) {
        let sketch = sketch_of(&values);
        values.sort_unstable();
        let exact = values[(q * (values.len() - 1) as f64).floor() as usize] as f64;
        let found = sketch.quantile(q).expect("not empty");
        prop_assert!((found - exact).abs() <= exact * 0.010_001, "{found} for {exact}");
    }

    #[test]
    fn merging_is_adding(left in proptest::collection::vec(0u64..1_000_000, 0..100), right in proptest::collection::vec(0u64..1_000_000, 0..100)) {
        let mut merged = sketch_of(&left);
        merged.merge(&sketch_of(&right));
        prop_assert_eq!(merged, sketch_of(&[left, right].concat()));
    }

    #[test]
    fn what_is_encoded_is_decoded(values in proptest::collection::vec(any::<u64>(), 0..200)) {
        let sketch = sketch_of(&values);
        prop_assert_eq!(Sketch::decode(&sketch.encode()), Ok(sketch));
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(sketch) = Sketch::decode(&bytes) {
            let _ = sketch.quantile(0.99);
        }
    }
}
