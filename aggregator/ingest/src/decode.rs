//! First stage: bytes become a frame whose checksums hold. What its blocks hold is not known yet.

use bytes::Bytes;
use ridealong_common::frame::Frame;

use crate::refusal::Refusal;

/// A frame as its sender made it.
pub(crate) struct Decoded(pub Frame);

pub(crate) fn decode(bytes: &Bytes) -> Result<Decoded, Refusal> {
    Ok(Decoded(Frame::decode(bytes)?))
}
