//! What concerns one connection only, what the proxy itself says of a request, and requests that name another host.

use crate::case::{Case, Check, Outcome, case, get, post, seen};

pub fn cases() -> Vec<Case> {
    let mut all = connection();
    all.extend(routing());
    all.extend(before_a_switch());
    all
}

/// `Connection` takes out what it names, but neither what frames a message nor what the proxy adds.
fn connection() -> Vec<Case> {
    let served = |id, lines: &str, checks: &[Check]| get(id, lines).served([seen("GET", "")]).checks(checks.to_vec());
    vec![
        served("PROXY-CONNECTION-NAMES-HOST", "Connection: host\r\n", &[Check::Has("host", "shop.test")]),
        served(
            "PROXY-CONNECTION-NAMES-FORWARDED-FOR",
            "Connection: x-forwarded-for\r\nX-Forwarded-For: 6.6.6.6\r\n",
            &[Check::Has("x-forwarded-for", "127.0.0.1")],
        ),
        served(
            "PROXY-CONNECTION-NAMES-REQUEST-ID",
            "Connection: x-request-id\r\nX-Request-ID: mine\r\n",
            &[Check::Present("x-request-id")],
        ),
        served(
            "PROXY-TWO-CONNECTION-LINES",
            "Connection: x-one\r\nConnection: x-two\r\nX-One: 1\r\nX-Two: 2\r\nX-Three: 3\r\n",
            &[Check::Lacks("x-one"), Check::Lacks("x-two"), Check::Has("x-three", "3")],
        ),
        served(
            "PROXY-HOP-BY-HOP-ALWAYS",
            "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: deflate\r\n",
            &[Check::Lacks("keep-alive"), Check::Lacks("proxy-connection"), Check::Lacks("te")],
        ),
        served(
            "PROXY-FORWARDED-FOR-APPENDED",
            "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\n",
            &[Check::Has("x-forwarded-for", "10.0.0.1, 10.0.0.2, 127.0.0.1")],
        ),
        post(
            "PROXY-CONNECTION-NAMES-CODING",
            "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
            "5\r\nhello\r\n0\r\n\r\n",
        )
        .either(&[400], [seen("POST", "hello")]),
    ]
}

fn routing() -> Vec<Case> {
    vec![
        case("SMUG-ABSOLUTE-URI-HOST-MISMATCH", "GET http://other.example.com/~ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .either(&[400], [seen("GET", "")])
            .checks([Check::Has("host", "other.example.com")]),
        case("SMUG-MULTIPLE-HOST-COMMA", "GET /~ HTTP/1.1\r\nHost: shop.test, other.example.com\r\n\r\n")
            .error("bad_host"),
        case("PROXY-ABSOLUTE-FORM-WITHOUT-HOST", "GET http://shop.test/~ HTTP/1.1\r\n\r\n").error("bad_host"),
        case("PROXY-ABSOLUTE-FORM-BAD-HOST", "GET http://shop.test/~ HTTP/1.1\r\nHost: a b\r\n\r\n").error("bad_host"),
        case("PROXY-ABSOLUTE-FORM-USERINFO", "GET http://me:secret@shop.test/~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("PROXY-ABSOLUTE-FORM-OTHER-SCHEME", "GET file:///~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("PROXY-AUTHORITY-FORM-WITH-GET", "GET shop.test:80 HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("PROXY-ASTERISK-WITH-MORE", "OPTIONS *? HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
    ]
}

/// The service does not switch, so what follows the head is HTTP, and is read as that or not at all.
fn before_a_switch() -> Vec<Case> {
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let next = || seen("GET", "").at("/~/next");
    vec![
        get(
            "RUSTSEC-2026-0033-REQUEST-AFTER-UPGRADE",
            &format!("{upgrade}\r\nGET /~/next HTTP/1.1\r\nHost: shop.test\r\n"),
        )
        .outcome(Outcome::Anything)
        .sees([seen("GET", ""), next()]),
        get("RUSTSEC-2026-0033-BYTES-AFTER-UPGRADE", &format!("{upgrade}\r\n\x01\x02 no HTTP"))
            .outcome(Outcome::Anything)
            .sees([seen("GET", "")]),
        get("PROXY-UPGRADE-THEN-NEXT", upgrade)
            .then("GET /~/next HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .served([seen("GET", ""), next()]),
    ]
}
