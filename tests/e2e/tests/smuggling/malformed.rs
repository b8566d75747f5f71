//! Bytes that are no request: too long, too many, of the wrong kind, or none at all.

use crate::case::{Case, Outcome, begun, case, get, post, seen};

pub fn cases() -> Vec<Case> {
    let mut all = oversized();
    all.extend(wrong_bytes());
    all.extend(targets());
    all.extend(unfinished());
    all
}

fn oversized() -> Vec<Case> {
    let long = |letter: &str, count| letter.repeat(count);
    let lines = |count| (0..count).map(|at| format!("X-H-{at}: value\r\n")).collect::<String>();
    let target = format!("/~/{}", long("A", 65_000));
    vec![
        case("MAL-LONG-URL", format!("GET /~/{} HTTP/1.1\r\nHost: shop.test\r\n\r\n", long("A", 100_000)))
            .refused_or_cut(&[414]),
        case("PROXY-URL-65-KB", format!("GET {target} HTTP/1.1\r\nHost: shop.test\r\n\r\n"))
            .either(&[414], [seen("GET", "").at(&target)])
            .service_may_refuse(),
        get("MAL-LONG-HEADER-VALUE", &format!("X-Big: {}\r\n", long("B", 100_000))).refused_or_cut(&[431]),
        get("MAL-LONG-HEADER-NAME", &format!("{}: value\r\n", long("A", 100_000))).refused_or_cut(&[400, 431]),
        get("MAL-MANY-HEADERS", &lines(10_000)).refused_or_cut(&[431]),
        get("PROXY-101-HEADERS", &lines(100)).either(&[431], [seen("GET", "")]).service_may_refuse(),
        case("MAL-LONG-METHOD", format!("{} /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n", long("A", 100_000)))
            .refused_or_cut(&[400, 414, 431, 501]),
        get("MAL-RANGE-OVERLAPPING", &format!("Range: bytes={}\r\n", vec!["0-"; 1_000].join(",")))
            .served([seen("GET", "")]),
    ]
}

fn wrong_bytes() -> Vec<Case> {
    let garbage: Vec<u8> = (0..256_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    vec![
        case("MAL-BINARY-GARBAGE", [&garbage[..], b"\r\n\r\n"].concat()).refused_or_cut(&[400]),
        get("MAL-CONTROL-CHARS-HEADER", "X-Test: abc\x07\x08\x0bdef\r\n"),
        get("MAL-NUL-IN-HEADER-VALUE", "X-Test: val\0ue\r\n"),
        get("PROXY-DEL-IN-HEADER-VALUE", "X-Test: val\x7fue\r\n"),
        get("MAL-NON-ASCII-HEADER-NAME", "X-T\u{eb}st: value\r\n"),
        get("PROXY-NON-ASCII-HEADER-VALUE", "X-Test: \u{eb}\r\n").either(&[400], [seen("GET", "")]),
        post("SMUG-BARE-CR-HEADER-VALUE", "Content-Length: 5\r\nX-Test: val\rue\r\n", "hello"),
        get("PROXY-CR-AFTER-VALUE", "X-Test: value\r\r\n"),
        // The beginning of HTTP/2, and then nothing of it: whatever the client is told, the service hears nothing.
        case("MAL-H2-PREFACE", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").outcome(Outcome::Anything),
        case("PROXY-H2-PREFACE-TORN", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n").outcome(Outcome::Anything),
    ]
}

fn targets() -> Vec<Case> {
    let target = |id, target: &[u8]| case(id, [b"GET /~/", target, b" HTTP/1.1\r\nHost: shop.test\r\n\r\n"].concat());
    let passed = |id, text: &str| {
        target(id, text.as_bytes()).served([seen("GET", "").at(&format!("/~/{text}"))]).service_may_refuse()
    };
    vec![
        target("MAL-NUL-IN-URL", b"\0test"),
        target("PROXY-DEL-IN-URL", b"\x7ftest"),
        target("MAL-NON-ASCII-URL", b"caf\xc3\xa9"),
        target("MAL-URL-OVERLONG-UTF8", b"\xc0\xaf"),
        target("MAL-URL-BACKSLASH", b"path\\file")
            .either(&[400], [seen("GET", "").at("/~/path\\file")])
            .service_may_refuse(),
        passed("MAL-URL-PERCENT-NULL", "path%00.html"),
        passed("MAL-URL-PERCENT-CRLF", "path%0d%0aX-Injected:%20true"),
        passed("PROXY-URL-DOTS", "a/../b/%2e%2e/c//d"),
    ]
}

fn unfinished() -> Vec<Case> {
    vec![
        case("MAL-EMPTY-REQUEST", "").unfinished([]),
        case("MAL-INCOMPLETE-REQUEST", "GET /~ HTTP/1.1\r\nHost: shop.test\r\nX-Test: value").unfinished([]),
        case("MAL-WHITESPACE-ONLY-LINE", "   \r\n\r\n").unfinished([]),
        post("MAL-POST-CL-HUGE-NO-BODY", "Content-Length: 999999999\r\n", "").unfinished([begun("POST", "")]),
    ]
}
