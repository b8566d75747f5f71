//! The description against the code: the types of errors, examples, references; and that it is OpenAPI at all.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ridealong_edge::events::{Taken, batch_answer, single_answer};
use serde_json::{Value, json};

use super::problems::all;
use super::shapes::{BatchAnswer, TrackAnswer};
use crate::openapi;

fn document() -> Value {
    serde_json::from_str(&openapi()).expect("JSON")
}

fn operations(document: &Value) -> Vec<(String, &Value)> {
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            found.push((format!("{method} {path}"), operation));
        }
    }
    found
}

#[test]
fn every_operation_says_what_it_is() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let tags = document["tags"].as_array().expect("tags").iter();
    let tags: BTreeSet<&str> = tags.filter_map(|tag| tag["name"].as_str()).collect();
    let mut ids = BTreeSet::new();
    let operations = operations(&document);
    assert!(operations.len() > 20, "{}", operations.len());
    for (name, operation) in operations {
        let id = operation["operationId"].as_str().unwrap_or_default();
        assert!(!id.is_empty() && ids.insert(id.to_owned()), "{name}: operationId {id:?} is empty or stands twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}: no summary");
        let tag = operation["tags"][0].as_str().unwrap_or_default();
        assert!(tags.contains(tag), "{name}: tag {tag:?}");
        let responses = operation["responses"].as_object().expect("responses");
        assert!(responses.keys().any(|status| status.starts_with('2') || status == "101"), "{name}: no success");
        assert!(responses.contains_key("403") && responses.contains_key("500"), "{name}: without Fails");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let optional = parameter["required"] != true;
            let types = parameter["schema"].get("type").map(Value::to_string).unwrap_or_default();
            assert!(!optional || !types.contains("null"), "{name}: {parameter}: a URL has no null");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn walk<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|value| walk(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut references = Vec::new();
    walk(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference within the document");
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

/// The types that the sources of API and edge name are those that are described, and no others are.
#[test]
fn every_type_of_error_is_described() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for folder in ["src", "../../common/edge/src"] {
        read(&here.join(folder), &mut text);
    }
    let described: BTreeSet<&str> = all().into_iter().map(|(_, id, _)| id).collect();
    let mut named = BTreeSet::new();
    let compact: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for (call, skipped) in [("Failure::new(", 1), ("Failure::unavailable(", 0), ("Self::new(503, id", usize::MAX)] {
        for at in compact.match_indices(call).map(|(at, _)| at + call.len()) {
            let arguments = compact[at..].split(',').nth(skipped).unwrap_or_default().trim();
            let id = arguments.strip_prefix('"').and_then(|rest| rest.split('"').next());
            named.extend(id.map(str::to_owned));
        }
    }
    assert!(named.len() > 20, "{named:?}");
    // Of paths that are not served, so of no operation.
    let general = ["no-such-path", "no-such-method"];
    let missing: Vec<&String> = named.iter().filter(|id| !described.contains(id.as_str())).collect();
    let missing: Vec<&&String> = missing.iter().filter(|id| !general.contains(&id.as_str())).collect();
    assert!(missing.is_empty(), "named by no part in description/problems.rs: {missing:?}");
    let unused: Vec<&&str> = described.iter().filter(|id| !named.contains(**id)).collect();
    assert!(unused.is_empty(), "described and never answered: {unused:?}");
}

fn read(folder: &Path, text: &mut String) {
    for path in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if path.is_dir() {
            read(&path, text);
        } else if !path.ends_with("tests.rs") {
            text.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

/// A path that is added past the description would be served and not described.
#[test]
fn the_router_takes_described_handlers_only() {
    let router = include_str!("../router.rs");
    for stray in [".route(", ".nest_service(", ".route_service(", ".merge(", "axum::routing"] {
        assert!(!router.contains(stray), "{stray}: use routes!(), so that the path is described");
    }
}

#[test]
fn the_shapes_that_are_not_ours_are_what_is_written() {
    let taken = |fault: Option<&str>| {
        let (event_id, status) = ("00000000-0000-0000-0000-000000000000".to_owned(), "stored");
        Ok(Taken { event_id, status, fault: fault.map(str::to_owned) })
    };
    for fault in [None, Some("too long")] {
        let answer = single_answer(taken(fault)).expect("an answer");
        serde_json::from_value::<TrackAnswer>(answer).expect("as described");
    }
    let answer = batch_answer(vec![taken(None), taken(Some("too long")), Err("no event".into())]);
    serde_json::from_value::<BatchAnswer>(answer).expect("as described");
}

#[test]
fn examples_of_bodies_are_taken_by_what_reads_them() {
    let document = document();
    let example = |name: &str| document["components"]["schemas"][name]["example"].clone();
    serde_json::from_value::<crate::query::QueryBody>(example("QueryBody")).expect("a query");
    serde_json::from_value::<crate::mutations::Asked>(example("MutationAsked")).expect("a mutation");
    serde_json::from_value::<crate::quarantine::Replay>(example("ReplayAsked")).expect("a replay");
    serde_json::from_value::<crate::quarantine::Change>(example("QuarantineChange")).expect("a change");
    assert_ne!(example("Event"), json!(null));
}
