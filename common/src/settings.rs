//! How both programs are configured: one list of settings, four places a value can come from.
//!
//! Every setting is a TOML key, a flag and an environment variable; the later of default < file < environment < flag
//! wins. [`Layered`] is the configuration as written (texts, each with where it came from); a program turns it into its
//! checked configuration through [`Reader`], which collects every fault instead of stopping at the first. An unknown key
//! or flag stops the start, an unknown environment variable of ours warns. Nothing else reads the environment.

mod file;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

pub use value::{ByteSize, FromSetting, List};

/// One setting. `key` is the TOML key and the flag; the environment variable is the program's prefix and the key in
/// capitals with underscores.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    pub key: &'static str,
    pub default: Option<&'static str>,
    /// What stands for the value in `--help`.
    pub value_name: &'static str,
    pub help: &'static str,
    /// May be given several times (a flag repeated, a TOML array, commas in the environment).
    pub many: bool,
    /// Takes no value on the command line.
    pub switch: bool,
    /// May change while the program runs.
    pub live: bool,
}

impl Setting {
    pub const fn new(key: &'static str, value_name: &'static str, help: &'static str) -> Self {
        Self { key, default: None, value_name, help, many: false, switch: false, live: false }
    }

    pub const fn default(mut self, text: &'static str) -> Self {
        self.default = Some(text);
        self
    }

    pub const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    pub const fn switch(mut self) -> Self {
        self.switch = true;
        self.default = Some("false");
        self
    }

    pub const fn live(mut self) -> Self {
        self.live = true;
        self
    }

    fn variable(&self, prefix: &str) -> String {
        format!("{prefix}{}", self.key.to_ascii_uppercase().replace('-', "_"))
    }
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Default,
    File {
        path: PathBuf,
        line: usize,
    },
    Environment {
        variable: String,
    },
    Flag,
    /// Set over the program's own API while it ran.
    Changed,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => out.write_str("default"),
            Origin::File { path, line } => write!(out, "{}:{line}", path.display()),
            Origin::Environment { variable } => write!(out, "environment {variable}"),
            Origin::Flag => out.write_str("flag"),
            Origin::Changed => out.write_str("changed while running"),
        }
    }
}

/// One thing that is wrong with the configuration, said so that it can be mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub key: String,
    pub origin: Origin,
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} ({}): {}", self.key, self.origin, self.problem)
    }
}

/// All that is wrong, at once.
#[derive(Debug, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "the configuration has {} fault(s):", self.0.len())?;
        self.0.iter().try_for_each(|fault| writeln!(out, "  {fault}"))
    }
}

/// Adds a flag for each setting, and `--config`.
pub fn with_flags(command: Command, settings: &[Setting], prefix: &str) -> Command {
    let config = Arg::new("config").long("config").value_name("FILE").help("TOML file with the settings below as keys");
    settings.iter().fold(command.arg(config), |command, setting| command.arg(flag(setting, prefix)))
}

fn flag(setting: &Setting, prefix: &str) -> Arg {
    let default = setting.default.filter(|_| !setting.switch).map(|text| format!(" [default: {text}]"));
    let live = if setting.live { " [live]" } else { "" };
    let help = format!("{}{}{live} [env: {}]", setting.help, default.unwrap_or_default(), setting.variable(prefix));
    let action = match (setting.switch, setting.many) {
        (true, _) => ArgAction::SetTrue,
        (_, true) => ArgAction::Append,
        _ => ArgAction::Set,
    };
    Arg::new(setting.key).long(setting.key).value_name(setting.value_name).help(help).action(action)
}

/// The configuration as written.
#[derive(Clone, Debug)]
pub struct Layered {
    values: BTreeMap<&'static str, (Vec<String>, Origin)>,
    /// Environment variables that look like ours and are not.
    pub unknown_variables: Vec<String>,
}

impl Layered {
    /// Lays flags over environment over file over defaults.
    pub fn gather(
        settings: &'static [Setting],
        prefix: &str,
        flags: &ArgMatches,
        environment: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Faults> {
        let defaults = settings
            .iter()
            .filter_map(|setting| setting.default.map(|text| (setting.key, (vec![text.to_owned()], Origin::Default))));
        let mut layered = Self { values: defaults.collect(), unknown_variables: Vec::new() };
        let environment: BTreeMap<String, String> = environment.filter(|(name, _)| name.starts_with(prefix)).collect();
        let named = flags.get_one::<String>("config").or_else(|| environment.get(&format!("{prefix}CONFIG")));
        if let Some(path) = named {
            layered.lay_file(settings, Path::new(path))?;
        }
        layered.lay_environment(settings, prefix, environment);
        layered.lay_flags(settings, flags);
        Ok(layered)
    }

    fn lay_file(&mut self, settings: &'static [Setting], path: &Path) -> Result<(), Faults> {
        let fault = |problem: String| {
            Faults(vec![Fault { key: "config".into(), origin: Origin::File { path: path.into(), line: 0 }, problem }])
        };
        let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
        for (setting, values, line) in file::read(settings, path, &text)? {
            self.values.insert(setting.key, (values, Origin::File { path: path.into(), line }));
        }
        Ok(())
    }

    fn lay_environment(
        &mut self,
        settings: &'static [Setting],
        prefix: &str,
        mut environment: BTreeMap<String, String>,
    ) {
        environment.remove(&format!("{prefix}CONFIG"));
        for setting in settings {
            let variable = setting.variable(prefix);
            if let Some(text) = environment.remove(&variable) {
                let values = match setting.many {
                    true => text.split(',').map(|part| part.trim().to_owned()).collect(),
                    false => vec![text],
                };
                self.values.insert(setting.key, (values, Origin::Environment { variable }));
            }
        }
        self.unknown_variables = environment.into_keys().collect();
    }

    fn lay_flags(&mut self, settings: &'static [Setting], flags: &ArgMatches) {
        for setting in settings {
            if flags.value_source(setting.key) != Some(ValueSource::CommandLine) {
                continue;
            }
            let values = match setting.switch {
                true => vec!["true".to_owned()],
                false => flags.get_many::<String>(setting.key).into_iter().flatten().cloned().collect(),
            };
            self.values.insert(setting.key, (values, Origin::Flag));
        }
    }

    /// Lays above everything else what was changed while the program ran.
    pub fn lay_changes(&mut self, settings: &'static [Setting], changes: &BTreeMap<String, String>) {
        for setting in settings.iter().filter(|setting| setting.live) {
            if let Some(text) = changes.get(setting.key) {
                self.values.insert(setting.key, (vec![text.clone()], Origin::Changed));
            }
        }
    }

    /// What was changed while the program ran.
    pub fn changes(&self) -> BTreeMap<String, String> {
        let changed = self.values.iter().filter(|(_, (_, origin))| *origin == Origin::Changed);
        changed.filter_map(|(key, (values, _))| Some(((*key).to_owned(), values.last()?.clone()))).collect()
    }

    /// Takes over the values of what may change while the program runs.
    pub fn take_live(&mut self, settings: &'static [Setting], other: &Self) {
        for setting in settings.iter().filter(|setting| setting.live) {
            match other.values.get(setting.key) {
                Some(value) => self.values.insert(setting.key, value.clone()),
                None => self.values.remove(setting.key),
            };
        }
    }

    /// The keys whose values differ.
    pub fn differing(&self, other: &Self) -> Vec<&'static str> {
        let keys: BTreeSet<&'static str> = self.values.keys().chain(other.values.keys()).copied().collect();
        let text = |layered: &Self, key: &'static str| layered.values.get(key).map(|(values, _)| values.clone());
        keys.into_iter().filter(|key| text(self, key) != text(other, key)).collect()
    }

    /// Each setting that has a value, with the value and where it came from, for `config`.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, String, &Origin)> {
        self.values.iter().map(|(key, (values, origin))| (*key, values.join(","), origin))
    }
}

/// The process's environment, as [`Layered::gather`] takes it; what is not Unicode is no setting of ours.
#[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Turns texts into values and collects the faults.
#[derive(Debug)]
pub struct Reader<'a> {
    layered: &'a Layered,
    faults: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub fn new(layered: &'a Layered) -> Self {
        Self { layered, faults: Vec::new() }
    }

    /// A setting that must have a value. A fault stands in with `T::default()`, and [`Self::finish`] reports it.
    pub fn required<T: FromSetting + Default>(&mut self, key: &'static str) -> T {
        if !self.layered.values.contains_key(key) {
            self.fault(key, format!("is missing: give --{key}, or {key} in the file"));
            return T::default();
        }
        self.optional(key).unwrap_or_default()
    }

    pub fn optional<T: FromSetting>(&mut self, key: &'static str) -> Option<T> {
        let (values, _) = self.layered.values.get(key)?;
        let text = values.last()?.clone();
        self.parsed(key, &text)
    }

    pub fn many<T: FromSetting>(&mut self, key: &'static str) -> Vec<T> {
        let texts = self.layered.values.get(key).map(|(values, _)| values.clone()).unwrap_or_default();
        texts.iter().filter_map(|text| self.parsed(key, text)).collect()
    }

    /// Notes that a value, though well formed, cannot be used.
    pub fn fault(&mut self, key: &'static str, problem: impl Into<String>) {
        let origin = self.layered.values.get(key).map_or(Origin::Default, |(_, origin)| origin.clone());
        self.faults.push(Fault { key: key.into(), origin, problem: problem.into() });
    }

    pub fn finish(self) -> Result<(), Faults> {
        if self.faults.is_empty() { Ok(()) } else { Err(Faults(self.faults)) }
    }

    fn parsed<T: FromSetting>(&mut self, key: &'static str, text: &str) -> Option<T> {
        match T::from_setting(text) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.fault(key, format!("{text:?} {problem}"));
                None
            }
        }
    }
}

/// The setting that a key of JSON names: as a flag, in camelCase or in snake_case. If there is none, the nearest key.
pub fn by_json_key(settings: &'static [Setting], key: &str) -> Result<&'static Setting, Option<&'static str>> {
    let mut flag = String::with_capacity(key.len() + 4);
    for letter in key.chars() {
        match letter {
            '_' => flag.push('-'),
            'A'..='Z' => flag.extend(['-', letter.to_ascii_lowercase()]),
            _ => flag.push(letter),
        }
    }
    let found = settings.iter().find(|setting| setting.key == flag);
    found.ok_or_else(|| nearest(&flag, settings.iter().map(|setting| setting.key)))
}

/// The valid name nearest to a mistyped one.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let near = known.map(|key| (strsim::damerau_levenshtein(name, key), key)).min();
    near.filter(|(distance, _)| *distance <= 1 + name.len() / 3).map(|(_, key)| key)
}

#[cfg(test)]
mod tests;
