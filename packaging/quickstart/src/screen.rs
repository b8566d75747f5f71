//! Standard output: lines that stay, and one block that is painted over while it is the last thing there.
//!
//! On a terminal the block is painted in place, in a single write, so that it does not flicker; elsewhere each block is
//! appended. Colours go when `NO_COLOR` is set (no-color.org). When nobody reads any more, nothing is written any more, and
//! [`Screen::is_gone`] says so.

mod size;

use std::io::{self, IsTerminal, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::table::Paper;
use size::Size;

/// Where there is no width to ask for.
const WIDTH_ELSEWHERE: usize = 120;
const SHOW_CURSOR: &str = "\x1b[?25h";
const HIDE_CURSOR: &str = "\x1b[?25l";
const CLEAR_SCREEN: &str = "\x1b[H\x1b[2J";
const CLEAR_LINE_END: &str = "\x1b[K";
const CLEAR_BELOW: &str = "\x1b[J";

pub struct Screen {
    in_place: bool,
    is_coloured: bool,
    size: Size,
    resizes: Signal,
    /// Lines of the block, which the cursor stands below.
    painted: usize,
    /// What was said so far; said again when a change of size has torn everything apart.
    said: Vec<String>,
    is_gone: bool,
}

impl Screen {
    pub async fn open() -> io::Result<Self> {
        let is_terminal = io::stdout().is_terminal();
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = std::env::var_os("TERM").is_none_or(|terminal| terminal == "dumb");
        Ok(Self {
            in_place: is_terminal && !is_dumb,
            is_coloured: is_terminal && !is_dumb && !is_set("NO_COLOR"),
            size: Size::ask().await,
            resizes: signal(SignalKind::window_change())?,
            painted: 0,
            said: Vec::new(),
            is_gone: false,
        })
    }

    /// What a table may take, with `others` lines of the block beside its routes.
    pub fn paper(&self, others: usize) -> Paper {
        if !self.in_place {
            return Paper { width: WIDTH_ELSEWHERE, routes_max: usize::MAX, is_coloured: self.is_coloured };
        }
        // The last column and the line below the block stay free: writing there would scroll.
        let routes_max = self.size.rows.saturating_sub(others + 1).max(1);
        Paper { width: self.size.columns.saturating_sub(1), routes_max, is_coloured: self.is_coloured }
    }

    /// Writes lines that stay. A block before them stays, too.
    pub fn say(&mut self, lines: &[String]) {
        self.painted = 0;
        self.said.extend_from_slice(lines);
        // A terminal shows Ctrl-C as `^C`: written over.
        let start = if self.in_place { format!("\r{CLEAR_LINE_END}") } else { String::new() };
        self.write(&lines.iter().fold(start, |text, line| text + line + "\n"));
    }

    /// Shows the block, in place of the one before it.
    pub fn paint(&mut self, block: &[String]) {
        if !self.in_place {
            return self.write(&format!("{}\n\n", block.join("\n")));
        }
        let block = &block[..block.len().min(self.size.rows.saturating_sub(1))];
        let mut text = String::from(HIDE_CURSOR);
        text.push('\r');
        if self.painted > 0 {
            text.push_str(&format!("\x1b[{}A", self.painted));
        }
        for line in block {
            text.push_str(line);
            text.push_str(CLEAR_LINE_END);
            text.push('\n');
        }
        text.push_str(CLEAR_BELOW);
        self.painted = block.len();
        self.write(&text);
    }

    /// Returns when the terminal has changed its size, with everything but the block said anew.
    pub async fn resized(&mut self) {
        self.resizes.recv().await;
        self.size = Size::ask().await;
        if self.in_place {
            let said = std::mem::take(&mut self.said);
            self.write(CLEAR_SCREEN);
            self.say(&said);
        }
    }

    /// The terminal was closed, or the reader of the pipe has enough.
    pub const fn is_gone(&self) -> bool {
        self.is_gone
    }

    fn write(&mut self, text: &str) {
        if !self.is_gone {
            let mut out = io::stdout().lock();
            self.is_gone = out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.in_place {
            self.write(SHOW_CURSOR);
        }
    }
}
