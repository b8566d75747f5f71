//! What the fuzz targets share.
//!
//! A target's input is what an enemy may choose freely; checksums, which an enemy can compute and a fuzzer cannot, are
//! mended before decoding ([`mend`]). Whatever decodes is read to its last cell ([`read`]), and decoding may take only so
//! much memory ([`memory`]). [`seeds`] writes the first inputs.

pub mod memory;
pub mod mend;
pub mod read;
pub mod seeds;
