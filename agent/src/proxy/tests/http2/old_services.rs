//! Clients that speak HTTP/2, and a service that does not.

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::super::sandbox::{OK, Sandbox, answering, service};
use super::peers::{Caller, answer, get, patiently, read, send};

#[tokio::test]
async fn a_request_is_told_in_the_words_of_http1() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start_with(service, |options| options.capture.query = true);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let request = Request::get("http://service.test/a?b=c").header("cookie", "a=1").header("cookie", "b=2");
    let request = request.header("x_request_id", "smuggled").header("te", "trailers").header("host", "other.test");
    let answer = caller.call(request.body(()).unwrap(), b"").await.unwrap();
    assert_eq!((answer.head.status().as_u16(), &answer.body[..]), (200, &b"ok"[..]));
    assert_eq!(answer.head.headers()["content-length"], "2");
    assert!(answer.head.headers().contains_key("date"));
    let head = heard.last();
    assert_eq!(head.first_line, "GET /a?b=c HTTP/1.1");
    assert_eq!(head.get("host"), Some("service.test"));
    assert_eq!(head.get("cookie"), Some("a=1; b=2"));
    assert_eq!(
        (head.get("x_request_id"), head.get("te"), head.get("transfer-encoding")),
        (None, Some("trailers"), None)
    );
    assert_eq!(head.get("x-forwarded-for"), Some("127.0.0.1"));
    let row = sandbox.row().await;
    assert_eq!((row.protocol, row.query.as_deref(), row.response_bytes), ("HTTP/2", Some("b=c"), 2));
    // The connection is kept and used again, also for what comes with HTTP/1.
    caller.call(get("/2"), b"").await.unwrap();
    let mut old = sandbox.client().await;
    old.send("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(old.message("GET").await.body, b"ok");
    assert_eq!((heard.count(), heard.connections()), (3, 1));
    sandbox.row().await;
    assert_eq!(sandbox.row().await.protocol, "HTTP/1.1");
    sandbox.end().await;
}

#[tokio::test]
async fn bodies_are_framed_as_http1_frames_them() {
    let service = service(|mut wire, _| async move {
        while let Some(head) = wire.head().await {
            let body = if head.get("transfer-encoding") == Some("chunked") {
                let mut body = Vec::new();
                loop {
                    let chunk = wire.chunk().await;
                    if chunk.is_empty() {
                        break;
                    }
                    body.extend(chunk);
                }
                let trailer = wire.line().await;
                if !trailer.is_empty() {
                    assert_eq!((trailer.as_str(), wire.line().await.as_str()), ("x-sum: 7", ""));
                }
                body
            } else {
                wire.exactly(head.get("content-length").unwrap().parse().unwrap()).await
            };
            wire.send(format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", body.len())).await;
            wire.send(body).await;
            wire.send("\r\n0\r\nX-Sum: 8\r\ngrpc-status: 3\r\n\r\n").await;
        }
    });
    let mut sandbox = Sandbox::start(service.await);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    for length in [None, Some("5")] {
        let mut request = Request::post("http://service.test/a");
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        let (response, mut sending) = caller.begin(request.body(()).unwrap(), false).await;
        send(&mut sending, b"hello", length.is_some()).await.unwrap();
        if length.is_none() {
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", "7".parse().unwrap());
            sending.send_trailers(trailers).unwrap();
        }
        let answer = answer(response).await.unwrap();
        assert_eq!((&answer.body[..], &answer.trailers.unwrap()["x-sum"]), (&b"hello"[..], &"8".parse().unwrap()));
        let row = sandbox.row().await;
        assert_eq!((row.request_bytes, row.response_bytes, row.grpc_status), (5, 5, Some(3)));
    }
    sandbox.end().await;
}

#[tokio::test]
async fn a_body_that_is_empty_is_said_to_be() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    caller.call(Request::post("http://a/").body(()).unwrap(), b"").await.unwrap();
    assert_eq!((heard.last().get("content-length"), heard.last().get("transfer-encoding")), (Some("0"), None));
    sandbox.row().await;
    let head = caller.call(Request::head("http://a/").body(()).unwrap(), b"").await.unwrap();
    assert_eq!((head.head.status().as_u16(), head.body.len()), (200, 0));
    sandbox.row().await;
    sandbox.end().await;
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    const LENGTH: usize = 3_000_000;
    let service = service(|mut wire, _| async move {
        wire.head().await.unwrap();
        let body = wire.exactly(LENGTH).await;
        wire.send("HTTP/1.1 200 OK\r\n\r\n").await;
        wire.send(body).await;
    });
    let mut sandbox = Sandbox::start(service.await);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let body: Vec<u8> = (0..LENGTH).map(|at| (at / 5) as u8).collect();
    let request = Request::post("http://a/").header("content-length", LENGTH).body(()).unwrap();
    let answer = caller.call(request, &body).await.unwrap();
    assert!(answer.body == body);
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.response_bytes, row.error), (LENGTH as u64, LENGTH as u64, None));
    sandbox.end().await;
}

#[tokio::test]
async fn an_interim_response_passes() {
    let service = service(|mut wire, _| async move {
        wire.head().await.unwrap();
        wire.send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n").await;
        wire.until_lost().await;
    });
    let mut sandbox = Sandbox::start(service.await);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (mut response, _) = caller.begin(get("/"), true).await;
    let hint = patiently(std::future::poll_fn(|context| response.poll_informational(context))).await.unwrap().unwrap();
    assert_eq!((hint.status().as_u16(), &hint.headers()["link"]), (103, &"</a.css>".parse().unwrap()));
    assert_eq!(patiently(response).await.unwrap().status(), 204);
    assert_eq!(sandbox.row().await.status, Some(204));
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_breaks_off() {
    let service = service(|mut wire, _| async move {
        if wire.head().await.unwrap().first_line.contains("/late") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
        }
    });
    let mut sandbox = Sandbox::start(service.await);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let early = caller.call(get("/early"), b"").await.unwrap();
    assert_eq!(
        (early.head.status().as_u16(), &early.head.headers()["x-ridealong-error"]),
        (502, &"upstream_reset".parse().unwrap())
    );
    assert_eq!(sandbox.row().await.error, Some("upstream_reset"));
    let (response, _) = caller.begin(get("/late"), true).await;
    let mut body = patiently(response).await.unwrap().into_body();
    assert!(read(&mut body).await.unwrap_err().is_reset());
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error, row.response_bytes), (Some(200), Some("upstream_reset"), 4));
    sandbox.end().await;
}

#[tokio::test]
async fn a_stale_connection_is_replaced_for_what_can_be_repeated() {
    let service = service(|mut wire, number| async move {
        wire.head().await.unwrap();
        wire.send(OK).await;
        if number == 0 {
            // Closes on the second request instead of answering it.
            wire.head().await;
        } else {
            wire.until_lost().await;
        }
    });
    let mut sandbox = Sandbox::start(service.await);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    for _ in 0..2 {
        assert_eq!(caller.call(get("/"), b"").await.unwrap().body, b"ok");
        assert_eq!(sandbox.row().await.error, None);
    }
    assert_eq!(sandbox.proxy.counters().snapshot().upstream_retries, 1);
    sandbox.end().await;
}

#[tokio::test]
async fn heads_that_mean_different_things_to_different_readers_are_refused() {
    let (service, heard) = answering(OK).await;
    let sandbox = Sandbox::start(service);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let twice = Request::post("http://a/").header("content-length", "5").header("content-length", "5");
    let (response, mut sending) = caller.begin(twice.body(()).unwrap(), false).await;
    let _ = sending.send_data(Bytes::from_static(b"hello"), true);
    assert_eq!(patiently(response).await.unwrap().status(), 400);
    let long = format!("http://a/{}", "a".repeat(40_000));
    assert_eq!(caller.call(Request::get(long).body(()).unwrap(), b"").await.unwrap().head.status(), 414);
    assert_eq!((heard.count(), sandbox.proxy.counters().snapshot().heads_refused), (0, 2));
    sandbox.end().await;
}
