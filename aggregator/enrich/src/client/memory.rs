//! Answers by text, bounded in bytes. In parts, so that threads seldom wait for each other; each part in two generations:
//! when the newer has half of its bytes the older is forgotten, and what is asked for again moves to the newer.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::mem;
use std::sync::Arc;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use super::Client;

const PARTS: usize = 8;
/// What an answer takes besides its text: the entry, the answer, its allocations.
const ENTRY_BYTES: usize = 160;

pub(super) struct Memory {
    parts: [Mutex<Part>; PARTS],
    hasher: RandomState,
    generation_bytes_max: usize,
}

#[derive(Default)]
struct Part {
    newer: HashMap<Box<str>, Arc<Client>, RandomState>,
    older: HashMap<Box<str>, Arc<Client>, RandomState>,
    newer_bytes: usize,
}

impl Memory {
    pub fn new(bytes_max: usize) -> Self {
        Self { parts: Default::default(), hasher: RandomState::default(), generation_bytes_max: bytes_max / PARTS / 2 }
    }

    /// The answer that is remembered, or a new one. Two threads may find the same one at once; both are right.
    pub fn get_or(&self, text: &str, find: impl FnOnce() -> Client) -> Arc<Client> {
        let part = &self.parts[self.hasher.hash_one(text) as usize % PARTS];
        if let Some(known) = part.lock().get(text, self.generation_bytes_max) {
            return known;
        }
        let found = Arc::new(find());
        part.lock().put(text.into(), found.clone(), self.generation_bytes_max);
        found
    }

    #[cfg(test)]
    pub fn bytes(&self) -> usize {
        let texts = |map: &HashMap<Box<str>, _, _>| map.keys().map(|text| text.len() + ENTRY_BYTES).sum::<usize>();
        let part = |part: &Mutex<Part>| {
            let part = part.lock();
            texts(&part.newer) + texts(&part.older)
        };
        self.parts.iter().map(part).sum()
    }
}

impl Part {
    fn get(&mut self, text: &str, bytes_max: usize) -> Option<Arc<Client>> {
        if let Some(known) = self.newer.get(text) {
            return Some(known.clone());
        }
        let (text, known) = self.older.remove_entry(text)?;
        self.put(text, known.clone(), bytes_max);
        Some(known)
    }

    fn put(&mut self, text: Box<str>, client: Arc<Client>, bytes_max: usize) {
        let bytes = text.len() + ENTRY_BYTES;
        if self.newer_bytes + bytes > bytes_max {
            self.older = mem::take(&mut self.newer);
            self.newer_bytes = 0;
        }
        if bytes <= bytes_max && self.newer.insert(text, client).is_none() {
            self.newer_bytes += bytes;
        }
    }
}
