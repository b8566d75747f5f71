//! Pieces that need no socket.

use std::collections::HashSet;

use crate::proxy::event_ids::EventIds;
use crate::proxy::fault::Fault;
use crate::proxy::http1::request_head::trace_id;
use crate::proxy::stamps::put_milliseconds;
use ridealong_http1::is_valid_host;

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn milliseconds_have_three_decimals() {
    for (elapsed_us, text) in [(0, "0.000"), (7, "0.007"), (12_345, "12.345"), (999_999_999, "999999.999")] {
        assert_eq!(written(|out| put_milliseconds(out, elapsed_us)), text);
    }
    assert_eq!(written(|out| put_milliseconds(out, u64::MAX)), "18446744073709551.615");
}

#[test]
fn event_ids_are_distinct_sorted_and_close() {
    let ids = EventIds::draw();
    let made: Vec<u128> = (0..1000).map(|_| ids.make(1_795_000_000_123_456).as_u128()).collect();
    assert!(made.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let id = uuid::Uuid::from_u128(made[0]);
    assert_eq!((id.get_version_num(), id.get_variant()), (7, uuid::Variant::RFC4122));
    assert_eq!(made[0] >> 80, 1_795_000_000_123);
    assert!(ids.make(1_795_000_000_124_000).as_u128() > made[999]);
    let threads: HashSet<u128> = (0..100).map(|_| EventIds::draw().make(0).as_u128()).collect();
    assert_eq!(threads.len(), 100);
}

#[test]
fn hosts() {
    let is_valid = |host: &str| is_valid_host(host.as_bytes());
    for host in ["a", "a.b-c_d.example", "127.0.0.1:80", "[::1]", "[::1]:8080", "[::ffff:1.2.3.4]", "a:", "%41"] {
        assert!(is_valid(host), "{host}");
    }
    for host in
        ["", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "a:123456", "[", "[]", "[::1", "[::1]x", "[g]", "a\tb", "a,b"]
    {
        assert!(!is_valid(host), "{host:?}");
    }
}

#[test]
fn trace_ids() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let read = |text: &str| trace_id(Some(text.as_bytes())).map(str::to_owned);
    for valid in ["00-T-00f067aa0ba902b7-01", "01-T-00f067aa0ba902b7-01", "cc-T-00f067aa0ba902b7-01-later"] {
        assert_eq!(read(&valid.replace('T', TRACE)).as_deref(), Some(TRACE), "{valid}");
    }
    let invalid = [
        "",
        "00-T-00f067aa0ba902b7",
        "00-T-00f067aa0ba902b7-1",
        "00-T-00f067aa0ba902b7-01-",
        "00-T-00f067aa0ba902b7-01-x",
        "01-T-00f067aa0ba902b7-01x",
        "ff-T-00f067aa0ba902b7-01",
        "00-T-00F067AA0BA902B7-01",
        "00-T-0000000000000000-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "0-0T-00f067aa0ba902b7-01",
    ];
    for text in invalid {
        assert_eq!(read(&text.replace('T', TRACE)), None, "{text}");
    }
    assert_eq!(trace_id(None), None);
}

/// An operator finds each error in the documentation, with the status that goes with it.
#[test]
fn every_fault_is_documented() {
    let page = include_str!("../../../PROXY.md");
    let ids: HashSet<&str> = Fault::ALL.into_iter().map(Fault::id).collect();
    assert_eq!(ids.len(), Fault::ALL.len());
    for fault in Fault::ALL {
        let is_told = matches!(fault, Fault::ClientDisconnect | Fault::ClientTimeout);
        let status = if is_told { "–".to_owned() } else { fault.status().as_u16().to_string() };
        assert!(page.contains(&format!("| `{}` | {status} |", fault.id())), "{}", fault.id());
    }
}
