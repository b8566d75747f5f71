//! A text column by its distinct texts, so that what is derived from a text is derived once for all its rows.

use ridealong_common::block::{Block, CheckedBlock, Values};

/// For each row 0, or one more than the place of its text.
pub(super) struct Texts<'a> {
    texts: Vec<&'a str>,
    index: Index<'a>,
}

enum Index<'a> {
    Same { entry: u32, rows: usize },
    Borrowed(&'a [u32]),
    Owned(Vec<u32>),
}

impl<'a> Texts<'a> {
    pub fn of(block: &'a CheckedBlock, id: u16) -> Self {
        match block.values(id) {
            Some(Values::Text(text)) => Self { texts: vec![text], index: Index::Same { entry: 1, rows: block.rows() } },
            Some(Values::Dictionary { texts, index }) => {
                Self { texts: texts.iter().map(String::as_str).collect(), index: Index::Borrowed(index) }
            }
            _ => Self { texts: Vec::new(), index: Index::Same { entry: 0, rows: block.rows() } },
        }
    }

    pub fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    pub fn distinct(&self) -> impl Iterator<Item = &'a str> {
        self.texts.iter().copied()
    }

    /// The place of the row's text among the distinct ones.
    pub fn at(&self, row: usize) -> Option<usize> {
        self.entry(row).checked_sub(1).map(|entry| entry as usize)
    }

    /// These texts, and where a row has none the one derived from its text in `source`: `derived` has one for each
    /// distinct text there.
    pub fn or(mut self, source: &Texts<'_>, derived: impl Iterator<Item = Option<&'a str>>) -> Self {
        let mut entries = vec![0u32];
        for text in derived {
            entries.push(text.map_or(0, |text| self.entry_of(text)));
        }
        if let (Index::Same { entry: 0, .. }, Index::Same { entry, rows }) = (&self.index, &source.index) {
            self.index = Index::Same { entry: entries[*entry as usize], rows: *rows };
            return self;
        }
        let rows = self.rows();
        let entry = |row| match self.entry(row) {
            0 => entries[source.entry(row) as usize],
            own => own,
        };
        self.index = Index::Owned((0..rows).map(entry).collect());
        self
    }

    /// The same texts, none in the rows that are such.
    pub fn where_not(mut self, leave: impl Fn(usize) -> bool) -> Self {
        if (0..self.rows()).any(&leave) {
            let entries = (0..self.rows()).map(|row| if leave(row) { 0 } else { self.entry(row) });
            self.index = Index::Owned(entries.collect());
        }
        self
    }

    /// The column, put into the block.
    pub fn column(self, block: Block, id: u16) -> Block {
        match self.index {
            Index::Same { entry: 0, .. } => block,
            Index::Same { entry, .. } => block.constant(id, Some(self.texts[entry as usize - 1])),
            Index::Borrowed(index) => block.dictionary(id, owned(&self.texts), index.to_vec()),
            Index::Owned(index) => block.dictionary(id, owned(&self.texts), index),
        }
    }

    fn rows(&self) -> usize {
        match &self.index {
            Index::Same { rows, .. } => *rows,
            Index::Borrowed(index) => index.len(),
            Index::Owned(index) => index.len(),
        }
    }

    fn entry(&self, row: usize) -> u32 {
        match &self.index {
            Index::Same { entry, .. } => *entry,
            Index::Borrowed(index) => index[row],
            Index::Owned(index) => index[row],
        }
    }

    /// Derived texts are few (kinds, families, countries): looking through them is cheaper than hashing.
    fn entry_of(&mut self, text: &'a str) -> u32 {
        let known = self.texts.iter().position(|known| *known == text);
        let at = known.unwrap_or_else(|| {
            self.texts.push(text);
            self.texts.len() - 1
        });
        at as u32 + 1
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
