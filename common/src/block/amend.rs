//! Columns added to a block that exists, or put in the place of others.

use super::{Block, BlockError, CheckedBlock, Values, append_column};
use crate::limits::BLOCK_BYTES_MAX;

/// From here on bincode writes a number in more than one byte.
const ONE_BYTE_END: u8 = 251;

impl Block {
    /// A column as its distinct texts and, for each row, 0 for null or one more than the text's place.
    #[must_use]
    pub fn dictionary(self, id: u16, mut texts: Vec<String>, index: Vec<u32>) -> Self {
        let Some(first) = index.first() else { return self };
        match (first, index.iter().all(|entry| entry == first)) {
            (0, true) => self,
            (entry, true) => self.with(id, Values::Text(texts.swap_remove(*entry as usize - 1))),
            _ => self.with(id, Values::Dictionary { texts, index }),
        }
    }

    /// The block with these columns, each in the place of the one that has its number.
    #[must_use]
    pub fn amended(mut self, columns: Block) -> Self {
        assert_eq!(self.rows, columns.rows, "columns of the same rows");
        self.columns.retain(|old| columns.columns.iter().all(|new| new.id != old.id));
        self.columns.extend(columns.columns);
        self
    }
}

impl CheckedBlock {
    /// The encoded block with these columns. `encoded` is how this block came; where all columns are new they are added
    /// to its bytes.
    pub fn encode_amended(self, encoded: &[u8], columns: Block) -> Result<Vec<u8>, BlockError> {
        let are_new = columns.columns.iter().all(|column| self.values(column.id).is_none());
        let bytes = match are_new.then(|| spliced(encoded, &columns)).flatten() {
            Some(bytes) => bytes?,
            None => self.into_block().amended(columns).encode()?,
        };
        if bytes.len() > BLOCK_BYTES_MAX { Err(BlockError::TooLarge { bytes: bytes.len() }) } else { Ok(bytes) }
    }
}

/// The columns after the ones in the bytes; None where the number of columns would not fit its byte.
fn spliced(encoded: &[u8], columns: &Block) -> Option<Result<Vec<u8>, BlockError>> {
    let count_at = match encoded.first()? {
        0..ONE_BYTE_END => 1,
        251 => 3,
        252 => 5,
        _ => return None,
    };
    let count = encoded.get(count_at).filter(|count| **count < ONE_BYTE_END)?;
    let count = count.checked_add(u8::try_from(columns.columns.len()).ok()?).filter(|count| *count < ONE_BYTE_END)?;
    let mut bytes = Vec::with_capacity(encoded.len() + encoded.len() / 8 + 64);
    bytes.extend_from_slice(encoded);
    bytes[count_at] = count;
    let written = columns.columns.iter().try_for_each(|column| append_column(column, &mut bytes));
    Some(written.map(|()| bytes))
}
