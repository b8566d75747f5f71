//! A frame from anywhere: the decoder, then every chunk, block and cell in it.
//!
//! An input that begins as a frame is one, with its checksum mended. Any other input is a frame's body: it is compressed
//! and framed, once as it is and once with the checksums of its chunks mended.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ridealong_fuzz::{memory, mend, read, seeds};

/// The body that a frame may announce, and what decoding such a body may take; both whatever the frame's own size.
const EXPANDED_MAX: usize = 33 << 20;

fuzz_target!(init: seeds::write_if_asked(seeds::frames), |data: &[u8]| {
    if data.starts_with(b"RLFR") {
        take(data.to_vec());
        return;
    }
    take(mend::framed(data));
    if let Some(mended) = mend::body(data) {
        take(mend::framed(&mended));
    }
});

fn take(bytes: Vec<u8>) {
    // What a frame expands to is not known before; what the inputs here reach is small.
    let bytes_max = EXPANDED_MAX + memory::columns_max(bytes.len());
    let decoded = memory::bounded(bytes_max, || mend::frame(bytes));
    if let Ok(frame) = decoded {
        read::frame(&frame);
    }
}
