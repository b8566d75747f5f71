//! Changes are applied whole, kept, and taken back.

use std::sync::Arc;

use parking_lot::Mutex;
use ridealong_common::settings::with_flags;
use tempfile::TempDir;

use super::*;
use crate::config::PREFIX;

struct Sandbox {
    folder: TempDir,
    file: Arc<Mutex<String>>,
    live: Live,
    limits: watch::Receiver<Limits>,
    sampling: SamplingHandle,
}

fn layered(folder: &Path, text: &str) -> Result<Layered, Faults> {
    let file = folder.join("agent.toml");
    fs::write(&file, format!("service = 'shop'\nupstream = 'http://a'\nspool = '{}'\n{text}", folder.display()))
        .unwrap();
    let command = with_flags(clap::Command::new("test"), SETTINGS, PREFIX);
    let flags = command.get_matches_from(["test", "--config", file.to_str().unwrap()]);
    Layered::gather(SETTINGS, PREFIX, &flags, std::iter::empty())
}

fn start(text: &str) -> Sandbox {
    let folder = tempfile::tempdir().unwrap();
    let file = Arc::new(Mutex::new(text.to_owned()));
    let (written, config) = with_changes(layered(folder.path(), text).unwrap(), folder.path()).unwrap();
    let (limits, received) = watch::channel(config.limits);
    let sampling = SamplingHandle::new(config.sampling);
    let gather = {
        let (folder, file) = (folder.path().to_owned(), Arc::clone(&file));
        Box::new(move || layered(&folder, &file.lock()))
    };
    let live = Live::new(gather, written, folder.path(), limits, sampling.clone());
    Sandbox { folder, file, live, limits: received, sampling }
}

fn value(live: &Live, key: &str) -> (String, String) {
    live.shown().into_iter().find(|(setting, _)| setting.key == key).unwrap().1.unwrap()
}

#[test]
fn a_reload_changes_what_may_change_and_names_the_rest() {
    let sandbox = start("sample = 0.5");
    assert_eq!(sandbox.sampling.get().rate, 0.5);
    *sandbox.file.lock() = "sample = 0.25\nlisten = '127.0.0.1:9'\nrequests-max = 7".into();
    assert_eq!(sandbox.live.reload().unwrap(), ["listen"]);
    assert_eq!((sandbox.sampling.get().rate, sandbox.limits.borrow().requests_max), (0.25, 7));
    assert_eq!(value(&sandbox.live, "listen").0, "127.0.0.1:8080", "it still listens where it did");

    *sandbox.file.lock() = "sample = 7\nrequests-max = 8".into();
    assert!(sandbox.live.reload().unwrap_err().to_string().contains("sample"));
    assert_eq!((sandbox.sampling.get().rate, sandbox.limits.borrow().requests_max), (0.25, 7));
}

#[test]
fn a_change_outlives_reload_and_restart_until_it_is_taken_back() {
    let sandbox = start("sample = 0.5");
    sandbox.live.change(&BTreeMap::from([("sample", Some("0.1".into())), ("slow", Some("2s".into()))])).unwrap();
    assert_eq!(sandbox.sampling.get().rate, 0.1);
    sandbox.live.reload().unwrap();
    assert_eq!(value(&sandbox.live, "sample"), ("0.1".into(), "changed while running".into()));
    let written = layered(sandbox.folder.path(), "sample = 0.5").unwrap();
    assert_eq!(with_changes(written, sandbox.folder.path()).unwrap().1.sampling.rate, 0.1);
    sandbox.live.change(&BTreeMap::from([("sample", None)])).unwrap();
    assert_eq!(sandbox.sampling.get().rate, 0.5);
    assert_eq!(value(&sandbox.live, "slow").0, "2s");
}

#[test]
fn an_invalid_change_changes_nothing() {
    let sandbox = start("");
    let asked = BTreeMap::from([("sample", Some("2".into())), ("requests-max", Some("5".into()))]);
    assert!(matches!(sandbox.live.change(&asked), Err(ChangeError::Faults(_))));
    assert_eq!((sandbox.sampling.get().rate, sandbox.limits.borrow().requests_max), (1.0, 10_000));
    assert!(kept_changes(sandbox.folder.path()).is_empty());
}

#[test]
fn a_damaged_file_of_changes_stops_nobody() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), "{\"sample\": ").unwrap();
    let (_, config) = with_changes(layered(folder.path(), "sample = 0.5").unwrap(), folder.path()).unwrap();
    assert_eq!(config.sampling.rate, 0.5);
}
