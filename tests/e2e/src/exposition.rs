//! Prometheus' text format, read as strictly as promtool does.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};

/// Every sample by its name with labels, as written; an error names the line that breaks a rule.
pub fn read(text: &str) -> Result<BTreeMap<String, f64>> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut kinds, mut helped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
    let (mut current, mut closed) = (String::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').with_context(|| format!("no help: {line}"))?;
            ensure!(helped.insert(name.to_owned()), "described twice: {line}");
            ensure!(help.ends_with('.'), "no sentence: {line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').with_context(|| format!("no type: {line}"))?;
            ensure!(helped.contains(name), "a type without help: {line}");
            ensure!((kind == "counter") == name.ends_with("_total"), "a counter, and no other, ends in _total: {line}");
            ensure!(kinds.insert(name.to_owned(), kind.to_owned()).is_none(), "typed twice: {line}");
            closed.insert(std::mem::replace(&mut current, name.to_owned()));
        } else {
            let (series, value) = line.rsplit_once(' ').with_context(|| format!("no value: {line}"))?;
            let name = series.split('{').next().unwrap_or(series);
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
            let family = if kinds.contains_key(name) { name } else { family };
            ensure!(kinds.contains_key(family), "a sample without a type: {line}");
            ensure!(family == current && !closed.contains(family), "a family in two places: {line}");
            ensure!(labels_are_sound(&series[name.len()..]), "labels: {line}");
            let value = value.parse().with_context(|| format!("no number: {line}"))?;
            ensure!(samples.insert(series.to_owned(), value).is_none(), "a sample twice: {line}");
        }
    }
    Ok(samples)
}

fn labels_are_sound(labels: &str) -> bool {
    if labels.is_empty() {
        return true;
    }
    let Some(inner) = labels.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else { return false };
    inner.split(',').all(|label| {
        let Some((name, value)) = label.split_once('=') else { return false };
        let is_name = name.bytes().all(|letter| letter.is_ascii_lowercase() || letter == b'_');
        is_name && !name.is_empty() && value.len() >= 2 && value.starts_with('"') && value.ends_with('"')
    })
}
