//! `Content-Length`: digits, one value, and nothing beside it.

use crate::case::{Case, Check, case, post, seen};

pub fn cases() -> Vec<Case> {
    let mut all = malformed();
    all.extend(sound());
    all
}

fn malformed() -> Vec<Case> {
    vec![
        post("RFC9112-6.1-CL-NON-NUMERIC", "Content-Length: abc\r\n", ""),
        post("RFC9112-6.1-CL-PLUS-SIGN", "Content-Length: +5\r\n", "hello"),
        post("MAL-CL-EMPTY", "Content-Length: \r\n", ""),
        post("MAL-CL-OVERFLOW", "Content-Length: 99999999999999999999\r\n", ""),
        post("SMUG-CL-COMMA-DIFFERENT", "Content-Length: 5, 10\r\n", "hello"),
        post("SMUG-CL-COMMA-SAME", "Content-Length: 5, 5\r\n", "hello"),
        post("SMUG-CL-COMMA-TRIPLE", "Content-Length: 5, 5, 5\r\n", "hello"),
        post("SMUG-CL-HEX-PREFIX", "Content-Length: 0x5\r\n", "hello"),
        post("SMUG-CL-INTERNAL-SPACE", "Content-Length: 1 0\r\n", "hello12345"),
        post("SMUG-CL-NEGATIVE", "Content-Length: -1\r\n", ""),
        post("SMUG-CL-NEGATIVE-ZERO", "Content-Length: -0\r\n", ""),
        post("SMUG-CL-OCTAL", "Content-Length: 0o5\r\n", "hello"),
        post("SMUG-CL-UNDERSCORE", "Content-Length: 1_0\r\n", "helloworld"),
        post("SMUG-DUPLICATE-CL", "Content-Length: 5\r\nContent-Length: 10\r\n", "helloworld"),
        post("PROXY-CL-REPEATED-SAME", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        post("PROXY-CL-REPEATED-EMPTY", "Content-Length: 5\r\nContent-Length:\r\n", "hello"),
        post("PROXY-CL-LEADING-COMMA", "Content-Length: , 5\r\n", "hello"),
        post("PROXY-CL-DECIMAL-POINT", "Content-Length: 5.0\r\n", "hello"),
        post("PROXY-CL-EXPONENT", "Content-Length: 1e1\r\n", "helloworld"),
        post("PROXY-CL-OTHER-DIGITS", "Content-Length: \u{ff15}\r\n", "hello"),
        post("PROXY-CL-64-BITS-AND-ONE", "Content-Length: 18446744073709551617\r\n", "h"),
    ]
}

/// Whatever a service would make of zeros before a number: it gets the number, or nothing.
fn sound() -> Vec<Case> {
    let long = "A".repeat(200);
    vec![
        post("COMP-POST-CL-BODY", "Content-Length: 5\r\n", "hello").served([seen("POST", "hello")]),
        post("COMP-POST-CL-ZERO", "Content-Length: 0\r\n", "").served([seen("POST", "")]),
        post("COMP-POST-NO-CL-NO-TE", "", "").served([seen("POST", "")]),
        post("MAL-CL-TAB-BEFORE-VALUE", "Content-Length:\t5\r\n", "hello").either(&[400], [seen("POST", "hello")]),
        post("SMUG-CL-EXTRA-LEADING-SP", "Content-Length:  5\r\n", "hello").either(&[400], [seen("POST", "hello")]),
        post("SMUG-CL-TRAILING-SPACE", "Content-Length: 5 \r\n", "hello").either(&[400], [seen("POST", "hello")]),
        post("SMUG-CL-LEADING-ZEROS", "Content-Length: 005\r\n", "hello").either(&[400], [seen("POST", "hello")]),
        post("SMUG-CL-DOUBLE-ZERO", "Content-Length: 00\r\n", "").either(&[400], [seen("POST", "")]),
        post("SMUG-CL-LEADING-ZEROS-OCTAL", "Content-Length: 0200\r\n", &long).either(&[400], [seen("POST", &long)]),
        case("COMP-GET-WITH-CL-BODY", "GET /~ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
            .served([seen("GET", "hello")]),
        case("SMUG-HEAD-CL-BODY", "HEAD /~ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
            .served([seen("HEAD", "hello")]),
        case("SMUG-OPTIONS-CL-BODY", "OPTIONS /~ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
            .served([seen("OPTIONS", "hello")]),
        post("SMUG-EXPECT-100-CL", "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello")
            .served([seen("POST", "hello")]),
        post("PROXY-CL-NAMED-BY-CONNECTION", "Connection: content-length\r\nContent-Length: 5\r\n", "hello")
            .either(&[400], [seen("POST", "hello")])
            .checks([Check::Has("content-length", "5")]),
    ]
}
