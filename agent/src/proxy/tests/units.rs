//! Pieces that need no socket.

use std::collections::HashSet;

use http::{HeaderMap, HeaderValue, Request, Version};

use crate::proxy::event_ids::EventIds;
use crate::proxy::request_head::{check_target, trace_id};
use crate::proxy::stamps::Stamps;

#[test]
fn milliseconds_have_three_decimals() {
    let stamps = Stamps::new();
    let cases = [(0, "0.000ms"), (7, "0.007ms"), (12_345, "12.345ms"), (999_999_999, "999999.999ms")];
    for (elapsed_us, text) in cases {
        assert_eq!(stamps.response_time(elapsed_us), text);
    }
    assert_eq!(stamps.response_time(u64::MAX), "18446744073709551.615ms");
    assert_eq!(stamps.server_timing(12_345), "ridealong;dur=12.345");
}

#[test]
fn stamps_never_touch_each_other() {
    let stamps = Stamps::new();
    let kept: Vec<_> = (0..10_000).map(|number| (number, stamps.response_time(number))).collect();
    for (number, value) in kept {
        assert_eq!(value, format!("{}.{:03}ms", number / 1000, number % 1000));
    }
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
    let is_valid = |host: &str| {
        let request = Request::get("/").version(Version::HTTP_11).header("host", host).body(()).unwrap();
        check_target(&mut request.into_parts().0).is_ok()
    };
    for host in ["a", "a.b-c_d.example", "127.0.0.1:80", "[::1]", "[::1]:8080", "[::ffff:1.2.3.4]", "a:", "%41"] {
        assert!(is_valid(host), "{host}");
    }
    for host in ["", ":80", "a b", "a/b", "a@b", "a:b", "a:1:2", "a:123456", "[", "[]", "[::1", "[::1]x", "[g]", "a\tb"]
    {
        assert!(!is_valid(host), "{host:?}");
    }
}

#[test]
fn trace_ids() {
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    let read = |text: &str| {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", HeaderValue::from_str(text).unwrap());
        trace_id(&headers).map(str::to_owned)
    };
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
    let mut twice = HeaderMap::new();
    for parent in ["1", "2"] {
        let value = format!("00-{TRACE}-00f067aa0ba902b{parent}-01");
        twice.append("traceparent", HeaderValue::from_str(&value).unwrap());
    }
    assert_eq!(trace_id(&twice), None);
}
