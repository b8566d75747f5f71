//! `Transfer-Encoding`: exactly `chunked`, once, in HTTP/1.1, without a length beside it.

use crate::case::{Case, case, chunked, post, seen};

const HELLO: &str = "5\r\nhello\r\n0\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let mut all = beside_a_length();
    all.extend(alone());
    all
}

/// Whatever the coding says: it is not the only thing that says where the body ends.
fn beside_a_length() -> Vec<Case> {
    let lines: [(&'static str, &[u8]); 17] = [
        ("SMUG-TE-XCHUNKED", b"Transfer-Encoding: xchunked"),
        ("SMUG-TE-TRAILING-SPACE", b"Transfer-Encoding: chunked "),
        ("SMUG-TE-SP-BEFORE-COLON", b"Transfer-Encoding : chunked"),
        ("SMUG-TE-DOUBLE-CHUNKED", b"Transfer-Encoding: chunked, chunked"),
        ("SMUG-TE-CASE-MISMATCH", b"Transfer-Encoding: Chunked"),
        ("SMUG-TE-EMPTY-VALUE", b"Transfer-Encoding: "),
        ("SMUG-TE-LEADING-COMMA", b"Transfer-Encoding: , chunked"),
        ("SMUG-TE-TRAILING-COMMA", b"Transfer-Encoding: chunked,"),
        ("SMUG-TE-DUPLICATE-HEADERS", b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
        ("SMUG-TE-VTAB", b"Transfer-Encoding: \x0bchunked"),
        ("SMUG-TE-FORMFEED", b"Transfer-Encoding: \x0cchunked"),
        ("SMUG-TE-NULL", b"Transfer-Encoding: chunked\0"),
        ("SMUG-TE-IDENTITY", b"Transfer-Encoding: identity"),
        ("SMUG-CHUNKED-WITH-PARAMS", b"Transfer-Encoding: chunked;ext=val"),
        ("SMUG-TE-OBS-FOLD", b"Transfer-Encoding:\r\n chunked"),
        ("SMUG-TE-TAB-BEFORE-VALUE", b"Transfer-Encoding:\tchunked"),
        ("PROXY-TE-QUOTED", b"Transfer-Encoding: \"chunked\""),
    ];
    let request = |(id, line): (&'static str, &[u8])| {
        let head = b"POST /~ HTTP/1.1\r\nHost: shop.test\r\n";
        case(id, [head, line, b"\r\nContent-Length: 5\r\n\r\nhello"].concat()).refused(&[400, 501])
    };
    let mut all: Vec<Case> = lines.into_iter().map(request).collect();
    let hello = "D\r\nhello-bananas\r\n0\r\n\r\n";
    all.extend([
        post("SMUG-CL-TE-BOTH", "Content-Length: 23\r\nTransfer-Encoding: chunked\r\n", hello),
        post("SMUG-CLTE-PIPELINE", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("SMUG-TECL-PIPELINE", "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n", "0\r\n\r\n"),
        case(
            "SMUG-TE-HTTP10",
            "POST /~ HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ]);
    all
}

fn alone() -> Vec<Case> {
    let refused = |id, lines: &str| post(id, lines, HELLO).refused(&[400, 501]);
    let served = |id, lines: &str| post(id, lines, HELLO).served([seen("POST", "hello")]);
    vec![
        post("COMP-UNKNOWN-TE-501", "Transfer-Encoding: gzip\r\n", "").refused(&[400, 501]),
        post("SMUG-TE-NOT-FINAL-CHUNKED", "Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n").refused(&[400, 501]),
        refused("PROXY-TE-GZIP-THEN-CHUNKED", "Transfer-Encoding: gzip, chunked\r\n"),
        refused("PROXY-TE-TWICE", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        refused("PROXY-TE-IDENTITY-THEN-CHUNKED", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        refused("PROXY-TE-CHUNKED-THEN-EMPTY", "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n"),
        refused("PROXY-TE-ONLY-A-COMMA", "Transfer-Encoding: ,\r\n"),
        refused("PROXY-TE-LONG-S", "Transfer-Encoding: chun\u{212a}ed\r\n"),
        served("PROXY-TE-CAPITALS", "transfer-encoding: CHUNKED\r\n"),
        served("PROXY-TE-SPACE-AROUND", "Transfer-Encoding: \t chunked \t \r\n"),
        // An HTTP/1.0 client knows no chunks: a proxy that let them end at the close would pass on what follows.
        case(
            "RUSTSEC-2026-0034-HTTP10-TWO-CODINGS",
            "POST /~ HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n\
             0\r\n\r\nGET /~/smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        ),
        case(
            "PROXY-HTTP10-CHUNKED",
            format!("POST /~ HTTP/1.0\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n{HELLO}"),
        ),
        chunked("COMP-CHUNKED-BODY", HELLO).served([seen("POST", "hello")]),
    ]
}
