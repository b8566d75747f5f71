use proptest::prelude::*;
use ridealong_common::sketch::code_of;

use super::super::family::{FAMILIES, Group};
use super::*;

/// Cells of any family, with values of every kind.
fn section(number: u8, cells: &[(i64, u8, u64)]) -> Section {
    let family = Family::from_number(number).expect("a family");
    let level = Level::Minute;
    let mut grid = Grid::new(family.group, family.dimensions.len(), Buckets::of(level));
    for (bucket, value, weight) in cells {
        let values = [Value::Null, Value::Boolean(true), Value::Integer(-5), Value::Text("Zürich".into())];
        let mut codes = Codes::default();
        for (at, code) in codes.iter_mut().enumerate().take(family.dimensions.len()) {
            let value = match (value >> (at % 4)) % 5 {
                4 => Value::Text(format!("{value}").into()),
                known => values[usize::from(known)].clone(),
            };
            *code = grid.tuples.dictionary(at).code_of(&value);
        }
        let tuple = grid.tuples.tuple(codes);
        let cell = grid.cell(*bucket, tuple);
        match &mut grid.states {
            States::Numbers(kinds, values) => values[cell * kinds.len()..(cell + 1) * kinds.len()]
                .iter_mut()
                .for_each(|value| *value += *weight as f64),
            States::Latency(bins) => {
                bins[cell].add(code_of(*weight), 1 + weight % 7);
                bins[cell].max = bins[cell].max.max(*weight);
            }
            States::Distinct(sets) => sets[cell].add(&weight.to_le_bytes()),
            States::Settled(_) => unreachable!("a grid's cells may change"),
        }
    }
    Section::of(&grid, level, &grid.sorted())
}

fn families() -> impl Strategy<Value = u8> {
    proptest::sample::select(FAMILIES.iter().map(|family| family.number).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_encoded_is_decoded(
        number in families(),
        cells in proptest::collection::vec((-1_000i64..1_000, any::<u8>(), 0u64..10_000_000), 0..200),
    ) {
        let section = section(number, &cells);
        let family = Family::from_number(number).expect("a family");
        let bytes = section.encode();
        let read = Section::decode(family, section.level, &bytes).expect("our own");
        prop_assert_eq!(read.encode(), bytes);
        prop_assert_eq!(&read.buckets, &section.buckets);
    }

    #[test]
    fn what_is_damaged_is_read_or_refused(
        number in families(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = section(number, &[(1, 3, 7), (1, 9, 70), (5, 200, 900_000)]).encode();
        let family = Family::from_number(number).expect("a family");
        let shorter = cut.index(bytes.len());
        prop_assert!(Section::decode(family, Level::Minute, &bytes[..shorter]).is_err());
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = Section::decode(family, Level::Minute, &bytes);
    }
}

/// The bytes of version 1 are read for ever.
#[test]
fn what_is_stored_never_changes() {
    let hex = |bytes: Vec<u8>| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let cells = [(-3, 1, 5), (29_000_000, 18, 1_234), (29_000_000, 18, 99)];
    let golden = [
        (1, "02020204075ac3bc7269636802000402313802000001010205008685d41b0100000000000014400000000000d49440"),
        (4, "02020204075ac3bc7269636802000402313802000001010205008685d41b01010001bbe7fa8e05010002b6e6c48403bd90aba505"),
        (14, "02020204075ac3bc7269636802000402313802000001010205008685d41b0105015206d20902e701027e03"),
        (
            18,
            "03020204075ac3bc72696368020004023138020004023138020000000101010205008685d41b010000000000001440000000000000144000000000000014400000000000001440000000000000144000000000000014400000000000d494400000000000d494400000000000d494400000000000d494400000000000d494400000000000d49440",
        ),
    ];
    let encoded = golden.map(|(number, _)| (number, hex(section(number, &cells).encode())));
    assert_eq!(encoded, golden.map(|(number, hex)| (number, hex.to_owned())));
}

/// A number stands for one choice of dimensions for ever.
#[test]
fn numbers_of_families_are_never_used_again() {
    let mut numbers: Vec<u8> = FAMILIES.iter().map(|family| family.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), FAMILIES.len());
    for group in [Group::Events, Group::Users, Group::Sessions, Group::Traffic, Group::Latency] {
        let of_group: Vec<_> = FAMILIES.iter().filter(|family| family.group == group).collect();
        assert!(of_group.is_sorted_by_key(|family| family.dimensions.len()), "{group:?}: the narrowest first");
    }
}

/// Each cell lies in one block, and a block that overlaps nothing that is asked for has none of it.
#[test]
fn blocks_have_every_cell_once() {
    let level = Level::Minute;
    let mut grid = Grid::new(Group::Events, 0, Buckets::of(level));
    let tuple = grid.tuples.tuple(Codes::default());
    for bucket in (-3_000..3_000).step_by(7) {
        grid.cell(bucket, tuple);
    }
    let day = Level::Day.micros();
    let blocks = Section::blocks(&grid, level);
    assert_eq!(blocks.iter().map(Section::cells).sum::<usize>(), grid.len());
    for (from, to) in [(0, 60_000_000), (-day / 2, day / 3), (day / 6, day / 6 + 1), (-day, day), (5, 6)] {
        for section in &blocks {
            let first = Buckets::of(level).of_time(from);
            let has = section.buckets.iter().any(|at| (first..Buckets::of(level).of_time(to - 1) + 1).contains(at));
            assert!(!has || section.block().overlaps(level, from, to), "{from} {to} {:?}", section.block());
        }
    }
    assert!(!Block(1).overlaps(level, 0, 4 * Level::Hour.micros()));
    assert!(Block(1).overlaps(level, 0, 4 * Level::Hour.micros() + 1));
    assert!(Block(5).overlaps(level, -1, 0) && !Block(0).overlaps(level, -1, 0));
}
