//! HTTP/2 on the proxy's port: requests that would become something else in HTTP/1 are refused, and floods that cost the
//! sender nothing end in a goodbye or cost us little.

use anyhow::Result;
use ridealong_e2e::http2::{self, CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, Http2, RST_STREAM};
use ridealong_e2e::http2::{WINDOW_UPDATE, block, frame, request};
use ridealong_e2e::{Agent, RawOrigin};

const NO_AGGREGATOR: &str = "http://127.0.0.1:9";
/// Streams of a flood: more than any defence lets through.
const FLOOD: u32 = 5_000;
/// Above what the agent takes at rest: far below what a flood could make it take.
const GROWTH_MIB: f64 = 60.0;

type Fields = Vec<(&'static str, &'static [u8])>;

async fn sandbox() -> Result<(RawOrigin, Agent)> {
    let origin = RawOrigin::start().await?;
    let agent = Agent::start(&origin.url(), NO_AGGREGATOR, &["--threads", "1"]).await?;
    Ok((origin, agent))
}

fn get(path: &'static [u8]) -> Fields {
    request("GET", path)
}

fn with(mut fields: Fields, more: &[(&'static str, &'static [u8])]) -> Fields {
    fields.extend(more);
    fields
}

fn without(fields: Fields, name: &str) -> Fields {
    fields.into_iter().filter(|(other, _)| *other != name).collect()
}

/// One request on a connection of its own; its end.
async fn ask(agent: &Agent, fields: &Fields, body: Option<&[u8]>) -> Result<End> {
    let mut client = Http2::connect(agent.proxy_address()).await?;
    let last = if body.is_none() { END_STREAM } else { 0 };
    client.send(frame(HEADERS, END_HEADERS | last, 1, &block(fields))).await;
    if let Some(body) = body {
        client.send(frame(DATA, END_STREAM, 1, body)).await;
    }
    client.end(1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_become_the_same_requests_in_http_1() -> Result<()> {
    let (origin, agent) = sandbox().await?;
    let mut client = Http2::connect(agent.proxy_address()).await?;
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&get(b"/one?a=b")))).await;
    assert_eq!(client.end(1).await?, End::Answered);
    let post = with(request("POST", b"/two"), &[("content-length", b"5"), ("cookie", b"a=1"), ("cookie", b"b=2")]);
    client.send(frame(HEADERS, END_HEADERS, 3, &block(&post))).await;
    client.send(frame(DATA, END_STREAM, 3, b"hello")).await;
    assert_eq!(client.end(3).await?, End::Answered);
    // A body whose length nobody told, with trailers, some of which would say something about it.
    client.send(frame(HEADERS, END_HEADERS, 5, &block(&request("POST", b"/three")))).await;
    client.send(frame(DATA, 0, 5, b"hello")).await;
    let trailers: Fields = vec![("x-sum", b"abc"), ("content-type", b"text/evil")];
    client.send(frame(HEADERS, END_HEADERS | END_STREAM, 5, &block(&trailers))).await;
    assert_eq!(client.end(5).await?, End::Answered);

    assert_eq!(origin.faults(), Vec::<String>::new());
    let heard = origin.heard();
    let shown: Vec<_> =
        heard.iter().map(|it| (it.method.as_str(), it.target.as_str(), it.message.body.len())).collect();
    assert_eq!(shown, [("GET", "/one?a=b", 0), ("POST", "/two", 5), ("POST", "/three", 5)]);
    let head = |at: usize, name| heard[at].message.head.get(name);
    assert_eq!((head(0, "host"), head(0, "transfer-encoding")), (Some("shop.test"), None));
    assert_eq!((head(1, "content-length"), head(1, "cookie")), (Some("5"), Some("a=1; b=2")));
    assert_eq!((head(2, "transfer-encoding"), head(2, "content-length")), (Some("chunked"), None));
    assert_eq!(heard[2].message.trailers, [("x-sum".to_owned(), "abc".to_owned())]);
    Ok(())
}

/// What HTTP/1 would read differently: each is refused, and whatever the service hears is one sound request at most.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_smuggle_in_http_1_is_refused() -> Result<()> {
    let (origin, agent) = sandbox().await?;
    let body: &[u8] = b"GET /smuggled HTTP/1.1\r\nHost: shop.test\r\n\r\n";
    let post = || request("POST", b"/refused");
    let get = || get(b"/refused");
    let replaced = |name, value: &'static [u8]| with(without(get(), name), &[(name, value)]);
    let refused: Vec<(&str, Fields, Option<&[u8]>)> = vec![
        ("a coding", with(post(), &[("transfer-encoding", b"chunked")]), Some(b"0\r\n\r\n")),
        ("a connection", with(get(), &[("connection", b"close")]), None),
        ("an upgrade", with(get(), &[("upgrade", b"websocket")]), None),
        ("a proxy's connection", with(get(), &[("proxy-connection", b"keep-alive")]), None),
        ("te other than trailers", with(get(), &[("te", b"gzip")]), None),
        ("a length too small", with(post(), &[("content-length", b"0")]), Some(body)),
        ("a length too large", with(post(), &[("content-length", b"1000")]), Some(body)),
        ("a length with an empty body", with(post(), &[("content-length", b"5")]), None),
        ("a length that is none", with(post(), &[("content-length", b"+5")]), Some(b"hello")),
        ("two lengths", with(post(), &[("content-length", b"5"), ("content-length", b"6")]), Some(b"hello")),
        ("a line break in a value", with(get(), &[("x-a", b"b\r\ntransfer-encoding: chunked")]), None),
        ("half a line break in a value", with(get(), &[("x-a", b"b\nx-c: d")]), None),
        ("a NUL in a value", with(get(), &[("x-a", b"b\0c")]), None),
        ("a line break in a name", with(get(), &[("x-a\r\ncontent-length", b"5")]), None),
        ("a colon in a name", with(get(), &[("x-a:b", b"c")]), None),
        ("a space in a name", with(get(), &[("content-length ", b"5")]), None),
        ("capitals in a name", with(get(), &[("X-Big", b"b")]), None),
        ("an empty name", with(get(), &[("", b"b")]), None),
        ("a line break in the path", replaced(":path", b"/refused HTTP/1.1\r\nHost: evil\r\n\r\nGET /x"), None),
        ("a space in the path", replaced(":path", b"/refused x"), None),
        ("an empty path", replaced(":path", b""), None),
        ("a path without its slash", replaced(":path", b"refused"), None),
        ("a line break in the method", replaced(":method", b"GET / HTTP/1.1\r\n\r\nGET"), None),
        ("a space in the method", replaced(":method", b"GET /x"), None),
        ("a line break in the authority", replaced(":authority", b"shop.test\r\nX: y"), None),
        ("userinfo in the authority", replaced(":authority", b"me@shop.test"), None),
        ("no path", without(get(), ":path"), None),
        ("no method", without(get(), ":method"), None),
        ("two paths", with(get(), &[(":path", b"/refused")]), None),
        (
            "a pseudo-field after fields",
            with(with(without(get(), ":path"), &[("x-a", b"b")]), &[(":path", b"/refused")]),
            None,
        ),
        ("an unknown pseudo-field", with(get(), &[(":evil", b"1")]), None),
        ("a tunnel", vec![(":method", b"CONNECT"), (":authority", b"shop.test:80")], None),
    ];
    let mut faults = Vec::new();
    for (name, fields, body) in &refused {
        let before = origin.heard().len();
        let end = ask(&agent, fields, *body).await;
        let heard = origin.heard().split_off(before);
        let whole: Vec<_> = heard.iter().filter(|heard| heard.message.complete).collect();
        // The proxy may answer 400 itself, which is an answer too: what counts is what the service heard.
        if end.is_err() || !whole.is_empty() {
            faults.push(format!("{name}: {end:?}, the service heard {whole:?}"));
        }
    }
    faults.extend(origin.faults());
    assert!(faults.is_empty(), "{} faults:\n  {}", faults.len(), faults.join("\n  "));
    assert_eq!(ask(&agent, &get(), None).await?, End::Answered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn aliases_and_sound_oddities_pass_as_what_they_are() -> Result<()> {
    let (origin, agent) = sandbox().await?;
    let alias =
        with(get(b"/alias"), &[("content_length", b"5"), ("transfer_encoding", b"chunked"), ("te", b"trailers")]);
    assert_eq!(ask(&agent, &alias, None).await?, End::Answered);
    let by_host = with(without(get(b"/host"), ":authority"), &[("host", b"shop.test")]);
    assert_eq!(ask(&agent, &by_host, None).await?, End::Answered);
    // The authority counts, as it does in a whole URL.
    let other = with(get(b"/other"), &[("host", b"evil.test")]);
    assert_eq!(ask(&agent, &other, None).await?, End::Answered);
    assert_eq!(origin.faults(), Vec::<String>::new());
    let hosts: Vec<_> = origin.heard().iter().map(|heard| heard.message.head.get("host").map(str::to_owned)).collect();
    assert_eq!(hosts, vec![Some("shop.test".to_owned()); 3]);
    Ok(())
}

/// Sends a flood, piece by piece, until the other side has had enough; whether it had.
async fn flood(client: &mut Http2, piece: impl Fn(u32) -> Vec<u8>) -> Result<bool> {
    for hundred in 0..FLOOD / 100 {
        let pieces: Vec<u8> = (0..100).flat_map(|at| piece((hundred * 100 + at) * 2 + 1)).collect();
        client.send(pieces).await;
        if client.pings().await?.is_none() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Either a goodbye, or little harm; and others are served meanwhile.
#[allow(clippy::print_stdout, reason = "a figure for whoever looks")]
async fn withstands(piece: impl Fn(u32) -> Vec<u8>) -> Result<()> {
    let (origin, mut agent) = sandbox().await?;
    assert_eq!(ask(&agent, &get(b"/first"), None).await?, End::Answered);
    let before = agent.process().resident_mib();
    let mut client = Http2::connect(agent.proxy_address()).await?;
    let had_enough = flood(&mut client, piece).await?;
    let grown = agent.process().resident_peak_mib() - before;
    let reached = origin.heard().len();
    println!("goodbye: {had_enough}; {reached} of {FLOOD} requests reached the service; {grown:.1} MiB more");
    assert!(grown < GROWTH_MIB, "{grown} MiB more");
    assert!(had_enough || reached <= FLOOD as usize + 1);
    assert_eq!(ask(&agent, &get(b"/last"), None).await?, End::Answered);
    assert_eq!(
        origin.faults().into_iter().filter(|fault| !fault.contains("does not end")).collect::<Vec<_>>(),
        [""; 0]
    );
    Ok(())
}

/// RUSTSEC-2025-0070, `MadeYouReset`: a window update of 0 makes the other side reset the stream itself.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_we_are_made_to_reset() -> Result<()> {
    withstands(|stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get(b"/flood")));
        [head, frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_reset_by_data_after_their_end() -> Result<()> {
    withstands(|stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get(b"/flood")));
        [head, frame(DATA, END_STREAM, stream, b"more")].concat()
    })
    .await
}

/// CVE-2023-44487: opened and taken back at once.
#[tokio::test(flavor = "multi_thread")]
async fn streams_that_the_client_resets_at_once() -> Result<()> {
    withstands(|stream| {
        let head = frame(HEADERS, END_HEADERS | END_STREAM, stream, &block(&get(b"/flood")));
        [head, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
    })
    .await
}

/// A head without an end (CVE-2024-27316).
#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_goes_on_for_ever() -> Result<()> {
    let (_origin, mut agent) = sandbox().await?;
    assert_eq!(ask(&agent, &get(b"/first"), None).await?, End::Answered);
    let before = agent.process().resident_mib();
    let mut client = Http2::connect(agent.proxy_address()).await?;
    client.send(frame(HEADERS, END_STREAM, 1, &block(&get(b"/long")))).await;
    let filler = "x".repeat(8_000);
    let piece = frame(CONTINUATION, 0, 1, &block(&[("x-filler", filler.as_bytes())]));
    for _ in 0..2_000 {
        client.send(&piece).await;
    }
    let end = client.end(1).await?;
    let grown = agent.process().resident_peak_mib() - before;
    assert!(matches!(end, End::Gone(_) | End::Reset(_)), "{end:?}");
    assert!(grown < GROWTH_MIB, "{grown} MiB more");
    assert_eq!(ask(&agent, &get(b"/last"), None).await?, End::Answered);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_pings_without_end() -> Result<()> {
    withstands(|_| [frame(http2::SETTINGS, 0, 0, &[]), frame(http2::PING, 0, 0, b"flooding")].concat()).await
}
