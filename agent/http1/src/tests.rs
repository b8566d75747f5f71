//! Heads and bodies, byte by byte, whole and in pieces.

use proptest::prelude::*;

use super::chunked::Malformed;
use super::{Body, Framing, Piece, Refusal, RequestHead, RequestParser, RequestTarget, ResponseLimits, put_chunk_size};

const PARSER: RequestParser = RequestParser { head_bytes_max: 4096, headers_max: 20, target_bytes_max: 1024 };

fn parse(text: &str) -> Result<Option<RequestHead<'_>>, Refusal> {
    PARSER.parse(text.as_bytes(), 0)
}

fn refused(text: &str) -> Option<Refusal> {
    parse(text).err()
}

#[test]
fn what_is_a_request() {
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "M-SEARCH /x HTTP/1.1\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /%00\\|{}\"^`<> HTTP/1.1\r\nx: \t \u{e9} \r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 007\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: \t Chunked \t\r\n\r\n",
    ] {
        assert!(matches!(parse(text), Ok(Some(_))), "{text:?}: {:?}", refused(text));
    }
    for text in
        ["", "\r", "\r\n", "G", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n", "GET / HTTP/1.1\r\nHost: a\r\n\r"]
    {
        assert!(matches!(parse(text), Ok(None)), "{text:?}: {:?}", refused(text));
    }
}

#[test]
fn what_is_refused() {
    use Refusal::{Coding, Framing, HeadTooLarge, Malformed, TargetTooLong, Version};
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(1024));
    let endless = "x".repeat(1100);
    let large = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(5000));
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(21));
    for (text, refusal) in [
        ("\n\nGET / HTTP/1.1\r\n\r\n", Malformed),
        ("\r\n\r\nGET / HTTP/1.1\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", Malformed),
        ("GET / HTTP/1.1\r\nHost: a\rx: y\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nx: a\r\n b\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n x: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nx : a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\n: a\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nx\r\n\r\n", Malformed),
        ("GET / HTTP/1.1\r\nx: a\0b\r\n\r\n", Malformed),
        ("GET  / HTTP/1.1\r\n\r\n", Malformed),
        ("GET /\t HTTP/1.1\r\n\r\n", Malformed),
        ("GET /a b HTTP/1.1\r\n\r\n", Malformed),
        ("GET /#a HTTP/1.1\r\n\r\n", Malformed),
        ("GET /\u{e9} HTTP/1.1\r\n\r\n", Malformed),
        ("GET a HTTP/1.1\r\n\r\n", Malformed),
        ("GET * HTTP/1.1\r\n\r\n", Malformed),
        ("GET ftp://a/ HTTP/1.1\r\n\r\n", Malformed),
        ("GET /\r\n\r\n", Malformed),
        ("\u{16}\u{3}\u{1}", Malformed),
        ("GET / HTTP/1.2\r\n\r\n", Version),
        ("GET / HTTP/2.0\r\n\r\n", Version),
        ("GET / http/1.1\r\n\r\n", Malformed),
        (&long, TargetTooLong),
        (&endless, TargetTooLong),
        (&large, HeadTooLarge),
        (&many, HeadTooLarge),
        ("POST / HTTP/1.1\r\nContent-Length:\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: -0\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 0x1\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 1 0\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked, identity\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: \u{b}chunked\r\n\r\n", Malformed),
        ("POST / HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n", Framing),
        ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Coding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", Framing),
    ] {
        assert_eq!(refused(text), Some(refusal), "{text:?}");
    }
}

/// A head in two pieces, cut anywhere, is the head.
#[test]
fn a_head_in_pieces() {
    let text = "\r\nPOST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: x, close\r\n\r\nhello";
    for cut in 1..text.len() {
        let first = PARSER.parse(&text.as_bytes()[..cut], 0).unwrap();
        let head = match first {
            Some(head) => head,
            None => PARSER.parse(text.as_bytes(), cut).unwrap().unwrap_or_else(|| panic!("cut at {cut}")),
        };
        assert_eq!((head.length, head.target), (text.len() - 5, RequestTarget::Path("/a?b")));
        assert!(!head.keeps_alive && head.connection_names == [b"x"]);
    }
}

/// What a body's reader makes of `bytes`, given in the pieces that end at `cuts`: data, framing as passed on, bytes used.
fn read(mut body: Body, bytes: &[u8], cuts: &[usize]) -> Result<(Vec<u8>, Vec<u8>, usize), Malformed> {
    let (mut data, mut passed, mut at) = (Vec::new(), Vec::new(), 0);
    for end in cuts.iter().copied().chain([bytes.len()]) {
        while at < end && !body.is_done() {
            let piece = body.next(&bytes[at..end])?;
            let (Piece::Data(length) | Piece::Framing(length)) = piece;
            assert!(length > 0, "no progress");
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

#[test]
fn chunked_bodies() {
    for (text, data, passed) in [
        ("0\r\n\r\n", "", "0\r\n\r\n"),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", "5\r\nhello\r\n0\r\n\r\n"),
        ("00000a\r\n0123456789\r\n000\r\n\r\n", "0123456789", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("000000000000000A\r\n0123456789\r\n0\r\n\r\n", "0123456789", "a\r\n0123456789\r\n0\r\n\r\n"),
        ("1;a\r\nx\r\n0;b=\"q\\\"\";c=d\r\n\r\n", "x", "1\r\nx\r\n0\r\n\r\n"),
        ("1 ; a = b ;c\r\nx\r\n0\r\n\r\n", "x", "1\r\nx\r\n0\r\n\r\n"),
        ("0\r\nX-Sum: 7\r\n\r\n", "", "0\r\nX-Sum: 7\r\n\r\n"),
        ("0\r\nContent-Length: 7\r\nHost: x\r\nx: y\r\nAuthorization: z\r\n\r\n", "", "0\r\nx: y\r\n\r\n"),
        ("0\r\nContent_Length: 7\r\n\r\n", "", "0\r\n\r\n"),
    ] {
        for cut in 0..text.len() {
            let read = read(Body::chunked(), text.as_bytes(), &[cut]);
            let expected = Ok((data.into(), passed.into(), text.len()));
            assert_eq!(read, expected, "{text:?} cut at {cut}");
        }
    }
}

/// Some services act on the last chunk's first line.
#[test]
fn the_last_chunk_is_passed_on_whole() {
    let text = b"5;a\r\nhello\r\n0\r\nX-Sum: 7\r\n\r\n";
    for cut in text.len() - 15..text.len() {
        let (mut body, mut at, mut passed) = (Body::chunked(), 0, Vec::new());
        while at < cut {
            let (Piece::Data(length) | Piece::Framing(length)) = body.next(&text[at..cut]).unwrap();
            at += length;
            body.put_framing(&mut passed);
        }
        assert_eq!(passed, b"5\r\n\r\n", "cut at {cut}");
    }
}

#[test]
fn malformed_chunks() {
    for text in [
        "\r\n",
        "g\r\n",
        "0x1\r\nx\r\n",
        "+1\r\nx\r\n",
        "-1\r\nx\r\n",
        " 1\r\nx\r\n",
        "1 \r\nx\r\n",
        "1\nx\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nxy\r\n",
        "1_0\r\n",
        "1;\r\nx\r\n",
        "1;[\r\nx\r\n",
        "1;a\nx\r\n",
        "1;a=\r\nx\r\n",
        "1;a=\"b\r\nx\r\n",
        "1;a\rb\r\nx\r\n",
        "1;\0\r\nx\r\n",
        "1\rx\r\n",
        "10000000000000000\r\n",
        "0\r\nX-Sum: 7\n\r\n\r\n",
        "0\r\nX-Sum\r\n\r\n",
        "0\r\n: 7\r\n\r\n",
        "0\r\n x: 7\r\n\r\n",
        "0\r\n\n",
        "0\r\nX-Sum: 7\n",
        "0\r\nX-Sum: 7\rx",
        "0\r\n\rx",
    ] {
        assert_eq!(read(Body::chunked(), text.as_bytes(), &[]), Err(Malformed), "{text:?}");
    }
    let extensions = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(20_000));
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(4000));
    for text in [extensions, trailers] {
        assert_eq!(read(Body::chunked(), text.as_bytes(), &[]), Err(Malformed));
    }
}

proptest! {
    /// However it is cut, a chunked body is its data, and what is passed on is a chunked body of the same data.
    #[test]
    fn chunks_in_pieces(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
                        cuts in prop::collection::vec(0_usize..400, 0..12), behind in prop::collection::vec(any::<u8>(), 0..9)) {
        let mut bytes = Vec::new();
        for (at, chunk) in chunks.iter().enumerate() {
            let extension = ["", ";a", " ;b=c", ";d=\"\\\"\""][at % 4];
            bytes.extend(format!("{:x}{extension}\r\n", chunk.len()).into_bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\nx-sum: 1\r\n\r\n");
        let length = bytes.len();
        bytes.extend(&behind);
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
        cuts.sort_unstable();
        let data = chunks.concat();
        let (got, passed, used) = read(Body::chunked(), &bytes, &cuts).unwrap();
        prop_assert_eq!((&got, used), (&data, length));
        let (again, same, _) = read(Body::chunked(), &passed, &[]).unwrap();
        prop_assert_eq!((again, same), (data, passed));
    }

    /// Whatever comes, a parser neither panics nor reads beyond what it was given.
    #[test]
    fn anything(bytes in prop::collection::vec(any::<u8>(), 0..300), head in prop::sample::select(vec!["", "GET / HTTP/1.1\r\n", "HTTP/1.1 200 OK\r\n", "5\r\n"])) {
        let bytes = [head.as_bytes(), &bytes].concat();
        if let Ok(Some(head)) = PARSER.parse(&bytes, 0) {
            prop_assert!(head.length <= bytes.len());
        }
        if let Ok(Some(head)) = (ResponseLimits { head_bytes_max: 4096 }).parse(&bytes) {
            prop_assert!(head.length <= bytes.len());
        }
        let cuts: Vec<usize> = (1..bytes.len().min(4)).collect();
        let _ = read(Body::chunked(), &bytes, &cuts);
    }
}

#[test]
fn lengths_of_responses() {
    let limits = ResponseLimits { head_bytes_max: 4096 };
    let framing = |lines: &str| {
        let text = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
        limits.parse(text.as_bytes()).map(|head| head.map(|head| (head.framing, head.keeps_alive)))
    };
    assert_eq!(framing("Content-Length: 5\r\n"), Ok(Some((Framing::Length(5), true))));
    assert_eq!(framing("Content-Length: 5\r\nContent-Length: 5\r\n"), Ok(Some((Framing::Length(5), true))));
    assert_eq!(framing("Content-Length: 5, 5\r\nConnection: close\r\n"), Ok(Some((Framing::Length(5), false))));
    assert_eq!(framing("Content-Length: 5\r\nContent-Length: 6\r\n"), Err(Malformed));
    assert_eq!(framing("Content-Length: -5\r\n"), Err(Malformed));
    assert_eq!(framing("Transfer-Encoding: gzip, chunked\r\n"), Ok(Some((Framing::Chunked, true))));
    assert_eq!(framing("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"), Ok(Some((Framing::Chunked, false))));
    assert_eq!(framing("Transfer-Encoding: gzip\r\n"), Ok(Some((Framing::UntilClose, true))));
    assert_eq!(framing(""), Ok(Some((Framing::UntilClose, true))));
}

#[test]
fn chunk_sizes_are_hexadecimal() {
    for size in [0, 1, 9, 10, 15, 16, 255, 256, 65_535, 65_536, u64::MAX] {
        let mut line = Vec::new();
        put_chunk_size(&mut line, size);
        assert_eq!(line, format!("{size:x}\r\n").into_bytes());
    }
}
