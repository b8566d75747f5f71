//! How large the terminal is. Asked of `stty`, which every system with a shell has: the call itself would be the only
//! unsafe code here.

use std::io;
use std::os::fd::AsFd;
use std::process::Stdio;

use tokio::process::Command;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Default for Size {
    /// What terminals have had since the VT100.
    fn default() -> Self {
        Self { rows: 24, columns: 80 }
    }
}

impl Size {
    /// Of the terminal on standard output; the default when there is none.
    pub(super) async fn ask() -> Self {
        let Ok(terminal) = io::stdout().as_fd().try_clone_to_owned() else { return Self::default() };
        let answer = Command::new("stty").arg("size").stdin(terminal).stderr(Stdio::null()).output().await;
        answer.ok().and_then(|answer| read(&String::from_utf8_lossy(&answer.stdout))).unwrap_or_default()
    }
}

/// `24 80`. A terminal that does not know says `0 0`.
fn read(answer: &str) -> Option<Size> {
    let mut numbers = answer.split_whitespace().map(str::parse);
    let (rows, columns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    (rows > 0 && columns > 0).then_some(Size { rows, columns })
}

#[cfg(test)]
mod tests;
