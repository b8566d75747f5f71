use ridealong_model::segment::{ConditionFault, SegmentCheck as _};
use serde_json::json;

use crate::derived::tests::{MINUTE_US, Sandbox, event};

fn sandbox(rules: &[(&str, &str)]) -> Sandbox {
    let sandbox = Sandbox::with_rules(rules);
    for (user, events, country) in [("a", 5, "DE"), ("b", 2, "DE"), ("c", 9, "7")] {
        for minute in 0..events {
            let value = json!({ "eventType": "x", "userId": user, "context": { "location": { "country": country } } });
            sandbox.track(&[event(value, minute * MINUTE_US)]);
        }
    }
    sandbox
}

fn segments(sandbox: &Sandbox) -> Vec<Option<String>> {
    let rows = sandbox.rows("SELECT segment FROM users ORDER BY user_id");
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row["segment"].as_str().map(str::to_owned)).collect()
}

#[test]
fn the_first_rule_that_holds_names_the_segment() {
    let rules = [
        ("big german", "event_count >= 5 AND country = 'DE'"),
        ("german", "lower(country) IN ('de', 'at')"),
        ("gone", "last_seen < now() - interval '30 days' AND session_count = 1"),
    ];
    let sandbox = sandbox(&rules);
    assert_eq!(segments(&sandbox), ["big german", "german", "gone"].map(|name| Some(name.to_owned())));
    let counted =
        sandbox.rows("SELECT segment, count(*) AS c FROM users WHERE segment LIKE '%german' GROUP BY 1 ORDER BY 1");
    assert_eq!(counted, json!([{ "segment": "big german", "c": 1 }, { "segment": "german", "c": 1 }]));
    let joined = "SELECT count(*) AS c FROM events JOIN users USING (user_id) WHERE segment = 'gone'";
    assert_eq!(sandbox.rows(joined), json!([{ "c": 9 }]));
    assert_eq!(self::sandbox(&[]).rows("SELECT count(segment) AS c FROM users"), json!([{ "c": 0 }]));
}

#[test]
fn no_rule_makes_users_unreadable() {
    let rules = [
        ("nonsense", "no such thing"),
        ("unknown", "plan = 'pro'"),
        ("itself", "segment = 'x'"),
        ("several rows", "count(*) > 1"),
        ("not boolean", "event_count"),
        ("fails on some", "10 / (event_count - 5) > 0 AND CAST(country AS INT) = 7"),
        ("always fails", "CAST('x' AS INT) = 1"),
        ("in far years", "last_seen + interval '300000 years' > now()"),
        ("true", "true"),
    ];
    let named = |name: &str| Some(name.to_owned());
    assert_eq!(segments(&sandbox(&rules)), [named("true"), named("true"), named("fails on some")]);
}

#[test]
fn a_condition_is_checked_before_it_is_kept() {
    let sandbox = Sandbox::new();
    let check = |condition: &str| sandbox.wait(sandbox.engine().check(condition));
    for condition in [
        "event_count >= 100 AND country = 'DE'",
        "cohort >= date '2026-01-01'",
        "user_id IS NOT NULL",
        "CASE WHEN page_count > 0 THEN error_count * 100 / page_count > 5 ELSE false END",
        "true",
    ] {
        assert_eq!(check(condition), Ok(()), "{condition}");
    }
    let mut wrong = Vec::new();
    for (condition, named) in [
        ("plan = 'pro'", "plan"),
        ("event_count >=", "an expression"),
        ("segment = 'x'", "segment"),
        ("users.segment = 'x'", "segment"),
        ("count(*) > 1", "count"),
        ("sum(event_count) OVER () > 1", "sum"),
        ("event_count > (SELECT 1)", "a subquery"),
        ("user_id IN (SELECT user_id FROM events)", "events"),
        ("EXISTS (SELECT 1)", "a subquery"),
        ("random() > 0.5", "random"),
        ("repeat('x', 100) = 'x'", "repeat"),
        ("event_count > $1", "$1"),
        ("event_count + 1", "int64"),
        ("country", "utf8"),
        ("true); DROP TABLE users; --", ")"),
        ("true AS x", "x"),
        ("read_parquet('/etc/passwd')", "read_parquet"),
    ] {
        let fault = check(condition).expect_err(condition).to_string();
        wrong.extend((!fault.contains(named)).then(|| format!("{condition}: {fault}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(check(&format!("user_id = '{}'", "x".repeat(5_000))), Err(ConditionFault::TooLong(5_012)));
    let deep = format!("{}true{}", "(".repeat(900), ")".repeat(900));
    assert!(check(&deep).is_err());
    let long = format!("true{}", " OR true".repeat(250));
    assert_eq!(check(&long), Ok(()));
}
