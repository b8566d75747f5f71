//! Whether anybody looks. While nobody does the log is not read for live numbers, which would cost a tenth of what taking
//! events costs; who asks first wakes the reader, and it reads the last minute, as after a start.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

/// The reader goes on for so long after the last question.
const ATTENTION_US: i64 = 300_000_000;

pub(crate) struct Interest {
    /// When somebody last asked.
    asked_at_us: AtomicI64,
    is_dozing: AtomicBool,
    reader: OnceLock<Thread>,
}

impl Interest {
    /// Nobody has asked yet.
    pub fn new() -> Self {
        Self { asked_at_us: AtomicI64::new(i64::MIN), is_dozing: AtomicBool::new(true), reader: OnceLock::new() }
    }

    /// Somebody asks, or begins to look.
    pub fn note(&self, now_us: i64) {
        self.asked_at_us.fetch_max(now_us, Ordering::SeqCst);
        if self.is_dozing.load(Ordering::SeqCst) {
            self.wake();
        }
    }

    pub fn wake(&self) {
        if let Some(reader) = self.reader.get() {
            reader.unpark();
        }
    }

    pub fn is_dozing(&self) -> bool {
        self.is_dozing.load(Ordering::SeqCst)
    }

    /// Of the reader: whether it may sleep. Sleeps then, until it is woken or the time is over.
    pub fn doze(&self, now_us: i64, has_viewers: bool, timeout: Duration) -> bool {
        let is_wanted = || has_viewers || self.asked_at_us.load(Ordering::SeqCst) > now_us.saturating_sub(ATTENTION_US);
        if !is_wanted() {
            // Said before the second look: who asks after that look sees that the reader is to be woken.
            self.reader.get_or_init(thread::current);
            self.is_dozing.store(true, Ordering::SeqCst);
            if !is_wanted() {
                thread::park_timeout(timeout);
                return true;
            }
        }
        self.is_dozing.store(false, Ordering::SeqCst);
        false
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_asks_keeps_the_reader_awake_for_a_while_and_who_looks_all_the_time() {
        let interest = Interest::new();
        let dozes = |now_us, has_viewers| interest.doze(now_us, has_viewers, Duration::ZERO);
        assert!(dozes(0, false) && interest.is_dozing());
        interest.note(7);
        assert!(!dozes(7, false) && !interest.is_dozing());
        assert!(!dozes(6 + ATTENTION_US, false));
        assert!(dozes(7 + ATTENTION_US, false));
        assert!(!dozes(7 + ATTENTION_US, true));
    }

    #[test]
    fn a_question_wakes_the_reader() {
        let interest = Arc::new(Interest::new());
        let reader = {
            let interest = Arc::clone(&interest);
            thread::spawn(move || while interest.doze(1, false, Duration::from_secs(60)) {})
        };
        let started = Instant::now();
        thread::yield_now();
        interest.note(1);
        reader.join().expect("it ends");
        assert!(started.elapsed() < Duration::from_secs(59), "it slept on");
    }
}
