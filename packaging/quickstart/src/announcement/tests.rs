use super::*;

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn both_programs_are_understood() {
    assert_eq!(addresses("ridealong-aggregator listening on http://127.0.0.1:8600\n"), [address("127.0.0.1:8600")]);
    assert_eq!(
        addresses("ridealong-agent listening on http://[::1]:8080, own API on http://127.0.0.1:8601\n"),
        [address("[::1]:8080"), address("127.0.0.1:8601")]
    );
}

#[test]
fn other_lines_hold_none() {
    assert_eq!(addresses(""), []);
    assert_eq!(addresses("warning: http://example is no address"), []);
}
