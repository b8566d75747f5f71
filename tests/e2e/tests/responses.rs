//! What becomes of responses that are unusual, broken, early, or come before the response: the client never takes a part
//! for the whole, and no connection is used again on which something was left over.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use ridealong_e2e::wire::Message;
use ridealong_e2e::{Agent, Scripted, Wire, eventually};
use tokio::sync::Mutex;

/// Nobody listens there: rows stay in the spool.
const NO_AGGREGATOR: &str = "http://127.0.0.1:9";
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
/// Within which something that must not come would come.
const QUIET: Duration = Duration::from_millis(300);

async fn before(service: &Scripted) -> Result<Agent> {
    Agent::start(&service.url(), NO_AGGREGATOR, &["--threads", "1"]).await
}

/// One request on a connection of its own; nothing when that ends without an answer.
async fn ask(agent: &Agent, request: &str) -> Result<Option<Message>> {
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send(request).await;
    wire.response(request.split(' ').next().unwrap_or_default()).await
}

async fn whole(agent: &Agent, request: &str) -> Result<Message> {
    ask(agent, request).await?.filter(|answer| answer.complete).context("no whole answer")
}

/// The error that the proxy's own answer names.
async fn refusal(answer: &'static str) -> Result<(Option<u16>, String)> {
    let service = Scripted::always(answer).await?;
    let agent = before(&service).await?;
    let answer = ask(&agent, GET).await?.with_context(|| format!("closed after {answer:?}"))?;
    let error = answer.head.get("x-ridealong-error").unwrap_or_default().to_owned();
    Ok((answer.head.status(), error))
}

#[tokio::test(flavor = "multi_thread")]
async fn of_length_and_chunks_the_chunks_count_and_the_connection_is_not_used_again() -> Result<()> {
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let service = Scripted::always(both).await?;
    let agent = before(&service).await?;
    for number in 1..=3 {
        let answer = whole(&agent, GET).await?;
        assert_eq!((answer.head.get("content-length"), answer.body.as_slice()), (None, b"hello".as_slice()));
        assert_eq!(service.connections(), number);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_was_announced_is_never_taken_for_the_next_response() -> Result<()> {
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let service = Scripted::always(more).await?;
    let agent = before(&service).await?;
    for number in 1..=3 {
        assert_eq!(whole(&agent, GET).await?.body, b"ok");
        assert_eq!(service.connections(), number);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_service_says_unasked_on_an_idle_connection_is_no_response() -> Result<()> {
    let (said, mut heard) = tokio::sync::mpsc::channel(8);
    let service = Scripted::start(move |mut wire, number| {
        let said = said.clone();
        async move {
            wire.head().await?;
            wire.send(OK).await;
            if number == 0 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await;
                said.send(()).await?;
            }
            wire.ends().await?;
            Ok(())
        }
    })
    .await?;
    let agent = before(&service).await?;
    assert_eq!(whole(&agent, GET).await?.body, b"ok");
    heard.recv().await;
    assert_eq!(whole(&agent, GET).await?.body, b"ok");
    assert_eq!(service.connections(), 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_understood_is_a_502() -> Result<()> {
    let unsound = [
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        "HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nBroken Name: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
    ];
    for answer in unsound {
        assert_eq!(refusal(answer).await?, (Some(502), "upstream_invalid".to_owned()), "{answer:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_never_ends_cleanly() -> Result<()> {
    let broken = [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello!!\r\n0\r\n\r\n",
    ];
    for answer in broken {
        let service = Scripted::start(move |mut wire, _| async move {
            wire.head().await?;
            wire.send(answer).await;
            Ok(())
        })
        .await?;
        let agent = before(&service).await?;
        // Whatever came of the beginning: the end is missing, and shows.
        if let Some(answer_got) = ask(&agent, GET).await? {
            let is_own = answer_got.head.status() == Some(502);
            assert!(!answer_got.complete || is_own, "{answer:?} became {answer_got:?}");
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_to_the_end_of_the_connection_is_whole_with_a_fin_and_not_with_a_reset() -> Result<()> {
    for resets in [false, true] {
        let service = Scripted::start(move |mut wire, _| async move {
            wire.head().await?;
            wire.send("HTTP/1.1 200 OK\r\n\r\nhello").await;
            tokio::time::sleep(QUIET).await;
            if resets {
                wire.reset();
            }
            Ok(())
        })
        .await?;
        let agent = before(&service).await?;
        let answer = ask(&agent, GET).await?.context("no answer")?;
        assert_eq!((answer.body.as_slice(), answer.complete), (b"hello".as_slice(), !resets));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_without_a_body_leave_the_connection_usable() -> Result<()> {
    for (method, answer, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", Some("1000")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n", Some("1000")),
        // A 204 has no length (RFC 9110, 8.6): who believes in one waits for ever.
        ("GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", None),
        ("GET", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ] {
        let service = Scripted::always(answer).await?;
        let agent = before(&service).await?;
        let mut wire = Wire::connect(agent.proxy_address()).await?;
        for _ in 0..2 {
            wire.send(format!("{method} / HTTP/1.1\r\nHost: shop.test\r\n\r\n")).await;
            let got = wire.response(method).await?.with_context(|| format!("no answer for {answer:?}"))?;
            assert!(answer.contains(&got.head.status().unwrap_or(0).to_string()), "{answer:?} became {got:?}");
            assert!(length.is_none() || got.head.get("content-length") == length, "{answer:?} became {got:?}");
            if answer.contains("204") {
                let framed = got.head.get("content-length").or(got.head.get("transfer-encoding"));
                assert_eq!(framed, None, "{answer:?} became {got:?}");
            }
            assert!(wire.unread().is_empty(), "{answer:?}, then {:?}", String::from_utf8_lossy(wire.unread()));
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_after_head_is_not_the_next_response() -> Result<()> {
    let service = Scripted::always("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil").await?;
    let agent = before(&service).await?;
    let head = "HEAD / HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    for _ in 0..2 {
        assert_eq!(whole(&agent, head).await?.head.status(), Some(200));
        assert_eq!(whole(&agent, GET).await?.body, b"evil");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn interim_responses_reach_a_client_of_http_11_and_no_other() -> Result<()> {
    let interim = "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n\
                   HTTP/1.1 103 Early Hints\r\nLink: </b.css>; rel=preload\r\n\r\nHTTP/1.1 200 OK\r\n\
                   Content-Length: 2\r\n\r\nok";
    let service = Scripted::always(interim).await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    for _ in 0..2 {
        wire.send(GET).await;
        let mut got = Vec::new();
        while got.last().is_none_or(|(status, _)| *status < Some(200)) {
            let answer = wire.response("GET").await?.context("no answer")?;
            got.push((answer.head.status(), answer.head.get("link").map(str::to_owned)));
        }
        let link = |name: &str| Some(format!("</{name}.css>; rel=preload"));
        let expected = [(Some(102), None), (Some(103), link("a")), (Some(103), link("b")), (Some(200), None)];
        assert_eq!(got, expected);
    }
    let old = whole(&agent, "GET / HTTP/1.0\r\nHost: shop.test\r\n\r\n").await?;
    assert_eq!((old.head.status(), old.body.as_slice()), (Some(200), b"ok".as_slice()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_interim_responses_has_an_end() -> Result<()> {
    let service = Scripted::start(|mut wire, _| async move {
        wire.head().await?;
        let many = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(1_000);
        for _ in 0..1_000 {
            wire.send(&many).await;
        }
        wire.send(OK).await;
        Ok(())
    })
    .await?;
    let mut agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send(GET).await;
    // A client that takes all of them, or one that is told enough is enough: never one that fills our memory.
    let mut last = None;
    while let Some(answer) = wire.response("GET").await? {
        last = answer.head.status();
        if last >= Some(200) {
            break;
        }
    }
    assert!([None, Some(103), Some(200), Some(502)].contains(&last), "{last:?}");
    assert!(agent.process().resident_peak_mib() < 150.0, "{} MiB", agent.process().resident_peak_mib());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_service_says_continue() -> Result<()> {
    let (go, when) = tokio::sync::mpsc::channel::<()>(1);
    let when = Arc::new(Mutex::new(when));
    let service = Scripted::start(move |mut wire, _| {
        let when = Arc::clone(&when);
        async move {
            let head = wire.head().await?.context("no head")?;
            anyhow::ensure!(head.get("expect") == Some("100-continue"), "{head:?}");
            when.lock().await.recv().await;
            wire.send("HTTP/1.1 100 Continue\r\n\r\n").await;
            anyhow::ensure!(wire.body(head, false).await?.body == b"hello");
            wire.send(OK).await;
            wire.ends().await?;
            Ok(())
        }
    })
    .await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert!(wire.is_silent(QUIET).await, "a 100 of the proxy's own");
    go.send(()).await?;
    assert_eq!(wire.response("POST").await?.and_then(|answer| answer.head.status()), Some(100));
    wire.send("hello").await;
    assert_eq!(wire.response("POST").await?.context("no answer")?.body, b"ok");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_the_service_did_not_want_is_not_sent_nor_read_as_a_request() -> Result<()> {
    let refusing = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno";
    let service = Scripted::start(move |mut wire, number| async move {
        wire.head().await?;
        wire.send(if number == 0 { refusing } else { OK }).await;
        // Not a byte of a body comes on this connection.
        anyhow::ensure!(number > 0 || wire.ends().await?, "{:?}", String::from_utf8_lossy(wire.unread()));
        Ok(())
    })
    .await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!(wire.response("POST").await?.context("no answer")?.head.status(), Some(417));
    // Whether the client may go on here or must dial anew: what it says next is a request.
    wire.send(GET).await;
    if let Some(answer) = wire.response("GET").await? {
        assert!([Some(200), Some(400)].contains(&answer.head.status()), "{answer:?}");
    }
    assert_eq!(whole(&agent, GET).await?.body, b"ok");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_the_middle_of_an_upload_reaches_the_client() -> Result<()> {
    let service = Scripted::start(|mut wire, _| async move {
        wire.head().await?;
        wire.send("HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig").await;
        wire.finish().await;
        // Reads on for a while, as services do so that their answer is not lost.
        wire.rest().await?;
        Ok(())
    })
    .await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    wire.send("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\nbeginning").await;
    let answer = wire.response("POST").await?.context("no answer")?;
    assert_eq!((answer.head.status(), answer.body.as_slice()), (Some(413), b"big".as_slice()));
    Ok(())
}

/// RUSTSEC-2025-0037: the rest of a body that nobody read must not be the next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_half_a_body_on_it_is_not_used_again() -> Result<()> {
    let seen = Arc::new(Mutex::new(Vec::<String>::new()));
    let notes = Arc::clone(&seen);
    let service = Scripted::start(move |mut wire, number| {
        let notes = Arc::clone(&notes);
        async move {
            while let Some(head) = wire.head().await? {
                notes.lock().await.push(format!("{number} {}", head.first_line));
                wire.send(OK).await;
            }
            Ok(())
        }
    })
    .await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let length = 10 + smuggled.len();
    wire.send(format!("POST / HTTP/1.1\r\nHost: shop.test\r\nContent-Length: {length}\r\n\r\n0123456789")).await;
    assert_eq!(wire.response("POST").await?.context("no answer")?.body, b"ok");
    // Another client, while the first one's body is half-way.
    assert_eq!(whole(&agent, GET).await?.body, b"ok");
    wire.send(smuggled).await;
    wire.send("GET /next HTTP/1.1\r\nHost: shop.test\r\nConnection: close\r\n\r\n").await;
    wire.rest().await?;
    assert_eq!(whole(&agent, GET).await?.body, b"ok");
    let seen = seen.lock().await.clone();
    // The body may reach the connection that it belongs to; there it is a body, which this service takes for a request.
    let strays: Vec<_> = seen.iter().filter(|line| line.contains("/smuggled") && !line.starts_with("0 ")).collect();
    assert!(strays.is_empty(), "{seen:?}");
    let others = seen.iter().filter(|line| line.ends_with("GET / HTTP/1.1") && line.starts_with("0 ")).count();
    assert_eq!(others, 0, "another client's request on the connection with half a body: {seen:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_come_back() -> Result<()> {
    let answer = "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: a\r\nX-Sum: b\r\n\
                  Undeclared: c\r\nContent-Length: 9\r\n\r\n";
    let service = Scripted::always(answer).await?;
    let agent = before(&service).await?;
    let got = whole(&agent, "GET / HTTP/1.1\r\nHost: shop.test\r\nTE: trailers\r\n\r\n").await?;
    let named = |name: &str| -> Vec<&str> {
        let same = got.trailers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!((named("x-sum"), named("undeclared")), (vec!["a", "b"], vec!["c"]), "{got:?}");
    assert_eq!(named("content-length"), Vec::<&str>::new(), "{got:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_closes_after_each_answer_costs_no_request() -> Result<()> {
    let service = Scripted::start(|mut wire, _| async move {
        wire.head().await?;
        wire.send(OK).await;
        Ok(())
    })
    .await?;
    let agent = before(&service).await?;
    let mut wire = Wire::connect(agent.proxy_address()).await?;
    for _ in 0..200 {
        wire.send(GET).await;
        let answer = wire.response("GET").await?.context("no answer")?;
        assert_eq!((answer.head.status(), answer.body.as_slice()), (Some(200), b"ok".as_slice()), "{answer:?}");
    }
    eventually("each answer has its connection", QUIET * 10, async || (service.connections() >= 200).then_some(()))
        .await;
    Ok(())
}
