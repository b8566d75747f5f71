//! Requests within requests: a second one hidden where two readers could disagree about the first one's end. The service
//! never hears of it; and after requests that are sound, the next on the same connection is read where it begins.

use crate::case::{Case, Outcome, begun, case, chunked, get, post, seen};

const NEXT: &str = "GET /~/next HTTP/1.1\r\nHost: shop.test\r\n\r\n";

pub fn cases() -> Vec<Case> {
    let mut all = smuggled();
    all.extend(ambiguous());
    all.extend(sequences());
    all
}

/// A last chunk, and a request after it that a length makes part of the body.
fn smuggled() -> Vec<Case> {
    let smuggled = |id, method: &str, lines: &dyn Fn(usize) -> String| {
        let body = format!("0\r\n\r\n{method} /{id}/smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n");
        post(id, &lines(body.len()), &body).refused(&[400, 501])
    };
    let get = |id, lines: &dyn Fn(usize) -> String| smuggled(id, "GET", lines);
    let te = "Transfer-Encoding";
    vec![
        get("SMUG-CLTE-SMUGGLED-GET", &|cl| format!("Content-Length: {cl}\r\n{te}: chunked\r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-CL-PLUS", &|cl| format!("Content-Length: +{cl}\r\n{te}: chunked\r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-CL-NON-NUMERIC", &|cl| format!("Content-Length: {cl}x\r\n{te}: chunked\r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-TE-OBS-FOLD", &|cl| format!("{te}:\r\n chunked\r\nContent-Length: {cl}\r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-TE-TRAILING-SPACE", &|cl| format!("Content-Length: {cl}\r\n{te}: chunked \r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-TE-LEADING-COMMA", &|cl| format!("Content-Length: {cl}\r\n{te}: , chunked\r\n")),
        get("SMUG-CLTE-SMUGGLED-GET-TE-CASE-MISMATCH", &|cl| format!("Content-Length: {cl}\r\n{te}: Chunked\r\n")),
        smuggled("SMUG-CLTE-SMUGGLED-HEAD", "HEAD", &|cl| format!("Content-Length: {cl}\r\n{te}: chunked\r\n")),
        get("SMUG-TE-DUPLICATE-HEADERS-SMUGGLED-GET", &|cl| {
            format!("{te}: chunked\r\n{te}: identity\r\nContent-Length: {cl}\r\n")
        }),
        get("SMUG-DUPLICATE-CL-SMUGGLED-GET", &|cl| format!("Content-Length: 5\r\nContent-Length: {cl}\r\n")),
        te_cl(),
    ]
}

/// A chunk that begins like a request, and a length that ends before it.
fn te_cl() -> Case {
    let id = "SMUG-TECL-SMUGGLED-GET";
    let inner = format!("GET /{id}/smuggled HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 7\r\n\r\n");
    let size = format!("{:x}\r\n", inner.len());
    let lines = format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n", size.len());
    post(id, &lines, &format!("{size}{inner}\r\n0\r\n\r\n"))
}

fn ambiguous() -> Vec<Case> {
    let (cl, te) = ("Content-Length", "Transfer-Encoding: chunked");
    vec![
        post("SMUG-CLTE-CONN-CLOSE", &format!("{cl}: 5\r\n{te}\r\n"), "0\r\n\r\n").then(NEXT),
        post("SMUG-TECL-CONN-CLOSE", &format!("{te}\r\n{cl}: 5\r\n"), "0\r\n\r\n").then(NEXT),
        post("SMUG-CLTE-DESYNC", &format!("{cl}: 6\r\n{te}\r\n"), "0\r\n\r\nX").then(NEXT),
        post("SMUG-TECL-DESYNC", &format!("{te}\r\n{cl}: 30\r\n"), "0\r\n\r\nX").then(NEXT),
        chunked("SMUG-CHUNK-INVALID-SIZE-DESYNC", "+0\r\n\r\nX")
            .then(NEXT)
            .refused_or_cut(&[400])
            .sees([begun("POST", "")]),
        case(
            "SMUG-OPTIONS-TE-OBS-FOLD",
            format!("OPTIONS /~ HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding:\r\n chunked\r\n{cl}: 5\r\n\r\nhello"),
        )
        .then(NEXT),
    ]
}

fn sequences() -> Vec<Case> {
    let next = || seen("GET", "").at("/~/next");
    let last = || seen("GET", "").at("/~/last");
    let prefix = "GET /inner HTTP/1.1\r\nHost: shop.test\r\n";
    let prefix_length = format!("Content-Length: {}\r\n", prefix.len());
    let with_body = |id, method: &str| {
        case(id, format!("{method} /~ HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\n\r\nhello"))
    };
    vec![
        get("SMUG-PIPELINE-SAFE", "").then(NEXT).served([seen("GET", ""), next()]),
        with_body("SMUG-GET-CL-BODY-DESYNC", "GET").then(NEXT).served([seen("GET", "hello"), next()]),
        with_body("SMUG-OPTIONS-CL-BODY-DESYNC", "OPTIONS").then(NEXT).served([seen("OPTIONS", "hello"), next()]),
        case("SMUG-GET-CL-PREFIX-DESYNC", format!("GET /~ HTTP/1.1\r\nHost: shop.test\r\n{prefix_length}\r\n{prefix}"))
            .then("\r\nGET /~/next HTTP/1.1\r\nHost: shop.test\r\n\r\n")
            .served([seen("GET", prefix), next()]),
        post("SMUG-EXPECT-100-CL-DESYNC", "Content-Length: 5\r\nExpect: 100-continue\r\n", "hello")
            .then(NEXT)
            .served([seen("POST", "hello"), next()]),
        // The client does say XGET, if late.
        post("SMUG-CL0-BODY-POISON", "Content-Length: 0\r\n", "X")
            .then(NEXT)
            .outcome(Outcome::Anything)
            .sees([seen("POST", ""), seen("XGET", "").at("/~/next")])
            .service_may_refuse(),
        get("PROXY-PIPELINE-OF-3", &format!("\r\n{NEXT}GET /~/last HTTP/1.1\r\nHost: shop.test\r\n")).served([
            seen("GET", ""),
            next(),
            last(),
        ]),
        get("PROXY-PIPELINE-THEN-GARBAGE", &format!("\r\n{NEXT}GET /~/smuggled HTTP/1.1\nHost: shop.test\r\n"))
            .outcome(Outcome::ServedThenRefused(2, &[400]))
            .sees([seen("GET", ""), next()]),
        post(
            "PROXY-PIPELINE-AFTER-CHUNKS",
            "Transfer-Encoding: chunked\r\n",
            &format!("5\r\nhello\r\n0\r\n\r\n{NEXT}"),
        )
        .served([seen("POST", "hello"), next()]),
        post("PROXY-PIPELINE-AFTER-TRAILERS", "Transfer-Encoding: chunked\r\n", &format!("0\r\nA: b\r\n\r\n{NEXT}"))
            .served([seen("POST", ""), next()]),
        get("PROXY-PIPELINE-AFTER-CLOSE", "Connection: close\r\n\r\nGET /~/smuggled HTTP/1.1\r\nHost: shop.test\r\n")
            .served_then_closed([seen("GET", "")]),
        get("PROXY-HALF-CLOSED", "").served_then_closed([seen("GET", "")]).half_closes(),
        post("PROXY-HALF-CLOSED-AFTER-A-BODY", "Content-Length: 5\r\n", "hello")
            .served_then_closed([seen("POST", "hello")])
            .half_closes(),
        get("PROXY-HALF-CLOSED-AFTER-TWO", "\r\nGET /~/next HTTP/1.1\r\nHost: shop.test\r\n")
            .served_then_closed([seen("GET", ""), next()])
            .half_closes(),
        case(
            "PROXY-HTTP10-POST-WITHOUT-LENGTH",
            "POST /~ HTTP/1.0\r\nHost: shop.test\r\n\r\nGET /~/smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n",
        )
        .outcome(Outcome::Anything)
        .sees([seen("POST", "")]),
    ]
}
