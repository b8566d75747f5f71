//! Settings that change while the agent runs: on SIGHUP, which reads file and environment again, and over its own API.
//!
//! What the API changed lies above everything else and is kept in the spool's folder as `settings.json`, an object of keys
//! and texts. An invalid configuration changes nothing; what can only change at a start is named, and waits for one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::settings::{Faults, Layered, Setting};
use tokio::sync::watch;

use crate::config::{Config, SETTINGS};
use crate::proxy::Limits;
use crate::sampling::SamplingHandle;

const FILE: &str = "settings.json";

/// Keys and texts that were set over the API.
pub type Changes = BTreeMap<String, String>;

/// Reads the configuration as written, without changes.
pub type Gather = dyn Fn() -> Result<Layered, Faults> + Send + Sync;

#[derive(Clone)]
pub struct Live {
    inner: Arc<Inner>,
}

struct Inner {
    gather: Box<Gather>,
    file: PathBuf,
    limits: watch::Sender<Limits>,
    sampling: SamplingHandle,
    /// With the changes, which lie in it as such.
    layered: Mutex<Layered>,
}

#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error(transparent)]
    Faults(#[from] Faults),
    #[error("could not keep the change in {file}")]
    Keep { file: PathBuf, source: io::Error },
}

/// The changes kept in a spool's folder. A file that cannot be read is told of, and stops nobody: a sidecar that does not
/// start takes its service along.
fn kept_changes(spool: &Path) -> Changes {
    let file = spool.join(FILE);
    let read = fs::read(&file).and_then(|text| Ok(serde_json::from_slice(&text)?));
    read.unwrap_or_else(|error| {
        if error.kind() != io::ErrorKind::NotFound {
            tracing::warn!(file = %file.display(), %error, "settings changed earlier cannot be read, and do not hold");
        }
        Changes::new()
    })
}

/// The configuration as written, with the changes that the spool's folder keeps above it.
pub fn with_changes(mut layered: Layered, spool: &Path) -> Result<(Layered, Config), Faults> {
    layered.lay_changes(SETTINGS, &kept_changes(spool));
    let config = Config::check(&layered)?;
    Ok((layered, config))
}

impl Live {
    /// `layered` is what the agent was started with.
    pub fn new(
        gather: Box<Gather>,
        layered: Layered,
        spool: &Path,
        limits: watch::Sender<Limits>,
        sampling: SamplingHandle,
    ) -> Self {
        let layered = Mutex::new(layered);
        Self { inner: Arc::new(Inner { gather, file: spool.join(FILE), limits, sampling, layered }) }
    }

    /// Every setting with its text and where it came from.
    pub fn shown(&self) -> Vec<(&'static Setting, Option<(String, String)>)> {
        let layered = self.inner.layered.lock();
        let shown = |setting: &'static Setting| {
            let mut values = layered.iter();
            values.find(|(key, ..)| *key == setting.key).map(|(_, text, origin)| (text, origin.to_string()))
        };
        SETTINGS.iter().map(|setting| (setting, shown(setting))).collect()
    }

    /// Reads file and environment again. Returns the keys whose new values wait for the next start.
    pub fn reload(&self) -> Result<Vec<&'static str>, Faults> {
        let mut present = self.inner.layered.lock();
        let mut layered = (self.inner.gather)()?;
        layered.lay_changes(SETTINGS, &present.changes());
        let config = Config::check(&layered)?;
        let is_live = |key: &str| SETTINGS.iter().any(|setting| setting.key == key && setting.live);
        let waiting = present.differing(&layered).into_iter().filter(|key| !is_live(key)).collect();
        self.apply(&config);
        present.take_live(SETTINGS, &layered);
        Ok(waiting)
    }

    /// Sets live settings; none takes a change back. All or nothing.
    pub fn change(&self, asked: &BTreeMap<&'static str, Option<String>>) -> Result<(), ChangeError> {
        let mut present = self.inner.layered.lock();
        let mut changes = present.changes();
        for (key, text) in asked {
            match text {
                Some(text) => changes.insert((*key).to_owned(), text.clone()),
                None => changes.remove(*key),
            };
        }
        let mut layered = (self.inner.gather)()?;
        layered.lay_changes(SETTINGS, &changes);
        let config = Config::check(&layered)?;
        keep(&self.inner.file, &changes)
            .map_err(|source| ChangeError::Keep { file: self.inner.file.clone(), source })?;
        self.apply(&config);
        present.take_live(SETTINGS, &layered);
        Ok(())
    }

    fn apply(&self, config: &Config) {
        self.inner.limits.send_replace(config.limits);
        self.inner.sampling.set(config.sampling);
    }
}

/// Whole or not at all, and there after a crash.
fn keep(file: &Path, changes: &Changes) -> io::Result<()> {
    let next = file.with_extension("json.next");
    let mut out = File::create(&next)?;
    out.write_all(&serde_json::to_vec_pretty(changes)?)?;
    out.sync_all()?;
    fs::rename(&next, file)?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests;
