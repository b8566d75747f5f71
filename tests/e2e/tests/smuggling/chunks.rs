//! The chunks of a body: sizes in hex, CRLF wherever a line ends, extensions as the grammar has them and never passed on,
//! trailers only where they cannot change the meaning of the message.

use crate::case::{Case, Check, begun, chunked, seen};

pub fn cases() -> Vec<Case> {
    let mut all = malformed();
    all.extend(sound());
    all.extend(trailers());
    all.extend(unfinished());
    all
}

/// The service may see the head, and what came before the fault; never a whole request.
fn malformed() -> Vec<Case> {
    let bodies: [(&'static str, &[u8]); 31] = [
        ("MAL-CHUNK-SIZE-OVERFLOW", b"FFFFFFFFFFFFFFFF0\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-BARE-SEMICOLON", b"5;\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-EXT-INVALID-TOKEN", b"5;bad[=x\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-UNDERSCORE", b"1_0\r\nhello world!!!!!\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-HEX-PREFIX", b"0x5\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-SIZE-PLUS", b"+5\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-SIZE-TRAILING-OWS", b"5 \r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-LEADING-SP", b" 5\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-MISSING-TRAILING-CRLF", b"5\r\nhello0\r\n\r\n"),
        ("SMUG-CHUNK-EXT-LF", b"5;\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-SPILL", b"5\r\nhello!!\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-LF-TERM", b"5\r\nhello\n0\r\n\r\n"),
        ("SMUG-CHUNK-EXT-CTRL", b"5;\0ext\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-EXT-CR", b"5;a\rX\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-LF-TRAILER", b"5\r\nhello\r\n0\r\n\n"),
        ("SMUG-CHUNK-NEGATIVE", b"-1\r\nhello\r\n0\r\n\r\n"),
        ("SMUG-CHUNK-BARE-CR-TERM", b"5\rhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-SIZE-LF", b"5\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-EXT-VALUE-LF", b"5;a=b\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-EXT-TWO-LINES", b"5;a=\"b\r\nc\"\r\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-SIZE-MISSING", b"\r\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-SIZE-COMMA", b"5,5\r\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-SIZE-17-DIGITS", b"00000000000000005\r\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-EXT-EMPTY-VALUE", b"5;a=\r\nhello\r\n0\r\n\r\n"),
        ("PROXY-CHUNK-DATA-CR", b"5\r\nhello\r0\r\n\r\n"),
        ("PROXY-CHUNK-TRAILER-LF", b"5\r\nhello\r\n0\r\nX-Sum: a\n\r\n"),
        ("PROXY-CHUNK-TRAILER-CR", b"5\r\nhello\r\n0\r\nX-Sum: a\rb\r\n\r\n"),
        ("PROXY-CHUNK-TRAILER-NO-COLON", b"5\r\nhello\r\n0\r\nX-Sum\r\n\r\n"),
        ("PROXY-CHUNK-TRAILER-SP-BEFORE-COLON", b"5\r\nhello\r\n0\r\nX-Sum : a\r\n\r\n"),
        ("PROXY-CHUNK-TRAILER-FOLDED", b"5\r\nhello\r\n0\r\nX-Sum: a\r\n b\r\n\r\n"),
        ("PROXY-CHUNK-TRAILER-NUL", b"5\r\nhello\r\n0\r\nX-Sum: a\0\r\n\r\n"),
    ];
    let request = |(id, body): (&'static str, &[u8])| {
        chunked(id, body).refused_or_cut(&[400]).sees([begun("POST", "hello world!!!!!")])
    };
    let mut all: Vec<Case> = bodies.into_iter().map(request).collect();
    // What one reads of such a chunk is whatever stood in it.
    for case in &mut all {
        if case.id != "SMUG-CHUNK-UNDERSCORE" {
            case.seen = case.clone().sees([begun("POST", "hello")]).seen;
        }
    }
    all
}

fn sound() -> Vec<Case> {
    let served = |id, body: &str, read: &str| chunked(id, body).served([seen("POST", read)]);
    let long = format!("5;ext={}\r\nhello\r\n0\r\n\r\n", "a".repeat(65_536));
    vec![
        served("COMP-CHUNKED-MULTI", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
        served("COMP-CHUNKED-EMPTY", "0\r\n\r\n", ""),
        served("COMP-CHUNKED-HEX-UPPERCASE", "A\r\nhelloworld\r\n0\r\n\r\n", "helloworld"),
        served("PROXY-CHUNK-HEX-LOWERCASE", "a\r\nhelloworld\r\n0\r\n\r\n", "helloworld"),
        served("COMP-CHUNKED-EXTENSION", "5;ext=value\r\nhello\r\n0\r\n\r\n", "hello"),
        served("PROXY-CHUNK-EXT-QUOTED", "5;a=\"b;c\\\"d\"\r\nhello\r\n0;last\r\n\r\n", "hello"),
        served("PROXY-CHUNK-SIZE-16-DIGITS", "0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        served("PROXY-CHUNK-LAST-OF-MANY-ZEROS", "5\r\nhello\r\n0000\r\n\r\n", "hello"),
        served("PROXY-CHUNK-LIKE-A-REQUEST", "e\r\nGET / HTTP/1.1\r\n0\r\n\r\n", "GET / HTTP/1.1"),
        chunked("MAL-CHUNK-EXT-64K", long).either(&[400, 413, 431], [seen("POST", "hello")]),
    ]
}

fn trailers() -> Vec<Case> {
    let with =
        |id, trailers: &str| chunked(id, format!("5\r\nhello\r\n0\r\n{trailers}\r\n")).served([seen("POST", "hello")]);
    vec![
        with("COMP-CHUNKED-TRAILER-VALID", "X-Checksum: abc\r\n").checks([Check::Trailer("x-checksum", "abc")]),
        with("PROXY-TRAILERS-REPEATED", "X-Sum: one\r\nX-Sum: two\r\n")
            .checks([Check::Trailer("x-sum", "one"), Check::Trailer("x-sum", "two")]),
        with("SMUG-TRAILER-CL", "Content-Length: 50\r\n").checks([Check::NoTrailer("content-length")]),
        with("SMUG-TRAILER-TE", "Transfer-Encoding: chunked\r\n").checks([Check::NoTrailer("transfer-encoding")]),
        with("SMUG-TRAILER-HOST", "Host: evil.example.com\r\n").checks([Check::NoTrailer("host")]),
        with("SMUG-TRAILER-AUTH", "Authorization: Bearer evil\r\n").checks([Check::NoTrailer("authorization")]),
        with("SMUG-TRAILER-CONTENT-TYPE", "Content-Type: text/evil\r\n").checks([Check::NoTrailer("content-type")]),
        with("PROXY-TRAILER-CONNECTION", "Connection: close\r\nX-Sum: a\r\n")
            .checks([Check::NoTrailer("connection"), Check::Trailer("x-sum", "a")]),
        with("PROXY-TRAILER-FORWARDED", "X-Forwarded-For: 6.6.6.6\r\n").checks([Check::NoTrailer("x-forwarded-for")]),
        with("PROXY-TRAILER-ALIAS", "Content_Length: 50\r\n").checks([Check::NoTrailer("content_length")]),
    ]
}

fn unfinished() -> Vec<Case> {
    vec![
        chunked("COMP-CHUNKED-NO-FINAL", "5\r\nhello\r\n").unfinished([begun("POST", "hello")]),
        chunked("PROXY-CHUNK-HALF", "5\r\nhel").unfinished([begun("POST", "hel")]),
        chunked("PROXY-CHUNK-LAST-WITHOUT-END", "5\r\nhello\r\n0\r\n").unfinished([begun("POST", "hello")]),
        chunked("PROXY-CHUNK-TRAILER-WITHOUT-END", "5\r\nhello\r\n0\r\nX-Sum: a\r\n")
            .unfinished([begun("POST", "hello")]),
    ]
}
