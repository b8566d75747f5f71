use proptest::prelude::*;
use ridealong_common::sketch::{Sketch, code_of};

use super::*;

fn of(values: &[u64]) -> Bins {
    let mut bins = Bins::default();
    for value in values {
        bins.add(code_of(*value), 1);
        bins.max = bins.max.max(*value);
    }
    bins
}

proptest! {
    /// Within 1 % of the value of that rank, merged from parts or not, and never above the largest.
    #[test]
    fn quantiles_are_those_of_the_values(mut values in proptest::collection::vec(0u64..60_000_000, 1..600), cut in 0usize..600) {
        let cut = cut.min(values.len());
        let mut merged = of(&values[..cut]);
        merged.merge(&of(&values[cut..]));
        let mut sketch = Sketch::new();
        values.iter().for_each(|value| sketch.add(*value));
        values.sort_unstable();
        for q in [0.0, 0.5, 0.9, 0.95, 0.99, 1.0] {
            let exact = values[(q * (values.len() - 1) as f64).floor() as usize] as f64;
            let found = merged.quantile(q, 1).expect("there are values");
            prop_assert!((found - exact).abs() <= exact * 0.01 + 1e-9, "{} {} {}", q, found, exact);
            prop_assert!(found <= values[values.len() - 1] as f64);
            let sketched = sketch.quantile(q).expect("there are values").min(values[values.len() - 1] as f64);
            prop_assert_eq!(found, sketched);
        }
    }
}

#[test]
fn none_has_no_quantile() {
    assert_eq!(Bins::default().quantile(0.5, 1), None);
}

/// A row that stands for three counts as three.
#[test]
fn weights_are_counts() {
    let mut weighted = Bins { max: 900, ..Bins::default() };
    weighted.add(code_of(100), 3 << 16);
    weighted.add(code_of(900), 1 << 16);
    let plain = of(&[100, 100, 100, 900]);
    for q in [0.0, 0.5, 0.74, 0.99, 1.0] {
        assert_eq!(weighted.quantile(q, 1 << 16), plain.quantile(q, 1), "{q}");
    }
}
