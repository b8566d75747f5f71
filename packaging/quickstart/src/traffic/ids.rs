//! Ids that say which run they belong to: all begin with the same eight characters, so that SQL can tell them from what
//! anybody else sends through the same proxy.

use uuid::{Builder, Uuid};

/// The first 32 bits of every id of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunTag(u32);

impl RunTag {
    pub fn draw() -> Self {
        Self(fastrand::u32(..))
    }

    /// A random UUID (version 4) whose first 32 bits are the tag.
    pub fn request_id(self) -> Uuid {
        let mut bytes = fastrand::u128(..).to_be_bytes();
        bytes[..4].copy_from_slice(&self.0.to_be_bytes());
        Builder::from_random_bytes(bytes).into_uuid()
    }

    pub fn session_id(self, client: usize) -> String {
        format!("{}{client}", self.prefix())
    }

    /// What every id begins with.
    pub fn prefix(self) -> String {
        format!("{:08x}-", self.0)
    }
}

#[cfg(test)]
mod tests;
