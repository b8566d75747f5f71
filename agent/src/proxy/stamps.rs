//! The header values that are made anew for each exchange, cut from one buffer, so that none needs memory of its own.

use std::cell::RefCell;

use bytes::{BufMut, BytesMut};
use http::HeaderValue;
use ridealong_common::ids::EventId;
use uuid::Uuid;

const BUFFER_BYTES: usize = 8 * 1024;
const VALUE_BYTES_MAX: usize = 64;

/// A thread's source of header values.
pub(super) struct Stamps {
    buffer: RefCell<BytesMut>,
}

impl Stamps {
    pub(super) fn new() -> Self {
        Self { buffer: RefCell::new(BytesMut::new()) }
    }

    /// Lower-case UUID text.
    pub(super) fn event_id(&self, id: EventId) -> HeaderValue {
        let mut text = Uuid::encode_buffer();
        let text = Uuid::from_u128(id.as_u128()).hyphenated().encode_lower(&mut text);
        self.cut(|buffer| buffer.put_slice(text.as_bytes()))
    }

    /// `12.345ms`
    pub(super) fn response_time(&self, elapsed_us: u64) -> HeaderValue {
        self.cut(|buffer| {
            put_milliseconds(buffer, elapsed_us);
            buffer.put_slice(b"ms");
        })
    }

    /// `ridealong;dur=12.345`
    pub(super) fn server_timing(&self, elapsed_us: u64) -> HeaderValue {
        self.cut(|buffer| {
            buffer.put_slice(b"ridealong;dur=");
            put_milliseconds(buffer, elapsed_us);
        })
    }

    fn cut(&self, write: impl FnOnce(&mut BytesMut)) -> HeaderValue {
        let mut buffer = self.buffer.borrow_mut();
        if buffer.capacity() < VALUE_BYTES_MAX {
            buffer.reserve(BUFFER_BYTES);
        }
        write(&mut buffer);
        HeaderValue::from_maybe_shared(buffer.split().freeze())
            .expect("hex, digits and punctuation are valid in a header")
    }
}

/// Milliseconds with exactly three decimals.
fn put_milliseconds(buffer: &mut BytesMut, elapsed_us: u64) {
    let (mut whole, fraction) = (elapsed_us / 1000, elapsed_us % 1000);
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(whole % 10);
        whole /= 10;
        if whole == 0 {
            break;
        }
    }
    buffer.put_slice(&digits[start..]);
    buffer.put_slice(&[b'.', digit(fraction / 100), digit(fraction / 10 % 10), digit(fraction % 10)]);
}

fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}
