//! The TOML file: its keys are the settings, its faults carry their line.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Fault, Faults, Origin, Setting, nearest};

/// A setting that stands in the file: its values as text, and its line.
type Found = (&'static Setting, Vec<String>, usize);

pub(super) fn read(settings: &'static [Setting], path: &Path, text: &str) -> Result<Vec<Found>, Faults> {
    let line_of = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let fault = |key: &str, at: usize, problem: String| {
        let origin = Origin::File { path: path.into(), line: line_of(at) };
        Fault { key: key.into(), origin, problem }
    };
    let table = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        Faults(vec![fault("config", at, format!("is not TOML: {}", error.message()))])
    })?;
    let mut found = Vec::new();
    let mut faults = Vec::new();
    for (key, value) in table.get_ref() {
        let name = key.get_ref().replace('_', "-");
        let at = key.span().start;
        let Some(setting) = settings.iter().find(|setting| setting.key == name) else {
            let near = nearest(&name, settings.iter().map(|setting| setting.key));
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            faults.push(fault(key.get_ref(), at, format!("is no setting{hint}")));
            continue;
        };
        match texts(value, setting.many) {
            Some(values) => found.push((setting, values, line_of(at))),
            None => faults.push(fault(setting.key, at, "must be a text, a number or true/false".into())),
        }
    }
    if faults.is_empty() { Ok(found) } else { Err(Faults(faults)) }
}

fn texts(value: &Spanned<DeValue<'_>>, many: bool) -> Option<Vec<String>> {
    match value.get_ref() {
        DeValue::Array(items) if many => items.iter().map(|item| text(item.get_ref())).collect(),
        single => text(single).map(|text| vec![text]),
    }
}

fn text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(truth) => Some(truth.to_string()),
        _ => None,
    }
}
