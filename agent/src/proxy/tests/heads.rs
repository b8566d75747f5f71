//! What is added to heads, what is taken out, what is left alone.

use super::sandbox::{Heard, OK, Sandbox, answering};
use super::wire::Head;
use crate::exchange::{Capture, Exchange};
use crate::proxy::Trusted;

/// What came of one request: the head that the service got, the response's head, the row.
struct Passed {
    heard: Head,
    response: Head,
    row: Exchange,
}

async fn pass(request_lines: &str, response: &str) -> Passed {
    let (service, heard) = answering(response).await;
    pass_to(Sandbox::start(service), &heard, request_lines).await
}

async fn pass_to(mut sandbox: Sandbox, heard: &Heard, request_lines: &str) -> Passed {
    let mut client = sandbox.client().await;
    client.send(format!("GET /a?q=1 HTTP/1.1\r\nHost: shop.example:8080\r\n{request_lines}\r\n")).await;
    let response = client.message("GET").await.head;
    let row = sandbox.row().await;
    sandbox.end().await;
    Passed { heard: heard.last(), response, row }
}

fn is_uuid_v7(text: &str) -> bool {
    uuid::Uuid::try_parse(text).is_ok_and(|id| id.get_version_num() == 7) && text == text.to_ascii_lowercase()
}

#[tokio::test]
async fn both_heads_are_told_about_the_exchange() {
    let Passed { heard, response, row } = pass("X-Custom-CASE: 1\r\n", OK).await;
    assert_eq!(heard.first_line, "GET /a?q=1 HTTP/1.1");
    assert_eq!(heard.get("host"), Some("shop.example:8080"));
    assert_eq!(heard.get("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(heard.get("x-forwarded-proto"), Some("http"));
    assert_eq!(heard.get("x-forwarded-host"), Some("shop.example:8080"));
    assert!(heard.lines.iter().any(|(name, _)| name == "X-Custom-CASE"), "{heard:?}");

    let id = response.get("x-request-id").unwrap();
    assert!(is_uuid_v7(id), "{id}");
    assert_eq!(heard.get("x-request-id"), Some(id));
    let time = response.get("x-response-time").unwrap().strip_suffix("ms").unwrap();
    assert_eq!(time.split_once('.').unwrap().1.len(), 3);
    assert_eq!(response.get("server-timing").unwrap(), format!("ridealong;dur={time}"));
    assert_eq!(response.get("x-ridealong-error"), None);

    assert_eq!(row.event_id.to_string(), id);
    let ttfb_us = row.ttfb_us.unwrap();
    assert_eq!(time, format!("{}.{:03}", ttfb_us / 1000, ttfb_us % 1000));
    assert!(ttfb_us <= row.duration_us);
    assert_eq!((row.method.as_str(), row.path.as_str(), row.protocol), ("GET", "/a", "HTTP/1.1"));
    assert_eq!((row.host.as_deref(), row.request_id, row.trace_id), (Some("shop.example:8080"), None, None));
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (0, 2, None));
}

#[tokio::test]
async fn a_valid_request_id_is_kept_and_another_is_replaced() {
    let longest = "x".repeat(128);
    for valid in ["a", "A-z_0.9~", &longest] {
        let passed = pass(&format!("X-Request-ID: {valid}\r\n"), OK).await;
        assert_eq!(passed.heard.get("x-request-id"), Some(valid));
        assert_eq!(passed.response.get("x-request-id"), Some(valid));
        assert_eq!(passed.row.request_id.as_deref(), Some(valid));
    }
    let too_long = format!("X-Request-ID: {longest}x\r\n");
    for invalid in ["X-Request-ID:\r\n", "X-Request-ID: a b\r\n", "X-Request-ID: a\r\nX-Request-ID: b\r\n", &too_long] {
        let passed = pass(invalid, OK).await;
        let id = passed.heard.get("x-request-id").unwrap();
        assert!(is_uuid_v7(id), "{invalid:?} became {id}");
        assert_eq!(passed.response.get("x-request-id"), Some(id));
        assert_eq!(passed.row.request_id, None);
    }
}

#[tokio::test]
async fn what_the_service_set_is_kept() {
    let response = "HTTP/1.1 200 OK\r\nX-Request-ID: mine\r\nServer-Timing: db;dur=5\r\nX-Ridealong-Error: lie\r\n\
                    Content-Length: 0\r\n\r\n";
    let passed = pass("", response).await;
    assert_eq!(passed.response.get("x-request-id"), Some("mine"));
    let timings = passed.response.all("server-timing");
    assert_eq!(timings.len(), 2);
    assert_eq!(timings[0], "db;dur=5");
    assert!(timings[1].starts_with("ridealong;dur="));
    assert_eq!(passed.response.get("x-ridealong-error"), None);
}

#[tokio::test]
async fn forwarded_headers_of_proxies_before_us_are_kept() {
    let lines = "X-Forwarded-For: 10.0.0.1\r\nX-Forwarded-For: 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Host: outside.example\r\n";
    let heard = pass(lines, OK).await.heard;
    assert_eq!(heard.get("x-forwarded-for"), Some("10.0.0.1, 10.0.0.2, 127.0.0.1"));
    assert_eq!(heard.get("x-forwarded-proto"), Some("https"));
    assert_eq!(heard.get("x-forwarded-host"), Some("outside.example"));
}

#[tokio::test]
async fn what_concerns_one_connection_is_taken_out() {
    let lines = "Connection: close-ish, X-One, X-Forwarded-For\r\nConnection: X-Two, keep-alive, TE, host\r\n\
                 X-One: 1\r\nX-Two: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: websocket\r\n\
                 TE: deflate\r\nX-Forwarded-For: 6.6.6.6\r\nTrailer: X-Sum\r\nX-Stays: yes\r\n";
    let response = "HTTP/1.1 200 OK\r\nConnection: X-Inner\r\nConnection: close\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n\
                    Proxy-Authenticate: Basic\r\nX-Stays: yes\r\nContent-Length: 0\r\n\r\n";
    let Passed { heard, response, .. } = pass(lines, response).await;
    for name in ["connection", "x-one", "x-two", "keep-alive", "proxy-connection", "upgrade", "te"] {
        assert_eq!(heard.get(name), None, "{name} in {heard:?}");
    }
    assert_eq!(heard.get("x-stays"), Some("yes"));
    assert_eq!(heard.get("trailer"), Some("X-Sum"));
    assert_eq!(heard.get("host"), Some("shop.example:8080"));
    // What the client wanted gone is gone; what we add comes after.
    assert_eq!(heard.get("x-forwarded-for"), Some("127.0.0.1"));
    for name in ["connection", "x-inner", "keep-alive"] {
        assert_eq!(response.get(name), None, "{name} in {response:?}");
    }
    assert_eq!(response.get("x-stays"), Some("yes"));
    assert_eq!(response.get("proxy-authenticate"), Some("Basic"));
}

#[tokio::test]
async fn trace_context_passes_untouched_and_is_noted() {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let passed = pass(&format!("traceparent: {parent}\r\ntracestate: a=1,b=2\r\n"), OK).await;
    assert_eq!(passed.heard.get("traceparent"), Some(parent));
    assert_eq!(passed.heard.get("tracestate"), Some("a=1,b=2"));
    assert_eq!(passed.row.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"));
}

#[tokio::test]
async fn the_host_of_a_whole_url_counts() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET http://inner.example/x?y HTTP/1.1\r\nHost: outer.example\r\n\r\n").await;
    assert_eq!(client.message("GET").await.head.status(), Some(200));
    assert_eq!(heard.last().first_line, "GET /x?y HTTP/1.1");
    assert_eq!(heard.last().get("host"), Some("inner.example"));
    assert_eq!(sandbox.row().await.host.as_deref(), Some("inner.example"));
    sandbox.end().await;
}

/// What a client says of itself counts as far as the proxies on its way are trusted.
#[tokio::test]
async fn forwarded_headers_are_believed_from_trusted_networks_only() {
    let lines = "X-Forwarded-For: 6.6.6.6, 203.0.113.9, 10.0.0.2\r\nX-Forwarded-Proto: https\r\n\
                 X-Forwarded-Host: outside.example\r\nX_Forwarded_For: 7.7.7.7\r\n";
    for (trusted, chain, scheme, client) in [
        (Trusted::private(), "6.6.6.6, 203.0.113.9, 10.0.0.2, 127.0.0.1", "https", "203.0.113.9"),
        (Trusted::default(), "127.0.0.1", "http", "127.0.0.1"),
    ] {
        let (service, heard) = answering(OK).await;
        let sandbox = Sandbox::start_with(service, |options| options.trusted = trusted);
        let Passed { heard, row, .. } = pass_to(sandbox, &heard, lines).await;
        assert_eq!(heard.all("x-forwarded-for"), [chain]);
        assert_eq!(heard.get("x-forwarded-proto"), Some(scheme));
        assert_eq!(heard.get("x_forwarded_for"), None);
        assert_eq!(row.client.map(|address| address.to_string()).as_deref(), Some(client));
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_captured() {
    let (service, heard) = answering(OK).await;
    let capture = Capture { query: true, headers: vec!["user-agent", "x-many", "x-none"] };
    let sandbox = Sandbox::start_with(service, |options| options.capture = capture);
    let row = pass_to(sandbox, &heard, "User-Agent: a\r\nX-Many: 1\r\nx-many: 2\r\nCookie: secret\r\n").await.row;
    assert_eq!(row.query.as_deref(), Some("q=1"));
    assert_eq!(row.headers, [("user-agent", "a".to_owned()), ("x-many", "1, 2".to_owned())]);
    let row = pass("User-Agent: a\r\n", OK).await.row;
    assert_eq!((row.query, row.headers), (None, Vec::new()));
}
