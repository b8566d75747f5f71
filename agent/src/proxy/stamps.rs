//! Numbers as header values, written where they are needed.

use ridealong_common::ids::EventId;
use uuid::Uuid;

/// Lower-case UUID text.
pub(super) fn put_event_id(out: &mut Vec<u8>, id: EventId) {
    let mut text = Uuid::encode_buffer();
    out.extend_from_slice(Uuid::from_u128(id.as_u128()).hyphenated().encode_lower(&mut text).as_bytes());
}

/// Milliseconds with exactly three decimals: `12.345`.
pub(super) fn put_milliseconds(out: &mut Vec<u8>, elapsed_us: u64) {
    put_number(out, elapsed_us / 1000);
    let fraction = elapsed_us % 1000;
    out.extend_from_slice(&[b'.', digit(fraction / 100), digit(fraction / 10), digit(fraction)]);
}

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(number);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

fn digit(value: u64) -> u8 {
    b'0' + (value % 10) as u8
}
