//! Each way to fail: what the client sees, and the one row that is made of it.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::oneshot;

use super::sandbox::{OK, Sandbox, answering, eventually, loopback, service};
use super::wire::{Message, Wire};
use crate::proxy::UpstreamAddress;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Asserts what every answer of the proxy's own has, and the row that goes with it.
async fn is_own(sandbox: &mut Sandbox, answer: &Message, status: u16, id: &'static str) {
    assert_eq!((answer.head.status(), answer.head.get("x-ridealong-error")), (Some(status), Some(id)));
    assert!(answer.head.get("content-type").unwrap().starts_with("text/plain"));
    assert!(answer.body.ends_with(b"\n"));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(status), Some(id)));
    assert_eq!(answer.head.get("x-request-id").unwrap(), row.event_id.to_string());
    assert!(answer.head.get("x-response-time").is_some() && answer.head.get("server-timing").is_some());
    assert_eq!(row.response_bytes, answer.body.len() as u64);
}

/// A port that refuses as long as its socket lives, which keeps others from listening there.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&loopback().into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

#[tokio::test]
async fn a_refused_connection() {
    let (_held, service) = refusing();
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    // The connection lives on.
    for _ in 0..2 {
        client.send(GET).await;
        let answer = client.message("GET").await;
        is_own(&mut sandbox, &answer, 502, "upstream_connect_refused").await;
    }
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let answer = client.message("HEAD").await;
    assert_eq!(answer.head.get("x-ridealong-error"), Some("upstream_connect_refused"));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.response_bytes), (Some(502), 0));
    sandbox.end().await;
}

#[tokio::test]
async fn a_refused_connection_answers_even_in_the_middle_of_a_large_upload() {
    let (_held, service) = refusing();
    let mut sandbox = Sandbox::start(service);
    let Wire { stream, .. } = sandbox.client().await;
    let (mut reading, mut writing) = stream.into_split();
    let upload = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt;
        let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
        writing.write_all(head.as_bytes()).await.unwrap();
        // Goes on until the proxy has had enough of it.
        while writing.write_all(&[7; 65536]).await.is_ok() {}
    });
    let mut answer = Vec::new();
    use tokio::io::AsyncReadExt;
    reading.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer:?}");
    assert!(answer.ends_with("refused the connection\n"), "{answer:?}");
    upload.await.unwrap();
    assert_eq!(sandbox.row().await.error, Some("upstream_connect_refused"));
    sandbox.end().await;
}

#[tokio::test]
async fn a_connection_that_is_not_taken() {
    // A queue of one that is full: the kernel drops what more comes.
    let (socket, address) = refusing();
    socket.listen(0).unwrap();
    let mut waiting = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
    {
        waiting.push(stream);
    }
    let mut sandbox =
        Sandbox::start_with(address, |options| options.limits.connect_timeout = Duration::from_millis(100));
    let mut client = sandbox.client().await;
    client.send(GET).await;
    let answer = client.message("GET").await;
    is_own(&mut sandbox, &answer, 504, "upstream_connect_timeout").await;
    sandbox.end().await;
}

#[tokio::test]
async fn a_name_that_does_not_exist() {
    let nowhere = UpstreamAddress::http("no-such-host.invalid", 80);
    let mut sandbox = Sandbox::start_with(loopback(), |options| options.upstream = nowhere);
    let mut client = sandbox.client().await;
    client.send(GET).await;
    let answer = client.message("GET").await;
    is_own(&mut sandbox, &answer, 502, "upstream_connect_failed").await;
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_closes_before_its_response() {
    for part in ["", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let service = service(move |mut wire, _| async move {
            wire.head().await;
            wire.send(part).await;
        })
        .await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send(GET).await;
        let answer = client.message("GET").await;
        is_own(&mut sandbox, &answer, 502, "upstream_reset").await;
        assert_eq!(
            sandbox.proxy.counters().snapshot().upstream_connections,
            1,
            "a fresh connection is no reason to retry"
        );
        sandbox.end().await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_speak_http() {
    let switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    for response in ["SSH-2.0-OpenSSH_9.9\r\n\r\n", "HTTP/1.1 20O OK\r\n\r\n", switching] {
        let (service, _) = answering(response).await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send(GET).await;
        let answer = client.message("GET").await;
        is_own(&mut sandbox, &answer, 502, "upstream_invalid").await;
        sandbox.end().await;
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer() {
    let (gone, told) = oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let service = service(move |mut wire, _| {
        let gone = gone.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            assert!(wire.is_lost().await);
            gone.send(()).unwrap();
        }
    })
    .await;
    let mut sandbox =
        Sandbox::start_with(service, |options| options.limits.response_timeout = Some(Duration::from_millis(100)));
    let mut client = sandbox.client().await;
    client.send(GET).await;
    let answer = client.message("GET").await;
    is_own(&mut sandbox, &answer, 504, "response_timeout").await;
    told.await.expect("the connection to the service to be closed");
    sandbox.end().await;
}

#[tokio::test]
async fn an_upload_that_makes_progress_is_not_overdue() {
    let (service, _) = answering(OK).await;
    let mut sandbox =
        Sandbox::start_with(service, |options| options.limits.response_timeout = Some(Duration::from_millis(300)));
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n").await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.send("x").await;
    }
    assert_eq!(client.message("POST").await.head.status(), Some(200));
    assert_eq!(sandbox.row().await.error, None);
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_that_breaks_off_its_body() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\n";
    let sized = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart";
    for (version, response) in [("1.1", chunked), ("1.1", sized), ("1.0", chunked), ("1.0", sized)] {
        let (shown, seen) = oneshot::channel();
        let seen = std::sync::Mutex::new(Some(seen));
        let service = service(move |mut wire, _| {
            let seen = seen.lock().unwrap().take().unwrap();
            async move {
                wire.head().await;
                wire.send(response).await;
                seen.await.unwrap();
            }
        })
        .await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send(format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n")).await;
        let head = client.head().await.unwrap();
        let is_chunked = head.get("transfer-encoding").is_some();
        let part = if is_chunked { client.chunk().await } else { client.exactly(4).await };
        assert_eq!(part, b"part");
        shown.send(()).unwrap();
        let (rest, was_reset) = client.until_lost().await;
        assert_eq!(rest, b"", "neither a last chunk nor anything else");
        if !is_chunked && head.get("content-length").is_none() {
            assert!(was_reset, "an orderly end would look like the end of the body");
        }
        let row = sandbox.row().await;
        assert_eq!((row.status, row.response_bytes, row.error), (Some(200), 4, Some("upstream_reset")));
        sandbox.end().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits() {
    let (gone, told) = oneshot::channel();
    let (come, came) = oneshot::channel();
    let signals = std::sync::Mutex::new(Some((come, gone)));
    let service = service(move |mut wire, _| {
        let (come, gone) = signals.lock().unwrap().take().unwrap();
        async move {
            wire.head().await;
            come.send(()).unwrap();
            assert!(wire.is_lost().await);
            gone.send(()).unwrap();
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send(GET).await;
    came.await.unwrap();
    drop(client);
    told.await.expect("the service to be told");
    let row = sandbox.row().await;
    assert_eq!((row.status, row.ttfb_us, row.error), (None, None, Some("client_disconnect")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_the_response() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        use tokio::io::AsyncWriteExt;
        while wire.stream.write_all(&[7; 65536]).await.is_ok() {}
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send(GET).await;
    client.head().await.unwrap();
    client.discard(1_000_000).await;
    drop(client);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(200), Some("client_disconnect")));
    assert!(row.response_bytes >= 1_000_000);
    sandbox.end().await;
}

#[tokio::test]
async fn a_client_that_leaves_in_the_middle_of_its_request() {
    for head in ["Content-Length: 100\r\n\r\npart", "Transfer-Encoding: chunked\r\n\r\n4\r\npart\r\n"] {
        let (gone, told) = oneshot::channel();
        let (come, came) = oneshot::channel();
        let signals = std::sync::Mutex::new(Some((come, gone)));
        let service = service(move |mut wire, _| {
            let (come, gone) = signals.lock().unwrap().take().unwrap();
            async move {
                let head = wire.head().await.unwrap();
                let is_chunked = head.get("transfer-encoding").is_some();
                let part = if is_chunked { wire.chunk().await } else { wire.exactly(4).await };
                assert_eq!(part, b"part");
                come.send(()).unwrap();
                assert_eq!(wire.until_lost().await.0, b"", "the service must not take the part for the whole");
                gone.send(()).unwrap();
            }
        })
        .await;
        let mut sandbox = Sandbox::start(service);
        let mut client = sandbox.client().await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}")).await;
        came.await.unwrap();
        drop(client);
        told.await.unwrap();
        let row = sandbox.row().await;
        assert_eq!((row.status, row.request_bytes, row.error), (None, 4, Some("client_disconnect")));
        sandbox.end().await;
    }
}

#[tokio::test]
async fn a_request_body_that_is_malformed() {
    let service = service(|mut wire, _| async move {
        wire.head().await;
        wire.until_lost().await;
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\npart\r\nnonsense\r\n").await;
    let answer = client.message("POST").await;
    is_own(&mut sandbox, &answer, 400, "request_body_error").await;
    assert!(client.is_lost().await);
    sandbox.end().await;
}

#[tokio::test]
async fn hosts_that_are_missing_repeated_or_malformed() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    for lines in ["", "Host: a\r\nHost: a\r\n", "Host: a b\r\n", "Host:\r\n", "Host: a@b\r\n"] {
        let mut client = sandbox.client().await;
        client.send(format!("GET / HTTP/1.1\r\n{lines}\r\n")).await;
        let answer = client.message("GET").await;
        is_own(&mut sandbox, &answer, 400, "bad_host").await;
        assert!(client.is_lost().await);
    }
    assert_eq!(heard.count(), 0);
    sandbox.end().await;
}

#[tokio::test]
async fn a_tunnel() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").await;
    let answer = client.message("CONNECT").await;
    is_own(&mut sandbox, &answer, 501, "connect_unsupported").await;
    assert_eq!(heard.count(), 0);
    sandbox.end().await;
}

#[tokio::test]
async fn a_head_that_does_not_parse_makes_no_row() {
    let (service, heard) = answering(OK).await;
    let sandbox = Sandbox::start(service);
    let long_uri = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(65_600));
    let long_head = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(200_000));
    for (bytes, statuses) in [("GARBAGE\r\n\r\n", [400, 400]), (&long_uri, [414, 431]), (&long_head, [431, 431])] {
        let mut client = sandbox.client().await;
        client.send(bytes).await;
        let head = client.head().await.unwrap();
        assert!(statuses.contains(&head.status().unwrap()), "{head:?}");
        assert_eq!(head.get("x-ridealong-error"), None);
    }
    sandbox.counted(|counted| counted.heads_refused == 3).await;
    assert_eq!(heard.count(), 0);
    // Clients that come and go without a request are no requests either.
    drop(sandbox.client().await);
    let mut client = sandbox.client().await;
    client.send("GET / HT").await;
    drop(client);
    sandbox.counted(|counted| counted.connections_accepted == 5).await;
    eventually(|| sandbox.rows.ticks.load(std::sync::atomic::Ordering::Relaxed) > 2).await;
    sandbox.end().await;
}
