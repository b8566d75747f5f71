use std::net::SocketAddr;
use std::time::Duration;

use super::*;

const SETTINGS: &[Setting] = &[
    Setting::new("listen", "ADDR", "where to listen").default("127.0.0.1:8080"),
    Setting::new("spool-max", "SIZE", "bytes on disk").default("256MiB"),
    Setting::new("host-interval", "DURATION", "between samples").default("10s"),
    Setting::new("aggregator", "URL", "where to deliver").many(),
    Setting::new("console", "", "print events").switch(),
];

fn gather(file: Option<&str>, variables: &[(&str, &str)], flags: &[&str]) -> Result<Layered, Faults> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.toml");
    let mut line = vec!["program".to_owned()];
    if let Some(text) = file {
        std::fs::write(&path, text).expect("written");
        line.extend(["--config".to_owned(), path.display().to_string()]);
    }
    line.extend(flags.iter().map(|flag| (*flag).to_owned()));
    let matches = with_flags(Command::new("program"), SETTINGS, "TEST_").get_matches_from(line);
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Layered::gather(SETTINGS, "TEST_", &matches, variables)
}

fn value<T: FromSetting>(layered: &Layered, key: &'static str) -> T {
    Reader::new(layered).optional(key).expect("a value")
}

#[test]
fn a_flag_wins_over_the_environment_over_the_file_over_the_default() {
    let file = "listen = \"127.0.0.1:1\"\nspool_max = \"1MiB\"\nhost-interval = \"1s\"\n";
    let variables = [("TEST_LISTEN", "127.0.0.1:2"), ("TEST_SPOOL_MAX", "2MiB")];
    let layered = gather(Some(file), &variables, &["--listen", "127.0.0.1:3"]).expect("valid");
    assert_eq!(value::<SocketAddr>(&layered, "listen").port(), 3);
    assert_eq!(value::<ByteSize>(&layered, "spool-max"), ByteSize::mebibytes(2));
    assert_eq!(value::<Duration>(&layered, "host-interval"), Duration::from_secs(1));
    assert!(!value::<bool>(&layered, "console"));
    let (_, _, origin) = layered.iter().find(|(key, ..)| *key == "host-interval").expect("known");
    assert!(matches!(origin, Origin::File { line: 3, .. }), "{origin}");
}

#[test]
fn several_values_come_from_flags_a_list_or_commas() {
    let urls = |layered: Layered| Reader::new(&layered).many::<String>("aggregator");
    assert_eq!(urls(gather(None, &[], &["--aggregator", "a", "--aggregator", "b"]).expect("valid")), ["a", "b"]);
    assert_eq!(urls(gather(Some("aggregator = [\"a\", \"b\"]"), &[], &[]).expect("valid")), ["a", "b"]);
    assert_eq!(urls(gather(None, &[("TEST_AGGREGATOR", "a, b")], &[]).expect("valid")), ["a", "b"]);
}

#[test]
fn unknown_keys_are_all_named_with_their_line_and_the_nearest_key() {
    let faults = gather(Some("\nlissten = 1\n\n[spol-max]\n"), &[], &[]).expect_err("unknown keys");
    let text = faults.to_string();
    assert!(text.contains("agent.toml:2): is no setting; did you mean listen?"), "{text}");
    assert!(text.contains("agent.toml:4): is no setting; did you mean spool-max?"), "{text}");
}

#[test]
fn what_is_not_toml_and_what_is_not_there_are_faults() {
    let text = gather(Some("listen = \n"), &[], &[]).expect_err("no TOML").to_string();
    assert!(text.contains("agent.toml:1): is not TOML"), "{text}");
    let text = gather(None, &[("TEST_CONFIG", "/does/not/exist")], &[]).expect_err("no file").to_string();
    assert!(text.contains("cannot be read"), "{text}");
}

#[test]
fn every_fault_is_reported_at_once() {
    let layered = gather(None, &[("TEST_SPOOL_MAX", "many")], &["--listen", "here"]).expect("gathered");
    let mut reader = Reader::new(&layered);
    let _: Option<SocketAddr> = reader.optional("listen");
    let _: Option<ByteSize> = reader.optional("spool-max");
    let text = reader.finish().expect_err("two faults").to_string();
    assert!(text.contains("listen (flag): \"here\" must be an address"), "{text}");
    assert!(text.contains("spool-max (environment TEST_SPOOL_MAX): \"many\" must be a size"), "{text}");
}

#[test]
fn an_unknown_variable_is_kept_for_a_warning() {
    let layered = gather(None, &[("TEST_LISTENN", "1"), ("OTHER", "2")], &[]).expect("valid");
    assert_eq!(layered.unknown_variables, ["TEST_LISTENN"]);
}

#[test]
fn sizes_and_durations_read_as_people_write_them() {
    let size = |text| ByteSize::from_setting(text).map(ByteSize::bytes);
    assert_eq!(size("64KiB"), Ok(65_536));
    assert_eq!(size("1.5 MiB"), Ok(1_572_864));
    assert_eq!(size("10MB"), Ok(10_000_000));
    assert!(size("64 kilobytes").is_err() && size("-1").is_err() && size("").is_err());
    assert_eq!(Duration::from_setting("250ms"), Ok(Duration::from_millis(250)));
    assert_eq!(Duration::from_setting("15m"), Ok(Duration::from_secs(900)));
    assert!(Duration::from_setting("5").is_err() && Duration::from_setting("-5s").is_err());
}
