//! Calls that go well: what each side sees, and the row.

use http::HeaderMap;

use super::peers::{Caller, answer, before_http2, echo, grpc, http2_service, send};

#[tokio::test]
async fn a_call_passes_with_its_trailers_and_makes_one_row() {
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let answer = caller.call(grpc("/shop.Cart/Add?x=1"), b"hello").await.unwrap();
    assert_eq!((answer.head.status().as_u16(), &answer.body[..]), (200, &b"hello"[..]));
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    let headers = answer.head.headers();
    assert_eq!(headers["x-authority"], "service.test");
    assert_eq!(headers["x-saw-te"], "trailers");
    assert_eq!(headers["x-saw-x-forwarded-for"], "127.0.0.1");
    assert_eq!(headers["x-saw-x-forwarded-host"], "service.test");
    assert_eq!(headers["x-saw-x-request-id"], headers["x-request-id"]);
    assert!(headers["x-response-time"].to_str().unwrap().ends_with("ms"));
    assert!(headers["server-timing"].to_str().unwrap().starts_with("ridealong;dur="));
    let row = sandbox.row().await;
    assert_eq!((row.protocol, row.method.as_str(), &row.path[..]), ("HTTP/2", "POST", "/shop.Cart/Add"));
    assert_eq!((row.status, row.grpc_status, row.error), (Some(200), Some(0), None));
    assert_eq!((row.request_bytes, row.response_bytes), (5, 5));
    assert_eq!(row.host.as_deref(), Some("service.test"));
    let marks = [row.upstream_connected_us, row.request_complete_us, row.ttfb_us, row.response_complete_us];
    assert!(marks.iter().all(Option::is_some), "{row:?}");
    assert!(row.ttfb_us.unwrap() <= row.response_complete_us.unwrap());
    assert!(row.response_complete_us.unwrap() <= row.duration_us);
    assert!(row.overhead_us.unwrap() <= row.duration_us);
    sandbox.end().await;
}

#[tokio::test]
async fn trailers_of_a_request_pass_too() {
    let mut sandbox = before_http2(http2_service(echo).await, |_| {});
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let (response, mut sending) = caller.begin(grpc("/a"), false).await;
    send(&mut sending, b"abc", false).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-checksum", "7".parse().unwrap());
    trailers.insert("authorization", "smuggled".parse().unwrap());
    sending.send_trailers(trailers).unwrap();
    let answer = answer(response).await.unwrap();
    let trailers = answer.trailers.unwrap();
    assert_eq!((trailers.len(), &trailers["x-checksum"]), (2, &"7".parse().unwrap()));
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}
