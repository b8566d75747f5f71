//! How far an export is, on standard error: a line that is written anew on a terminal, one at the end otherwise.

use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

const EVERY: Duration = Duration::from_millis(200);

pub struct Progress {
    name: String,
    bytes: u64,
    began: Instant,
    shown: Instant,
    is_terminal: bool,
}

impl Progress {
    pub fn start(name: String) -> Self {
        let now = Instant::now();
        Self { name, bytes: 0, began: now, shown: now, is_terminal: stderr().is_terminal() }
    }

    pub fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        if self.is_terminal && self.shown.elapsed() >= EVERY {
            self.shown = Instant::now();
            say(&format!("\r\x1b[K{}", self.line()));
        }
    }

    pub fn end(self) {
        let beginning = if self.is_terminal { "\r\x1b[K" } else { "" };
        say(&format!("{beginning}{}\n", self.line()));
    }

    fn line(&self) -> String {
        line(&self.name, self.bytes, self.began.elapsed())
    }
}

fn line(name: &str, bytes: u64, took: Duration) -> String {
    let (megabytes, seconds) = (bytes as f64 / 1e6, took.as_secs_f64().max(0.001));
    format!("{name}: {megabytes:.1} MB in {seconds:.1} s, {:.1} MB/s", megabytes / seconds)
}

fn say(text: &str) {
    // Nobody to tell: the file is what counts.
    let _ = stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_much_and_how_fast() {
        assert_eq!(line("a.csv", 25_000_000, Duration::from_secs(10)), "a.csv: 25.0 MB in 10.0 s, 2.5 MB/s");
        assert_eq!(line("a.csv", 0, Duration::ZERO), "a.csv: 0.0 MB in 0.0 s, 0.0 MB/s");
    }
}
