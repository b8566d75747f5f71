//! Messages pass through as they are, as they come, and the connections on both sides are kept.

use tokio::sync::oneshot;

use super::sandbox::{OK, Sandbox, answering, service};

const LARGE: usize = 64 * 1024 * 1024;
const PIECE: usize = 64 * 1024;

#[tokio::test]
async fn both_sides_keep_their_connections() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    for index in 0..20 {
        client.send(format!("GET /{index} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = client.message("GET").await;
        assert_eq!((response.head.status(), &response.body[..]), (Some(200), &b"ok"[..]));
        let row = sandbox.row().await;
        assert_eq!((row.path, row.status, row.error), (format!("/{index}"), Some(200), None));
        assert!(row.upstream_connected_us.unwrap() <= row.ttfb_us.unwrap());
    }
    assert_eq!(heard.connections(), 1);
    assert_eq!(sandbox.proxy.counters().snapshot().connections_accepted, 1);
    sandbox.end().await;
}

#[tokio::test]
async fn clients_on_all_threads_are_served() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.threads = 2.try_into().unwrap());
    for _ in 0..32 {
        let mut client = sandbox.client().await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.message("GET").await.body, b"ok");
        sandbox.row().await;
    }
    sandbox.end().await;
}

#[tokio::test]
async fn a_response_reaches_the_client_piece_by_piece() {
    let (received, told) = oneshot::channel();
    let told = std::sync::Mutex::new(Some(told));
    let service = service(move |mut wire, _| {
        let told = told.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
            // Only when the client has the first piece is there a second.
            told.await.unwrap();
            wire.send("6\r\nsecond\r\n0\r\n\r\n").await;
            wire.head().await;
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await, b"first");
    received.send(()).unwrap();
    assert_eq!(client.chunk().await, b"second");
    assert_eq!(client.chunk().await, b"");
    let row = sandbox.row().await;
    assert_eq!((row.response_bytes, row.error), (11, None));
    sandbox.end().await;
}

#[tokio::test]
async fn a_request_reaches_the_service_piece_by_piece() {
    let (received, told) = oneshot::channel();
    let received = std::sync::Mutex::new(Some(received));
    let service = service(move |mut wire, _| {
        let received = received.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            assert_eq!(wire.chunk().await, b"first");
            received.send(()).unwrap();
            assert_eq!(wire.chunk().await, b"second");
            assert_eq!(wire.chunk().await, b"");
            wire.send(OK).await;
            wire.line().await;
            wire.head().await;
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    told.await.unwrap();
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;
    assert_eq!(client.message("POST").await.body, b"ok");
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.error), (11, None));
    assert!(row.request_complete_us.unwrap() <= row.ttfb_us.unwrap());
    sandbox.end().await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.discard(LARGE).await;
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n")).await;
        for _ in 0..LARGE / PIECE {
            wire.send([7; PIECE]).await;
        }
        wire.head().await;
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send(format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {LARGE}\r\n\r\n")).await;
    for _ in 0..LARGE / PIECE {
        client.send([7; PIECE]).await;
    }
    assert_eq!(client.head().await.unwrap().status(), Some(200));
    client.discard(LARGE).await;
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (LARGE as u64, LARGE as u64, None));
    sandbox.end().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-ID: id{}\r\n\r\n", &path[1..]);
    client.send([request("/1"), request("/2"), request("/3")].concat()).await;
    for id in ["id1", "id2", "id3"] {
        let response = client.message("GET").await;
        assert_eq!(response.head.get("x-request-id"), Some(id));
        assert_eq!(response.body, b"ok");
    }
    for path in ["/1", "/2", "/3"] {
        let row = sandbox.row().await;
        assert_eq!((row.path.as_str(), row.response_bytes), (path, 2));
    }
    sandbox.end().await;
}

/// A part of the next request must not hold back the response to this one.
#[tokio::test]
async fn a_response_does_not_wait_for_the_rest_of_the_next_request() {
    let (service, _) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HT").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    assert_eq!(sandbox.row().await.path, "/1");
    client.send("TP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    assert_eq!(sandbox.row().await.path, "/2");
    sandbox.end().await;
}

#[tokio::test]
async fn responses_without_a_body_leave_the_connections_in_step() {
    let service = service(|mut wire, _| async move {
        while let Some(head) = wire.head().await {
            let response = match head.first_line.as_str() {
                "HEAD /length HTTP/1.1" => "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
                "HEAD /chunked HTTP/1.1" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                "GET /204 HTTP/1.1" => "HTTP/1.1 204 No Content\r\n\r\n",
                "GET /304 HTTP/1.1" => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 1234\r\n\r\n",
                "GET /empty HTTP/1.1" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                other => panic!("{other}"),
            };
            wire.send(response).await;
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    let cases = [
        ("HEAD", "/length", 200, Some("1234")),
        ("HEAD", "/chunked", 200, None),
        ("GET", "/204", 204, None),
        ("GET", "/304", 304, Some("1234")),
        ("GET", "/empty", 200, Some("0")),
    ];
    for (method, path, status, length) in cases {
        client.send(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let response = client.message(method).await;
        assert_eq!((response.head.status(), response.head.get("content-length")), (Some(status), length), "{path}");
        let row = sandbox.row().await;
        assert_eq!((row.path.as_str(), row.status, row.response_bytes, row.error), (path, Some(status), 0, None));
    }
    assert_eq!(sandbox.proxy.counters().snapshot().upstream_connections, 1);
    sandbox.end().await;
}

#[tokio::test]
async fn http_10_closes_unless_asked_to_stay() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET /stay HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let response = client.message("GET").await;
    assert_eq!(response.head.first_line, "HTTP/1.0 200 OK");
    assert_eq!(response.head.get("connection").map(str::to_ascii_lowercase).as_deref(), Some("keep-alive"));
    client.send("GET /go HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.message("GET").await.body, b"ok");
    assert!(client.is_lost().await);
    // The service speaks HTTP/1.1 with us and needs a host.
    assert_eq!(heard.last().first_line, "GET /go HTTP/1.1");
    assert_eq!(heard.last().get("host"), Some(service.to_string().as_str()));
    for _ in 0..2 {
        let row = sandbox.row().await;
        assert_eq!((row.protocol, row.host, row.error), ("HTTP/1.0", None, None));
    }
    sandbox.end().await;
}

#[tokio::test]
async fn http_10_gets_a_body_of_unknown_length_until_the_end() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let (service, _) = answering(chunked).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let head = client.head().await.unwrap();
    assert_eq!(head.get("transfer-encoding"), None);
    assert_eq!(client.rest().await, b"abc");
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}

#[tokio::test]
async fn an_http_10_service_is_read_to_its_end() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.0 200 OK\r\n\r\nall of it").await;
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let response = client.message("GET").await;
        assert_eq!((response.head.first_line.as_str(), &response.body[..]), ("HTTP/1.1 200 OK", &b"all of it"[..]));
        assert_eq!(sandbox.row().await.error, None);
    }
    sandbox.end().await;
}

#[tokio::test]
async fn trailers_and_continue_pass() {
    let service = service(|mut wire, _| async move {
        let head = wire.head().await.unwrap();
        assert_eq!(head.get("te"), Some("trailers"));
        // It is the service that says whether it wants the body.
        assert_eq!(head.get("expect"), Some("100-continue"));
        wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
        assert_eq!(wire.exactly(4).await, b"body");
        wire.send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        wire.send("2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n").await;
        wire.head().await;
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    let head =
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers, deflate\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n";
    client.send(head).await;
    assert_eq!(client.head().await.unwrap().status(), Some(100));
    client.send("body").await;
    client.head().await.unwrap();
    assert_eq!(client.chunk().await, b"ok");
    assert_eq!(client.chunk().await, b"");
    assert_eq!(client.line().await.to_ascii_lowercase(), "x-sum: 7");
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (4, 2, None));
    sandbox.end().await;
}
