//! Clients that speak HTTP/1, and a service that does not.

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::peers::{before_http2, echo, http2_service, read, send};

#[tokio::test]
async fn a_request_is_told_in_the_words_of_http2() {
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let mut client = sandbox.client().await;
    for _ in 0..2 {
        client
            .send("POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nConnection: x-drop, Upgrade\r\n")
            .await;
        client.send("X-Drop: 1\r\nUpgrade: websocket\r\nX-Request-ID: mine\r\nTE: trailers\r\n\r\nhello").await;
        let head = client.head().await.unwrap();
        assert_eq!(head.first_line, "HTTP/1.1 200 OK");
        assert_eq!((head.get("x-authority"), head.get("x-request-id")), (Some("shop.test"), Some("mine")));
        assert_eq!((head.get("x-saw-te"), head.get("transfer-encoding")), (Some("trailers"), Some("chunked")));
        assert_eq!(head.all("server-timing").len(), 1);
        assert_eq!(client.chunk().await, b"hello");
        assert!(client.chunk().await.is_empty());
        assert_eq!((client.line().await.as_str(), client.line().await.as_str()), ("grpc-status: 0", ""));
        let row = sandbox.row().await;
        assert_eq!((row.protocol, row.status, row.grpc_status, row.error), ("HTTP/1.1", Some(200), Some(0), None));
        assert_eq!((row.request_bytes, row.response_bytes), (5, 5));
        assert!(row.response_complete_us.is_some() && row.request_complete_us.is_some());
    }
    assert_eq!(sandbox.proxy.counters().snapshot().upstream_connections, 1);
    sandbox.end().await;
}

#[tokio::test]
async fn chunked_requests_and_their_trailers_pass() {
    let service = http2_service(|request, mut respond| async move {
        let (head, mut body) = request.into_parts();
        assert!(!head.headers.contains_key("transfer-encoding") && !head.headers.contains_key("expect"));
        let (bytes, trailers) = read(&mut body).await.unwrap();
        let sum = trailers.unwrap_or_else(HeaderMap::new).get("x-sum").cloned();
        let response = Response::builder().header("content-length", bytes.len()).header("x-sum", sum.unwrap());
        let mut sending = respond.send_response(response.body(()).unwrap(), false).unwrap();
        send(&mut sending, &bytes, true).await.unwrap();
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().first_line, "HTTP/1.1 100 Continue");
    client.send("3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 9\r\n\r\n").await;
    let answer = client.message("POST").await;
    assert_eq!((answer.head.get("content-length"), answer.head.get("x-sum")), (Some("5"), Some("9")));
    assert_eq!(answer.body, b"abcde");
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (5, 5, None));
    sandbox.end().await;
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connection_in_step() {
    let service = http2_service(|request, mut respond| async move {
        let status = if request.uri().path() == "/204" { 204 } else { 200 };
        respond.send_response(Response::builder().status(status).body(()).unwrap(), true).unwrap();
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let mut client = sandbox.client().await;
    for (method, path) in [("GET", "/204"), ("HEAD", "/"), ("GET", "/"), ("GET", "/204")] {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let answer = client.message(method).await;
        assert_eq!(answer.head.get("transfer-encoding"), None);
        assert!(answer.body.is_empty());
        assert_eq!(sandbox.row().await.error, None);
    }
    sandbox.end().await;
}

#[tokio::test]
async fn http_10_gets_a_body_of_unknown_length_until_the_end() {
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc").await;
    let answer = client.message("POST").await;
    assert_eq!((answer.head.get("connection"), &answer.body[..]), (Some("close"), &b"abc"[..]));
    assert_eq!(sandbox.row().await.protocol, "HTTP/1.0");
    sandbox.end().await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    const LENGTH: usize = 3_000_000;
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let mut client = sandbox.client().await;
    let body: Vec<u8> = (0..LENGTH).map(|at| (at / 3) as u8).collect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    client.send(&body).await;
    assert!(client.message("POST").await.body == body);
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (LENGTH as u64, LENGTH as u64, None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_resets_before_and_within_its_response() {
    let service = http2_service(|request, mut respond| async move {
        if request.uri().path() == "/late" {
            let mut sending = respond.send_response(Response::new(()), false).unwrap();
            sending.send_data(Bytes::from_static(b"half"), false).unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            return sending.send_reset(h2::Reason::CANCEL);
        }
        respond.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let mut sandbox = before_http2(service.await, |_| {});
    let mut client = sandbox.client().await;
    client.send("GET /early HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.message("GET").await;
    assert_eq!((answer.head.status(), answer.head.get("x-ridealong-error")), (Some(502), Some("upstream_reset")));
    assert_eq!(sandbox.row().await.error, Some("upstream_reset"));
    client.send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!client.until_lost().await.0.ends_with(b"0\r\n\r\n"));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error, row.response_bytes), (Some(200), Some("upstream_reset"), 4));
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_cancels() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let service = http2_service(move |request, mut respond| {
        let tell = tell.clone();
        async move {
            let _body = request.into_body();
            tell.send(()).await.unwrap();
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
            tell.send(()).await.unwrap();
        }
    });
    let mut sandbox = before_http2(service.await, |options| options.limits.half_close_timeout = None);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    super::peers::patiently(told.recv()).await.unwrap();
    drop(client);
    super::peers::patiently(told.recv()).await.unwrap();
    assert_eq!(sandbox.row().await.error, Some("client_disconnect"));
    sandbox.end().await;
}
