//! The source tree as the tidy tests see it: its Rust files, without what is generated.

use std::fs;
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn root() -> PathBuf {
    // As it is now: a test that was built in another checkout with the same target folder is not built again.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.ancestors().nth(2).unwrap_or(&here).to_path_buf()
}

/// A Rust file, with its path from the root.
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// A file of tests, or of a package that only tests.
    pub fn is_test(&self) -> bool {
        self.path.starts_with("tests/") || self.path.contains("/tests/") || self.path.ends_with("tests.rs")
    }

    /// Its lines up to tests that stand in the file itself.
    pub fn production_lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"))
    }
}

/// Every Rust file of the repository.
pub fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    for top in ["agent", "aggregator", "common", "packaging", "tests"] {
        collect(&root().join(top), &mut found);
    }
    assert!(found.len() > 50, "the tree was not found: {} files", found.len());
    found
}

fn collect(folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
            found.push(Source { path: shown, text: fs::read_to_string(&path).unwrap_or_default() });
        }
    }
}
