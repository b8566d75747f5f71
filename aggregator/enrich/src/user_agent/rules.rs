//! The rules as `regexes.yaml` gives them.

use std::borrow::Cow;

use thiserror::Error;

use super::yaml::{Field, YamlError, fields};

/// What a rule answers: up to five texts, of a browser or a system family and versions, of a device family, brand, model.
pub(super) const PARTS: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Browser,
    System,
    Device,
}

#[derive(Debug, Default)]
pub(super) struct Rules {
    pub browsers: Vec<Rule>,
    pub systems: Vec<Rule>,
    pub devices: Vec<Rule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rule {
    pub expression: Cow<'static, str>,
    pub ignores_case: bool,
    /// What stands for each part, with `$1` … for groups; without it the group of `Kind::group`.
    pub replacements: [Option<Cow<'static, str>>; PARTS],
}

#[derive(Debug, Error, PartialEq)]
pub(super) enum RulesError {
    #[error(transparent)]
    Yaml(#[from] YamlError),
    #[error("{section}.{key} is unknown")]
    Unknown { section: String, key: String },
    #[error("{section} has a {key} before its first regex")]
    NoRule { section: String, key: String },
}

impl Kind {
    /// The group that is the part where the rule has no replacement for it; 0 where there is no such.
    pub const fn group(self, part: usize) -> usize {
        match (self, part) {
            (Kind::Device, 0 | 2) => 1,
            (Kind::Device, _) => 0,
            (_, part) => part + 1,
        }
    }

    /// Shorter texts that a rule needs are no help in finding it.
    pub const fn needed_bytes_min(self) -> usize {
        match self {
            Kind::Device => 2,
            _ => 3,
        }
    }
}

impl Rules {
    pub fn read(yaml: &'static str) -> Result<Self, RulesError> {
        let mut rules = Self::default();
        for field in fields(yaml) {
            rules.take(field?)?;
        }
        Ok(rules)
    }

    fn take(&mut self, field: Field<'static>) -> Result<(), RulesError> {
        let Field { section, key, text, .. } = field;
        let unknown = || RulesError::Unknown { section: section.to_owned(), key: key.to_owned() };
        let (list, names) = match section {
            "user_agent_parsers" => (&mut self.browsers, BROWSER_KEYS),
            "os_parsers" => (&mut self.systems, SYSTEM_KEYS),
            "device_parsers" => (&mut self.devices, DEVICE_KEYS),
            _ => return Err(unknown()),
        };
        if key == "regex" {
            list.push(Rule { expression: text.unwrap_or_default(), ..Rule::default() });
            return Ok(());
        }
        let no_rule = || RulesError::NoRule { section: section.to_owned(), key: key.to_owned() };
        let rule = list.last_mut().ok_or_else(no_rule)?;
        if key == "regex_flag" && text.as_deref() == Some("i") {
            rule.ignores_case = true;
            return Ok(());
        }
        let part = names.iter().position(|name| *name == key).ok_or_else(unknown)?;
        rule.replacements[part] = text.filter(|text| !text.trim().is_empty());
        Ok(())
    }
}

const BROWSER_KEYS: &[&str] =
    &["family_replacement", "v1_replacement", "v2_replacement", "v3_replacement", "v4_replacement"];
const SYSTEM_KEYS: &[&str] =
    &["os_replacement", "os_v1_replacement", "os_v2_replacement", "os_v3_replacement", "os_v4_replacement"];
const DEVICE_KEYS: &[&str] = &["device_replacement", "brand_replacement", "model_replacement"];
