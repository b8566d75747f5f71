use std::borrow::Cow;
use std::path::PathBuf;

use super::rules::Rules;
use super::set::RuleSet;
use super::yaml::fields;
use super::*;

/// Where real data lies beside the repository, or as `$RIDEALONG_TEST_DATA` says.
pub(crate) fn data(name: &str) -> Option<String> {
    // Tests run in their package's folder.
    let beside = || PathBuf::from("../../../shared/data");
    let folder = std::env::var_os("RIDEALONG_TEST_DATA").map_or_else(beside, PathBuf::from);
    std::fs::read_to_string(folder.join(name)).ok()
}

#[derive(Debug, Default)]
struct Case<'a> {
    user_agent: Cow<'a, str>,
    expected: Vec<(&'a str, Option<Cow<'a, str>>)>,
}

fn cases(yaml: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for field in fields(yaml) {
        let field = field.expect("a field");
        match field.key {
            "user_agent_string" => {
                cases.push(Case { user_agent: field.text.expect("a user agent"), expected: Vec::new() });
            }
            key => cases.last_mut().expect("a case").expected.push((key, field.text)),
        }
    }
    cases
}

/// Compares the cases of one file; the number of cases.
fn compared(name: &str, answer: impl Fn(&str, &str) -> Option<String>) -> usize {
    let Some(yaml) = data(name) else {
        eprintln!("NOT RUN: {name} lies neither in ../shared/data nor in $RIDEALONG_TEST_DATA");
        return 0;
    };
    let cases = cases(&yaml);
    let mut wrong = Vec::new();
    for case in &cases {
        for (key, expected) in &case.expected {
            let expected = expected.as_deref().filter(|text| !text.is_empty());
            let found = answer(&case.user_agent, key);
            if found.as_deref() != expected {
                wrong.push(format!("{key} of {:?}: {found:?} instead of {expected:?}", case.user_agent));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), cases.len(), wrong[..wrong.len().min(20)].join("\n"));
    cases.len()
}

fn of_product(product: Product, key: &str) -> Option<String> {
    match key {
        "family" => Some(product.family),
        "major" => product.major,
        "minor" => product.minor,
        "patch" => product.patch,
        "patch_minor" => product.patch_minor,
        other => panic!("unknown key {other}"),
    }
}

#[test]
fn all_of_uap_cores_cases_are_answered_as_it_answers_them() {
    let agents = UserAgents::default();
    let browsers = compared("ua-parser/test_ua.yaml", |text, key| of_product(agents.browser(text), key));
    let systems = compared("ua-parser/test_os.yaml", |text, key| of_product(agents.system(text), key));
    let devices = compared("ua-parser/test_device.yaml", |text, key| {
        let device = agents.device(text);
        match key {
            "family" => Some(device.family),
            "brand" => device.brand,
            "model" => device.model,
            other => panic!("unknown key {other}"),
        }
    });
    let all = browsers + systems + devices;
    assert!(all == 0 || all == 18_213, "{all} cases");
    eprintln!("{all} cases compared, {} expressions compiled", agents.compiled());
}

#[test]
fn every_rule_is_read_and_compiles() {
    let rules = Rules::read(REGEXES).expect("the file is read");
    assert_eq!((rules.browsers.len(), rules.systems.len(), rules.devices.len()), (433, 204, 633));
    for rules in [rules.browsers, rules.systems, rules.devices] {
        for rule in &rules {
            set::compiled(rule);
        }
    }
}

#[test]
fn nothing_is_compiled_before_it_is_needed() {
    let agents = UserAgents::default();
    assert_eq!(agents.compiled(), 0);
    let browser = agents.browser("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
    assert_eq!((browser.family.as_str(), browser.major.as_deref()), ("Firefox", Some("140")));
    assert!((1..60).contains(&agents.compiled()), "{}", agents.compiled());
}

#[test]
fn what_nothing_knows_is_other() {
    let agents = UserAgents::default();
    let long = "ä".repeat(10_000);
    for text in ["", " ", "\u{0}\u{fffd}", "ä", long.as_str()] {
        assert_eq!(agents.browser(text), Product { family: OTHER.into(), ..Product::default() }, "{text}");
        assert_eq!(agents.system(text).family, OTHER);
        assert_eq!(agents.device(text).family, OTHER);
    }
}

#[test]
fn templates_take_groups_and_empty_ones_are_none() {
    let yaml =
        "os_parsers:\n  - regex: '(Foo)(?:/(\\d)|)(x|)'\n    os_replacement: '$1 OS$3 '\n    os_v2_replacement: '$3'\n";
    let rules = Rules::read(yaml).expect("rules");
    let set = RuleSet::new(Kind::System, rules.systems);
    let answer = set.answer("a Foo/7 b").expect("an answer");
    assert_eq!(answer, [Some("Foo OS".into()), Some("7".into()), None, None, None]);
    assert_eq!(set.answer("a fo/7"), None);
}

#[test]
fn a_file_that_is_not_understood_is_an_error_with_its_line() {
    let error = Rules::read("os_parsers:\n  - regex: 'a'\n    os_replacement: plain\n").expect_err("an error");
    assert_eq!(error.to_string(), "line 3: the text is not quoted");
    let error = Rules::read("os_parsers:\n  - regex: 'a'\n    colour: 'red'\n").expect_err("an error");
    assert_eq!(error.to_string(), "os_parsers.colour is unknown");
    assert!(Rules::read("os_parsers:\n    os_replacement: 'a'\n").is_err());
}
