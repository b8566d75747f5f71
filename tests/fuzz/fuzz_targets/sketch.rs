//! A latency sketch: decoded, asked for percentiles, merged, encoded again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ridealong_fuzz::{read, seeds};

fuzz_target!(init: seeds::write_if_asked(seeds::sketches), |data: &[u8]| read::sketch(data));
