//! What a reader may rely on about the tree: each rule says why it is one.

use ridealong_tidy::{Source, root, sources};

/// Every fault at once, so that one run shows all there is to mend.
fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn faults(holds: impl Fn(&Source) -> Option<String>) -> Vec<String> {
    sources().iter().filter_map(|source| holds(source).map(|fault| format!("{}: {fault}", source.path))).collect()
}

#[test]
fn every_file_says_what_it_owns() {
    none(faults(|source| {
        let exempt = source.path.ends_with("tests.rs") || source.path.contains("/tests/");
        (!exempt && !source.text.starts_with("//!")).then(|| "does not begin with //!".into())
    }));
}

#[test]
fn files_are_small() {
    const LINES_MAX: usize = 500;
    none(faults(|source| {
        let lines = source.production_lines().count();
        (lines > LINES_MAX).then(|| format!("{lines} lines, at most {LINES_MAX}"))
    }));
}

#[test]
fn no_file_is_named_for_nothing() {
    const NOTHING: [&str; 7] = ["mod", "utils", "util", "helpers", "misc", "types", "traits"];
    none(faults(|source| {
        let name = source.path.rsplit('/').next()?.strip_suffix(".rs")?;
        NOTHING.contains(&name).then(|| "a name that does not say what is inside".into())
    }));
}

/// Each crate with a known weakness, or that would spread, is named by one place only.
#[test]
fn some_crates_are_named_in_one_place_only() {
    let places = [
        ("sled::", &["agent/src/spool/database.rs"][..]),
        ("sysinfo::", &["agent/src/host.rs"]),
        ("backoff::", &["agent/src/shipper/retry.rs"]),
        ("bincode::", &["common/src/block.rs", "common/src/frame.rs"]),
        ("reqwest::", &["agent/src/shipper.rs", "aggregator/src/command/server.rs"]),
        ("datafusion::", &["aggregator/engine/", "aggregator/lake/", "aggregator/query/", "aggregator/rollup/"]),
        ("deltalake::", &["aggregator/engine/", "aggregator/lake/", "aggregator/query/", "aggregator/rollup/"]),
        (
            "axum::",
            &["aggregator/api/", "aggregator/src/serve.rs", "agent/src/local_api", "agent/src/run.rs", "common/edge/"],
        ),
    ];
    none(faults(|source| {
        if source.is_test() || source.path.starts_with("packaging/") || source.path.contains("/examples/") {
            return None;
        }
        let named = source.production_lines().filter(|line| !line.trim_start().starts_with("//"));
        let code: Vec<&str> = named.collect();
        let strays = places.iter().filter(|(krate, allowed)| {
            let names = code.iter().any(|line| {
                line.match_indices(krate)
                    .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || before == '_'))
            });
            names && !allowed.iter().any(|place| source.path.starts_with(place))
        });
        let strays: Vec<&str> = strays.map(|(krate, _)| *krate).collect();
        (!strays.is_empty()).then(|| format!("names {}", strays.join(", ")))
    }));
}

/// `proxy → recorder → spool → shipper`: nothing waits for what lies further along the agent's way.
#[test]
fn the_agents_arrows_point_one_way() {
    let forbidden = [
        ("agent/src/proxy", &["recorder", "spool", "shipper", "local_api", "host", "config", "run", "books"][..]),
        ("agent/src/exchange", &["recorder", "spool", "shipper", "local_api", "host", "config", "run", "books"]),
        ("agent/src/recorder", &["proxy", "shipper", "local_api", "host", "config", "run"]),
        ("agent/src/spool", &["proxy", "recorder", "shipper", "local_api", "host", "config", "run"]),
        ("agent/src/shipper", &["proxy", "recorder", "local_api", "host", "config", "run"]),
        ("agent/src/host", &["proxy", "recorder", "shipper", "local_api", "config", "run"]),
    ];
    none(faults(|source| {
        if source.is_test() {
            return None;
        }
        let (_, unknown) = forbidden.iter().find(|(place, _)| source.path.starts_with(place))?;
        let named = unknown.iter().filter(|module| {
            let use_of = format!("crate::{module}");
            source.production_lines().any(|line| !line.trim_start().starts_with("//") && line.contains(&use_of))
        });
        let named: Vec<&&str> = named.collect();
        (!named.is_empty()).then(|| format!("knows of {named:?}"))
    }));
}

#[test]
fn the_top_level_is_what_it_should_be() {
    let expected = ["agent", "aggregator", "common", "packaging", "tests"];
    let entries = std::fs::read_dir(root()).expect("the root").flatten();
    let folders = entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().into_string());
    let strange: Vec<String> = folders
        .map(|name| name.expect("Unicode"))
        .filter(|name| !name.starts_with('.') && name != "target" && !expected.contains(&name.as_str()))
        .collect();
    none(strange);
}
