//! As much YAML as uap-core's files are written in: sections of lists of flat records, one `key: 'text'` a line. Anything
//! else is an error that names the line; a test reads every file with it.

use std::borrow::Cow;

use thiserror::Error;

#[derive(Debug, Error, PartialEq, Eq)]
#[error("line {line}: {what}")]
pub struct YamlError {
    pub line: usize,
    pub what: &'static str,
}

/// One `key: text` of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub section: &'a str,
    /// The first field of its record.
    pub begins: bool,
    pub key: &'a str,
    /// None where nothing stands after the colon.
    pub text: Option<Cow<'a, str>>,
}

/// All fields of all records, in order.
pub fn fields(yaml: &str) -> impl Iterator<Item = Result<Field<'_>, YamlError>> {
    let mut section = "";
    yaml.lines().enumerate().filter_map(move |(at, line)| {
        let content = line.trim();
        if content.is_empty() || content.starts_with('#') {
            return None;
        }
        if !line.starts_with(' ') {
            section = match content.strip_suffix(':') {
                Some(name) => name,
                None => return Some(Err(YamlError { line: at + 1, what: "neither a section nor a field" })),
            };
            return None;
        }
        let (begins, content) = content.strip_prefix("- ").map_or((false, content), |rest| (true, rest));
        let field = content
            .split_once(':')
            .ok_or("no key and colon")
            .and_then(|(key, rest)| Ok(Field { section, begins, key, text: scalar(rest.trim())? }));
        Some(field.map_err(|what| YamlError { line: at + 1, what }))
    })
}

fn scalar(text: &str) -> Result<Option<Cow<'_, str>>, &'static str> {
    let quoted = |quote: char| text.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if text.is_empty() {
        Ok(None)
    } else if let Some(inner) = quoted('\'') {
        Ok(Some(if inner.contains("''") { inner.replace("''", "'").into() } else { inner.into() }))
    } else if let Some(inner) = quoted('"') {
        if inner.contains(['\\', '"']) { Err("escapes are not read") } else { Ok(Some(inner.into())) }
    } else {
        Err("the text is not quoted")
    }
}
