//! What HTTP asks of an intermediary beyond passing messages on: interim responses, expectations, upgrades, half-closed
//! clients, other kinds of sockets.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::UnixListener;

use super::sandbox::{OK, Sandbox, answering, loopback, service};
use super::wire::Wire;
use crate::proxy::UpstreamAddress;

#[tokio::test]
async fn interim_responses_pass_to_those_who_know_them() {
    let service = service(|mut wire, _| async move {
        while wire.head().await.is_some() {
            wire.send("HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\n")
                .await;
            wire.send("X: 1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        }
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), Some(102));
    let hints = client.head().await.unwrap();
    assert_eq!(
        (hints.status(), hints.get("link"), hints.get("x"), hints.lines.len()),
        (Some(103), Some("</a>"), None, 1)
    );
    assert_eq!(client.message("GET").await.body, b"ok");
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().status(), Some(200));
    for _ in 0..2 {
        let row = sandbox.row().await;
        assert_eq!((row.status, row.error), (Some(200), None));
    }
    sandbox.end().await;
}

/// The body that the service does not want is not sent, and the connection ends, for the client may send it still.
#[tokio::test]
async fn an_expectation_that_is_refused() {
    let (service, heard) = answering("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n").await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.message("POST").await.head.status(), Some(417));
    let refusing = super::sandbox::service(|mut wire, _| async move {
        wire.head().await;
        wire.send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n").await;
        assert!(wire.is_lost().await);
    })
    .await;
    assert_eq!(sandbox.row().await.status, Some(417));
    assert_eq!(heard.last().get("expect"), Some("100-continue"));
    sandbox.end().await;
    let mut sandbox = Sandbox::start(refusing);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n").await;
    let answer = client.message("POST").await;
    assert_eq!((answer.head.status(), answer.head.get("connection")), (Some(401), Some("close")));
    assert!(client.is_lost().await);
    let row = sandbox.row().await;
    assert_eq!((row.request_bytes, row.request_complete_us, row.error), (0, None, None));
    sandbox.end().await;
}

/// RUSTSEC-2026-0033: what a client sends behind its upgrade belongs to the tunnel only once there is one.
#[tokio::test]
async fn bytes_flow_only_after_the_switch() {
    let service = service(|mut wire, _| async move {
        let head = wire.head().await.unwrap();
        assert_eq!((head.get("connection"), head.get("upgrade")), (Some("Upgrade"), Some("echo")));
        assert!(wire.stays_silent().await, "bytes came before the switch");
        wire.send("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\nhi").await;
        assert_eq!(wire.exactly(5).await, b"early");
        assert_eq!(wire.exactly(4).await, b"late");
        wire.send("bye").await;
        wire.stream.shutdown().await.unwrap();
        assert!(wire.is_lost().await);
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("GET /echo HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c, echo\r\n\r\nearly").await;
    let head = client.head().await.unwrap();
    assert_eq!((head.status(), head.get("upgrade")), (Some(101), Some("echo")));
    assert_eq!(client.exactly(2).await, b"hi");
    client.send("late").await;
    assert_eq!(client.exactly(3).await, b"bye");
    client.stream.shutdown().await.unwrap();
    assert!(client.is_lost().await);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.request_bytes, row.response_bytes, row.error), (Some(101), 9, 5, None));
    assert!(row.duration_us > row.ttfb_us.unwrap());
    sandbox.end().await;
}

/// What follows a refused upgrade is the next request.
#[tokio::test]
async fn an_upgrade_that_is_refused() {
    let (service, heard) = answering(OK).await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client
        .send(
            "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        )
        .await;
    for path in ["/1", "/2"] {
        assert_eq!(client.message("GET").await.body, b"ok");
        assert_eq!(sandbox.row().await.path, path);
    }
    assert_eq!(heard.count(), 2);
    sandbox.end().await;
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    let (service, _) = answering(switch).await;
    let mut sandbox = Sandbox::start(service);
    for lines in ["", "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n", "Upgrade: x\r\n"] {
        let mut client = sandbox.client().await;
        client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).await;
        assert_eq!(client.message("GET").await.head.get("x-ridealong-error"), Some("upstream_invalid"));
        assert_eq!(sandbox.row().await.error, Some("upstream_invalid"));
    }
    sandbox.end().await;
}

#[tokio::test]
async fn connect_where_it_is_allowed() {
    let service = service(|mut wire, _| async move {
        assert_eq!(wire.head().await.unwrap().first_line, "CONNECT a:1 HTTP/1.1");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n").await;
        assert_eq!(wire.exactly(2).await, b"hi");
        wire.send("ho").await;
    })
    .await;
    let mut sandbox = Sandbox::start_with(service, |options| options.allow_connect = true);
    let mut client = sandbox.client().await;
    client.send("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").await;
    assert_eq!(client.head().await.unwrap().get("content-length"), None);
    client.send("hi").await;
    assert_eq!(client.exactly(2).await, b"ho");
    client.stream.shutdown().await.unwrap();
    let row = sandbox.row().await;
    assert_eq!(
        (row.method.as_str(), row.path.as_str(), row.request_bytes, row.response_bytes),
        ("CONNECT", "a:1", 2, 2)
    );
    sandbox.end().await;
}

/// A service that answers after a moment.
async fn thoughtful() -> SocketAddr {
    service(|mut wire, _| async move {
        wire.head().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        wire.send(OK).await;
        wire.head().await;
    })
    .await
}

#[tokio::test]
async fn a_half_closed_client_is_answered() {
    let mut sandbox = Sandbox::start(thoughtful().await);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    client.stream.shutdown().await.unwrap();
    let answer = client.message("GET").await;
    assert_eq!((answer.head.get("connection"), &answer.body[..]), (Some("close"), &b"ok"[..]));
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(200), None));
    sandbox.end().await;
}

/// It looked the same while the service worked; its host says so when the response comes.
#[tokio::test]
async fn a_client_that_was_gone_when_the_response_came() {
    let mut sandbox = Sandbox::start(thoughtful().await);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    drop(client);
    let row = sandbox.row().await;
    assert_eq!((row.status, row.error), (Some(200), Some("client_disconnect")));
    sandbox.end().await;
}

#[tokio::test]
async fn a_service_on_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("service.sock");
    let upstream = UpstreamAddress::Unix { path: path.clone() };
    let mut sandbox = Sandbox::start_with(loopback(), |options| options.upstream = upstream);
    let mut client = sandbox.client().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(client.message("GET").await.head.get("x-ridealong-error"), Some("upstream_connect_refused"));
    sandbox.row().await;
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        for _ in 0..2 {
            let mut head = [0; 1024];
            tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap();
            stream.write_all(OK.as_bytes()).await.unwrap();
        }
    });
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
        assert_eq!(client.message("GET").await.body, b"ok");
        assert_eq!(sandbox.row().await.error, None);
    }
    sandbox.end().await;
}

#[tokio::test]
async fn six_marks_in_their_order() {
    let service = service(|mut wire: Wire, _| async move {
        wire.head().await;
        assert_eq!(wire.exactly(2).await, b"hi");
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.send("ok").await;
        wire.head().await;
    })
    .await;
    let mut sandbox = Sandbox::start(service);
    let mut client = sandbox.client().await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nDNT: 1\r\nSec-GPC: 1\r\n\r\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    client.send("hi").await;
    assert_eq!(client.message("POST").await.body, b"ok");
    let row = sandbox.row().await;
    let marks = [
        row.upstream_connected_us.unwrap(),
        row.request_complete_us.unwrap(),
        row.ttfb_us.unwrap(),
        row.response_complete_us.unwrap(),
        row.duration_us,
    ];
    assert!(marks.is_sorted() && marks[1] >= marks[0] + 15_000, "{marks:?}");
    assert!(marks[2] >= marks[1] + 20_000 && marks[3] >= marks[2] + 15_000, "{marks:?}");
    // The waiting was none of ours.
    assert!(row.overhead_us.unwrap() < 15_000, "{row:?}");
    assert_eq!((row.do_not_track, row.global_privacy_control), (Some(true), Some(true)));
    assert!(row.client.unwrap().is_loopback());
    sandbox.end().await;
}
