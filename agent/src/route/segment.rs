//! Which segments of a path are identifiers by their looks: numbers, UUIDs, ULIDs, hashes and tokens, dates.
//!
//! A word that is taken for an identifier merges two routes for ever; an identifier that is taken for a word is found by
//! the tree a little later. So when in doubt it is a word.

/// No word is longer.
const WORD_BYTES_MAX: usize = 64;
/// The shortest hexadecimal taken for a hash when it holds [`HEX_DIGITS_MIN`] digits, and when it holds one.
const HEX_MIN: usize = 8;
const HEX_DIGITS_MIN: usize = 3;
const HASH_MIN: usize = 16;
const UUID: usize = 36;
const ULID: usize = 26;
/// Tokens of mixed case with digits, such as `cus_NffrFeUfNV2Hib0`.
const TOKEN_MIN: usize = 16;
const TOKEN_DIGITS_MIN: usize = 2;

/// What a segment consists of.
#[derive(Default)]
struct Letters {
    digits: usize,
    hexadecimal: usize,
    lower: usize,
    upper: usize,
    dashes: usize,
    underscores: usize,
    /// Colons, dots, plus: with digits, parts of a time.
    points: usize,
    others: usize,
}

pub(super) fn is_identifier(segment: &str) -> bool {
    let length = segment.len();
    // Most segments are words without a digit.
    if length > WORD_BYTES_MAX {
        return true;
    }
    if !segment.bytes().any(|byte| byte.is_ascii_digit()) {
        return false;
    }
    let letters = Letters::of(segment);
    let hexadecimal = letters.digits + letters.hexadecimal;
    let alphanumeric = letters.digits + letters.lower + letters.upper;
    let is_hash =
        hexadecimal == length && (length >= HASH_MIN || (length >= HEX_MIN && letters.digits >= HEX_DIGITS_MIN));
    let is_uuid = length == UUID && hexadecimal + letters.dashes == length && letters.dashes == 4;
    let is_token = length >= TOKEN_MIN
        && alphanumeric + letters.dashes + letters.underscores == length
        && letters.digits >= TOKEN_DIGITS_MIN
        && letters.upper > 0
        && letters.lower > 0;
    letters.digits == length
        || is_hash
        || is_uuid
        || is_token
        || is_ulid(segment, alphanumeric)
        || is_date(segment, &letters)
}

impl Letters {
    fn of(segment: &str) -> Self {
        let mut letters = Self::default();
        for byte in segment.bytes() {
            match byte {
                b'0'..=b'9' => letters.digits += 1,
                b'a'..=b'z' => letters.lower += 1,
                b'A'..=b'Z' => letters.upper += 1,
                b'-' => letters.dashes += 1,
                b'_' => letters.underscores += 1,
                b':' | b'.' | b'+' => letters.points += 1,
                _ => letters.others += 1,
            }
            letters.hexadecimal += usize::from(matches!(byte, b'a'..=b'f' | b'A'..=b'F'));
        }
        letters
    }
}

/// 26 letters of Crockford's base 32, of which the first is at most 7.
fn is_ulid(segment: &str, alphanumeric: usize) -> bool {
    let excluded = |byte: u8| matches!(byte.to_ascii_uppercase(), b'I' | b'L' | b'O' | b'U');
    segment.len() == ULID
        && alphanumeric == ULID
        && matches!(segment.as_bytes()[0], b'0'..=b'7')
        && !segment.bytes().any(excluded)
}

/// `2026-11-20`, `2026-11`, and either with a time behind it.
fn is_date(segment: &str, letters: &Letters) -> bool {
    let digit = |at: usize| segment.as_bytes().get(at).is_some_and(u8::is_ascii_digit);
    let dash = |at: usize| segment.as_bytes().get(at) == Some(&b'-');
    let month = (0..4).all(digit) && dash(4) && digit(5) && digit(6);
    let day = dash(7) && digit(8) && digit(9);
    let timelike = letters.lower + letters.upper <= 2 && letters.underscores + letters.others == 0;
    month && (segment.len() == 7 || (day && timelike))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_told_from_words() {
        for identifier in [
            "7",
            "8231",
            "0190c0de-0000-7000-8000-000000000001",
            "01ARZ3NDEKTSV4RRFFQ69G5FAV",
            "01arz3ndektsv4rrffq69g5fav",
            "d41d8cd98f00b204e9800998ecf8427e",
            "a1b2c3d4",
            "507f1f77bcf86cd799439011",
            "cus_NffrFeUfNV2Hib0",
            "V1StGXR8_Z5jdHi6B-myT",
            "2026-11-20",
            "2026-11",
            "2026-11-20T08:15:30Z",
            &"word".repeat(17),
        ] {
            assert!(is_identifier(identifier), "{identifier}");
        }
        for word in [
            "",
            "users",
            "v1",
            "deadbeef",
            "face2face",
            "cafe",
            "oauth2",
            "my-first-post",
            "10-things-you-should-know",
            "d41d8cd98f00b204e9800998ecf8427e.bin",
            "app.3f2a.js",
            "AccountSettingsPage2",
            "{email}",
            "2026-goals",
        ] {
            assert!(!is_identifier(word), "{word}");
        }
    }
}
