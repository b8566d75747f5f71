//! What is read from a request's head, recorded of it, and refused.

use http::{Method, Request, Uri};

use super::super::sandbox::{OK, Sandbox, answering};
use super::peers::{Caller, before_http2, echo, get, grpc, http2_service, patiently};

#[tokio::test]
async fn a_row_holds_what_its_head_says() {
    let mut sandbox = before_http2(http2_service(echo).await, |options| {
        options.capture.query = true;
        options.capture.headers = vec!["user-agent", "x-tag"];
    });
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut request = grpc("/a?b=c");
    let headers = request.headers_mut();
    for (name, value) in [
        ("x-request-id", "mine"),
        ("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")[..]),
        ("dnt", "1"),
        ("sec-gpc", "1"),
        ("user-agent", "test"),
        ("x-tag", "one"),
        ("x-tag", "two"),
        ("x-forwarded-for", "203.0.113.9"),
    ] {
        headers.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
    }
    let answer = caller.call(request, b"hello").await.unwrap();
    assert_eq!(answer.head.headers()["x-request-id"], "mine");
    assert_eq!(answer.head.headers()["x-saw-x-forwarded-for"], "203.0.113.9, 127.0.0.1");
    let row = sandbox.row().await;
    assert_eq!((row.request_id.as_deref(), row.trace_id.as_deref()), (Some("mine"), Some(trace)));
    assert_eq!((row.do_not_track, row.global_privacy_control), (Some(true), Some(true)));
    assert_eq!((row.query.as_deref(), row.client), (Some("b=c"), "203.0.113.9".parse().ok()));
    assert_eq!(row.headers, [("user-agent", "test".to_owned()), ("x-tag", "one, two".to_owned())]);
    sandbox.end().await;
}

#[tokio::test]
async fn hosts_that_are_malformed_and_tunnels_are_refused() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let caller = Caller::connect(sandbox.proxy.local_addr()).await;
    let with_user = caller.call(Request::get("http://user@service.test/").body(()).unwrap(), b"").await.unwrap();
    assert_eq!(with_user.head.headers()["x-ridealong-error"], "bad_host");
    assert_eq!((sandbox.row().await.status, with_user.head.status().as_u16()), (Some(400), 400));
    let mut tunnel = Request::new(());
    *tunnel.method_mut() = Method::CONNECT;
    *tunnel.uri_mut() = Uri::from_static("service.test:443");
    let (response, _sending) = caller.begin(tunnel, false).await;
    assert_eq!(patiently(response).await.unwrap().status(), 501);
    assert_eq!(sandbox.row().await.error, Some("connect_unsupported"));
    // The connection is none the worse for it.
    assert_eq!(caller.call(get("/"), b"").await.unwrap().head.status(), 200);
    assert_eq!((sandbox.row().await.error, heard.count()), (None, 1));
    sandbox.end().await;
}
