//! A block of any table: decoded, checked, and every cell read. The first byte is the table's number.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ridealong_common::table::Table;
use ridealong_fuzz::{read, seeds};

fuzz_target!(init: seeds::write_if_asked(seeds::blocks), |data: &[u8]| {
    let Some((number, block)) = data.split_first() else { return };
    // Every number stands for a table, so that none is wasted.
    let table = Table::from_number(*number).unwrap_or(Table::ALL[usize::from(*number) % Table::ALL.len()]);
    read::block(table, block);
});
