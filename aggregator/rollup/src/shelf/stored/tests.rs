use ridealong_common::table::Table;
use ridealong_lake::ColdFile;
use ridealong_wal::disk::memory::MemoryDisk;

use super::*;
use crate::cells::dictionary::{Codes, Value};
use crate::cells::grid::{Buckets, Grid};
use crate::cells::states::States;

fn file(name: &str) -> Rolled {
    let file = ColdFile {
        store: "file:///".into(),
        path: format!("lake/{name}"),
        name: name.to_owned(),
        archived: false,
        pending: Arc::default(),
        masked: 0,
        bytes: 1,
        rows: 2,
        modified_ms: 0,
        timestamps: None,
    };
    Rolled::new("default", Table::Events, &file)
}

fn made() -> Vec<Made> {
    let (few, none) = (Family::from_number(1).expect("known"), Family::from_number(2).expect("known"));
    let mut grid = Grid::new(few.group, few.dimensions.len(), Buckets::of(Level::Hour));
    let mut codes = Codes::default();
    codes[0] = grid.tuples.dictionary(0).code_of(&Value::Text("shop".into()));
    codes[1] = grid.tuples.dictionary(1).code_of(&Value::Null);
    let tuple = grid.tuples.tuple(codes);
    let cell = grid.cell(490_000, tuple);
    if let States::Numbers(_, values) = &mut grid.states {
        values[cell] = 7.0;
    }
    let sections = Section::blocks(&grid, Level::Hour);
    vec![Made { family: few, sections }, Made { family: none, sections: Vec::new() }]
}

fn bytes(disk: &dyn Disk, name: &str) -> Vec<u8> {
    let file = disk.open(name).expect("there");
    let mut bytes = vec![0; file.length().expect("known") as usize];
    file.read_at(0, &mut bytes).expect("read");
    bytes
}

#[test]
fn what_is_written_is_read_and_of_its_file_only() {
    let disk = MemoryDisk::default();
    let (of, other) = (file("date=2026-11-20/part-1.parquet"), file("date=2026-11-21/part-1.parquet"));
    Stored::write(&disk, &of, &made()).expect("written");
    let stored = Stored::open(&disk, &of).expect("there");
    let blocks = stored.blocks();
    assert_eq!((&*blocks[&1], &*blocks[&2]), (&vec![(Level::Hour, Block(0))], &Vec::new()));
    assert!(!blocks.contains_key(&3), "a family that was not made is not known");
    let family = Family::from_number(1).expect("known");
    let section = stored.section(family, Level::Hour, Block(0)).expect("whole");
    assert_eq!(section.encode(), made()[0].sections[0].encode());
    assert!(stored.section(family, Level::Day, Block(0)).is_none());
    assert_ne!(name(&of), name(&other));
    disk.rename(&name(&of), &name(&other)).expect("renamed");
    assert!(Stored::open(&disk, &other).is_none(), "rollups of another file");
}

/// Wherever a byte is another, nothing wrong is read, and nothing panics.
#[test]
fn what_is_damaged_is_not_read() {
    let disk = MemoryDisk::default();
    let of = file("part-1.parquet");
    Stored::write(&disk, &of, &made()).expect("written");
    let whole = bytes(&disk, &name(&of));
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        replace(&disk, &name(&of), &damaged).expect("written");
        let section = Stored::open(&disk, &of)
            .and_then(|stored| stored.section(Family::from_number(1).expect("known"), Level::Hour, Block(0)));
        assert!(section.is_none(), "byte {at}");
    }
    for length in 0..whole.len() {
        replace(&disk, &name(&of), &whole[..length]).expect("written");
        assert!(Stored::open(&disk, &of).is_none(), "{length} bytes");
    }
}

/// The bytes of version 1, without the compressed part, which belongs to zstd.
#[test]
fn the_head_never_changes() {
    let disk = MemoryDisk::default();
    let of = file("date=2026-11-20/part-1.parquet");
    Stored::write(&disk, &of, &made()).expect("written");
    let bytes = bytes(&disk, &name(&of));
    assert_eq!(&bytes[..9], b"RDLGROLL\x01");
    let key = b"\x2ddefault/events/date=2026-11-20/part-1.parquet";
    let head = &bytes[PREFIX_BYTES..PREFIX_BYTES + key.len() + 6];
    assert_eq!(
        head,
        [&key[..], b"\x02\x01\x02\x01\x01\x03"].concat(),
        "key, families 1 and 2, one section: family 1, hours"
    );
    assert_eq!(name(&of), "part-1parquet-726922bf.rollup");
}
