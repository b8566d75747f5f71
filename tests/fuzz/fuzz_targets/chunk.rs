//! A spooled chunk from a damaged disk, its checksum mended, then its block and every cell.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ridealong_common::limits::BLOCK_BYTES_MAX;
use ridealong_fuzz::{memory, mend, read, seeds};

fuzz_target!(init: seeds::write_if_asked(seeds::chunks), |data: &[u8]| {
    // Twice: as it is, and mended.
    let bytes_max = 2 * BLOCK_BYTES_MAX + memory::columns_max(data.len());
    if let Ok(chunk) = memory::bounded(bytes_max, || mend::chunk(data)) {
        read::chunk(&chunk);
    }
});
