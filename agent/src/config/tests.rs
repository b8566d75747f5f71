use clap::Command;
use ridealong_common::settings::with_flags;

use super::*;
use crate::exchange::Capture;
use crate::privacy::ClientAddress;

fn check(flags: &[&str]) -> Result<Config, String> {
    let command = with_flags(Command::new("agent"), SETTINGS, PREFIX);
    let flags = ["agent", "--service", "shop", "--upstream", "http://127.0.0.1:3000"].iter().chain(flags);
    let matches = command.try_get_matches_from(flags).expect("known flags");
    let layered = Layered::gather(SETTINGS, PREFIX, &matches, std::iter::empty()).expect("no file");
    Config::check(&layered).map_err(|faults| faults.to_string())
}

#[test]
fn without_settings_every_row_is_kept_and_little_of_a_request() {
    let config = check(&[]).expect("valid");
    assert_eq!(config.sampling, Sampling::default());
    assert_eq!(config.privacy.client_address, ClientAddress::Truncated);
    assert_eq!(config.privacy.capture(), Capture { query: false, headers: vec!["user-agent"] });
    assert!(config.routes.is_empty() && config.privacy.redact.is_empty());
}

#[test]
fn lists_are_repeated_or_have_commas() {
    let flags = ["--route", "/a/{x},/b/*", "--route", "/c", "--record-query", "page, sort", "--record-headers", ""];
    let config = check(&flags).expect("valid");
    let routes: Vec<&str> = config.routes.iter().map(|route| &**route.text()).collect();
    assert_eq!(routes, ["/a/{x}", "/b/*", "/c"]);
    assert_eq!(config.privacy.record_query, ["page", "sort"]);
    assert_eq!(config.privacy.capture(), Capture { query: true, headers: vec![] });
}

#[test]
fn every_fault_is_told_with_its_key() {
    let flags = [
        "--sample",
        "1.5",
        "--slow",
        "fast",
        "--route",
        "users",
        "--redact",
        "/a*",
        "--record-headers",
        "accept,Cookie",
        "--client-address",
        "maybe",
    ];
    let faults = check(&flags).expect_err("faults");
    for key in ["sample", "slow", "route", "redact", "record-headers", "client-address"] {
        assert!(faults.contains(&format!("{key} (flag):")), "{key} in {faults}");
    }
    assert!(faults.contains("credentials") && faults.contains("Cookie"), "{faults}");
}
