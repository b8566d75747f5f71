//! What RFC 9110 and RFC 9112 say of request lines, hosts, methods and fields: what breaks a rule is refused, the rest is
//! passed on and answered by the service.

use crate::case::{Case, Check, Outcome, begun, case, get, post, seen};

const WEBSOCKET: &str = "Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

pub fn cases() -> Vec<Case> {
    let mut all = lines();
    all.extend(hosts());
    all.extend(versions());
    all.extend(methods());
    all.extend(fields());
    all.extend(upgrades());
    all
}

fn lines() -> Vec<Case> {
    let long = format!("GET /~/{} HTTP/1.1\r\nHost: shop.test\r\n\r\n", "a".repeat(7_900));
    let long_target = format!("/~/{}", "a".repeat(7_900));
    vec![
        case("RFC9112-2.2-BARE-LF-REQUEST-LINE", "GET /~ HTTP/1.1\nHost: shop.test\r\n\r\n"),
        case("RFC9112-2.2-BARE-LF-HEADER", "GET /~ HTTP/1.1\r\nHost: shop.test\nX-Test: value\r\n\r\n"),
        case("PROXY-BARE-LF-EVERYWHERE", "GET /~ HTTP/1.1\nHost: shop.test\n\n"),
        case("PROXY-BARE-LF-AT-THE-END", "GET /~ HTTP/1.1\r\nHost: shop.test\r\n\n"),
        get("RFC9112-5.1-OBS-FOLD", "X-Test: value\r\n continued\r\n"),
        get("RFC9110-5.6.2-SP-BEFORE-COLON", "X-Test : value\r\n"),
        case("RFC9112-3-MULTI-SP-REQUEST-LINE", "GET  /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("PROXY-SP-AFTER-VERSION", "GET /~ HTTP/1.1 \r\nHost: shop.test\r\n\r\n"),
        case("PROXY-SP-BEFORE-METHOD", " GET /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        get("RFC9112-5-EMPTY-HEADER-NAME", ": empty-name\r\n"),
        case("RFC9112-3-CR-ONLY-LINE-ENDING", "GET /~ HTTP/1.1\rHost: shop.test\r\n\r\n"),
        case("RFC9112-3-MISSING-TARGET", "GET HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("RFC9112-3.2-FRAGMENT-IN-TARGET", "GET /~#frag HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .either(&[400], [seen("GET", "").at("/~#frag")])
            .service_may_refuse(),
        get("RFC9112-5-INVALID-HEADER-NAME", "Bad[Name: value\r\n"),
        get("RFC9112-5-HEADER-NO-COLON", "NoColonHere\r\n"),
        case("COMP-WHITESPACE-BEFORE-HEADERS", "GET /~ HTTP/1.1\r\n \r\nHost: shop.test\r\n\r\n"),
        case("COMP-REQUEST-LINE-TAB", "GET\t/~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("COMP-SPACE-IN-TARGET", "GET /~ th HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("COMP-LEADING-CRLF", "\r\n\r\nGET /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .either(&[400], [seen("GET", "")]),
        case("PROXY-ONE-LEADING-CRLF", "\r\nGET /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n").served([seen("GET", "")]),
        case("PROXY-LEADING-LF", "\nGET /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n").either(&[400], [seen("GET", "")]),
        case("COMP-LONG-URL-OK", long).served([seen("GET", "").at(&long_target)]),
        case("COMP-ABSOLUTE-FORM", "GET http://shop.test/~ HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .served([seen("GET", "")])
            .checks([Check::Has("host", "shop.test")]),
        case("COMP-ASTERISK-WITH-GET", "GET * HTTP/1.1\r\nHost: shop.test\r\n\r\n"),
        case("COMP-OPTIONS-STAR", "OPTIONS * HTTP/1.1\r\nHost: shop.test\r\nX-Case: star\r\n\r\n")
            .served([seen("OPTIONS", "").at("*")])
            .service_may_refuse(),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |id, lines: &str| case(id, format!("GET /~ HTTP/1.1\r\n{lines}\r\n")).error("bad_host");
    vec![
        host("RFC9112-7.1-MISSING-HOST", ""),
        host("RFC9110-5.4-DUPLICATE-HOST", "Host: shop.test\r\nHost: other.example.com\r\n"),
        host("COMP-DUPLICATE-HOST-SAME", "Host: shop.test\r\nHost: shop.test\r\n"),
        host("COMP-HOST-WITH-USERINFO", "Host: user@shop.test\r\n"),
        host("COMP-HOST-WITH-PATH", "Host: shop.test/path\r\n"),
        host("COMP-HOST-EMPTY-VALUE", "Host: \r\n"),
        host("PROXY-HOST-TWO-PORTS", "Host: shop.test:80:81\r\n"),
        host("PROXY-HOST-NO-NUMBER-AS-PORT", "Host: shop.test:http\r\n"),
        case("COMP-HTTP10-NO-HOST", "GET /~ HTTP/1.0\r\n\r\n")
            .served_then_closed([seen("GET", "")])
            .checks([Check::Present("host")]),
    ]
}

fn versions() -> Vec<Case> {
    let version = |id, version: &str| {
        case(id, format!("GET /~ {version}\r\nHost: shop.test\r\n\r\n")).refused_or_cut(&[400, 505])
    };
    vec![
        version("RFC9112-2.3-INVALID-VERSION", "HTTP/9.9"),
        version("COMP-HTTP12-VERSION", "HTTP/1.2"),
        version("COMP-VERSION-MISSING-MINOR", "HTTP/1"),
        version("COMP-VERSION-LEADING-ZEROS", "HTTP/01.01"),
        version("COMP-VERSION-WHITESPACE", "HTTP/ 1.1"),
        version("COMP-VERSION-CASE", "http/1.1"),
        version("PROXY-VERSION-TWO-DIGITS", "HTTP/1.10"),
        version("PROXY-VERSION-COMMA", "HTTP/1,1"),
        version("PROXY-VERSION-2-OUTSIDE-ITS-PREFACE", "HTTP/2.0"),
        case("RFC9112-2.3-HTTP09-REQUEST", "GET /~\r\n").outcome(Outcome::Unfinished),
        case("COMP-HTTP10-DEFAULT-CLOSE", "GET /~ HTTP/1.0\r\nHost: shop.test\r\n\r\n")
            .served_then_closed([seen("GET", "")]),
        case(
            "COMP-NO-1XX-HTTP10",
            "POST /~ HTTP/1.0\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        )
        .served_then_closed([seen("POST", "hello")]),
        case("PROXY-HTTP10-KEEP-ALIVE", "GET /~ HTTP/1.0\r\nHost: shop.test\r\nConnection: keep-alive\r\n\r\n")
            .served([seen("GET", "")]),
    ]
}

fn methods() -> Vec<Case> {
    let line = |id, method: &str| case(id, format!("{method} /~ HTTP/1.1\r\nHost: shop.test\r\n\r\n"));
    let served = |id, method: &'static str| line(id, method).served([seen(method, "")]);
    vec![
        served("COMP-BASELINE", "GET"),
        served("COMP-HEAD-NO-BODY", "HEAD"),
        // What an answer must carry is the service's business: the strict reader's fields all arrive, see `trial`.
        served("COMP-405-ALLOW", "DELETE"),
        served("COMP-DATE-HEADER", "GET"),
        served("COMP-DATE-FORMAT", "GET"),
        served("COMP-CONTENT-TYPE", "GET"),
        served("COMP-OPTIONS-ALLOW", "OPTIONS"),
        // A 204 with a length: see `responses.rs`.
        served("COMP-NO-CL-IN-204", "OPTIONS"),
        served("COMP-METHOD-TRACE", "TRACE").service_may_refuse(),
        line("COMP-METHOD-CASE", "get").either(&[400, 405, 501], [seen("get", "")]).service_may_refuse(),
        line("COMP-UNKNOWN-METHOD", "FOOBAR").either(&[400, 405, 501], [seen("FOOBAR", "")]).service_may_refuse(),
        case("COMP-METHOD-CONNECT", "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
            .refused(&[501])
            .error("connect_unsupported"),
        case("COMP-TRACE-WITH-BODY", "TRACE /~ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello")
            .either(&[400, 405], [seen("TRACE", "hello")])
            .service_may_refuse(),
        case("COMP-TRACE-SENSITIVE", "TRACE /~ HTTP/1.1\r\nHost: shop.test\r\nAuthorization: Bearer secret\r\n\r\n")
            .served([seen("TRACE", "")])
            .service_may_refuse(),
    ]
}

fn fields() -> Vec<Case> {
    let served = |id, lines: &str| get(id, lines).served([seen("GET", "")]);
    let posted =
        |id, lines: &str| post(id, &format!("Content-Length: 5\r\n{lines}"), "hello").served([seen("POST", "hello")]);
    vec![
        get("COMP-CONNECTION-CLOSE", "Connection: close\r\n").served_then_closed([seen("GET", "")]),
        get("COMP-EXPECT-UNKNOWN", "Expect: 200-ok\r\n").either(&[417], [seen("GET", "")]).service_may_refuse(),
        served("COMP-RANGE-INVALID", "Range: bytes=abc-xyz\r\n").checks([Check::Has("range", "bytes=abc-xyz")]),
        served("COMP-ACCEPT-NONSENSE", "Accept: application/x-nonsense\r\n"),
        posted("COMP-RANGE-POST", "Range: bytes=0-10\r\n"),
        posted("COMP-DUPLICATE-CT", "Content-Type: text/plain\r\nContent-Type: text/html\r\n").service_may_refuse(),
        posted("COMP-POST-UNSUPPORTED-CT", "Content-Type: application/x-nonsense\r\n"),
        post("COMP-POST-CL-UNDERSEND", "Content-Length: 10\r\n", "hello").unfinished([begun("POST", "hello")]),
    ]
}

/// None of these services switches.
fn upgrades() -> Vec<Case> {
    let websocket = format!("Connection: Upgrade\r\n{WEBSOCKET}");
    let other_version = format!("{websocket}Sec-WebSocket-Version: 99\r\n");
    let http_10 = format!("GET /~ HTTP/1.0\r\nHost: shop.test\r\n{websocket}Sec-WebSocket-Version: 13\r\n\r\n");
    let h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n";
    let gone = [Check::Lacks("upgrade"), Check::Lacks("connection"), Check::Lacks("http2-settings")];
    vec![
        post("COMP-UPGRADE-POST", &format!("{websocket}Content-Length: 0\r\n"), "").served([seen("POST", "")]),
        get("COMP-UPGRADE-MISSING-CONN", WEBSOCKET).served([seen("GET", "")]).checks([Check::Lacks("upgrade")]),
        get("COMP-UPGRADE-UNKNOWN", "Connection: Upgrade\r\nUpgrade: totally-made-up/1.0\r\n")
            .served([seen("GET", "")])
            .checks([Check::Has("upgrade", "totally-made-up/1.0")]),
        get("COMP-UPGRADE-INVALID-VER", &other_version)
            .served([seen("GET", "")])
            .checks([Check::Has("upgrade", "websocket"), Check::Has("sec-websocket-version", "99")])
            .service_may_refuse(),
        case("COMP-UPGRADE-HTTP10", http_10)
            .served_then_closed([seen("GET", "")])
            .checks([Check::Lacks("upgrade"), Check::Lacks("connection")]),
        get("PROXY-UPGRADE-H2C", h2c).served([seen("GET", "")]).checks(gone),
    ]
}
