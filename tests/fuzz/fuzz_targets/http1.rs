//! Bytes from anyone on the network: a request's head, a response's head, a chunked body, each whole and in two pieces that
//! must come to the same. The first byte says where they are cut.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ridealong_fuzz::seeds;
use ridealong_http1::{Body, Malformed, Piece, RequestParser, ResponseLimits};

const PARSER: RequestParser = RequestParser { head_bytes_max: 8192, headers_max: 64, target_bytes_max: 4096 };

fuzz_target!(init: seeds::write_if_asked(seeds::messages), |data: &[u8]| {
    let Some((cut, bytes)) = data.split_first() else { return };
    let cut = usize::from(*cut).min(bytes.len());
    request(bytes, cut);
    let limits = ResponseLimits { head_bytes_max: 8192 };
    if let Ok(Some(head)) = limits.parse(bytes) {
        assert!(head.length <= bytes.len());
    }
    let whole = chunked(bytes, 0);
    assert_eq!(whole, chunked(bytes, cut), "the cut at {cut} changes the body");
    if let Ok((data, passed, _)) = &whole {
        let again = chunked(passed, 0).expect("what is passed on is a chunked body");
        assert_eq!((&again.0, &again.1), (data, passed), "what is passed on means something else");
    }
});

/// A head that came in two pieces is the head that came whole.
fn request(bytes: &[u8], cut: usize) {
    let whole = PARSER.parse(bytes, 0);
    let Ok(Some(head)) = &whole else { return };
    assert!(head.length <= bytes.len());
    assert!(bytes[..head.length].ends_with(b"\r\n\r\n"));
    if let Ok(None) = PARSER.parse(&bytes[..cut], 0) {
        let later = PARSER.parse(bytes, cut).expect("it parsed whole").expect("all of it is there");
        assert_eq!((later.length, later.target), (head.length, head.target));
    }
}

/// Data, what is passed on, and the bytes used.
type Followed = (Vec<u8>, Vec<u8>, usize);

fn chunked(bytes: &[u8], cut: usize) -> Result<Followed, Malformed> {
    let (mut body, mut data, mut passed, mut at) = (Body::chunked(), Vec::new(), Vec::new(), 0);
    for end in [cut, bytes.len()] {
        while at < end && !body.is_done() {
            let piece = body.next(&bytes[at..end])?;
            let (Piece::Data(length) | Piece::Framing(length)) = piece;
            assert!(length > 0 && at + length <= end);
            if let Piece::Data(_) = piece {
                data.extend_from_slice(&bytes[at..at + length]);
                passed.extend_from_slice(&bytes[at..at + length]);
            }
            body.put_framing(&mut passed);
            at += length;
        }
    }
    if body.is_done() { Ok((data, passed, at)) } else { Err(Malformed) }
}
