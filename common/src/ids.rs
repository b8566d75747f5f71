//! Identifiers: producers and events.
//!
//! An id is 16 bytes inside and lower-case UUID text outside (SQL, JSON, export). Knows nothing of where ids are stored.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// One start of an agent (or of the aggregator's own JSON door): events are numbered within it, from 0, without holes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProducerId(u128);

impl ProducerId {
    /// A new producer, drawn at each start; sorts by the time of the start.
    pub fn draw() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(out)
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for ProducerId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(|id| Self(id.as_u128()))
    }
}

/// One event or request, wherever it is stored.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventId(u128);

impl EventId {
    /// A new id that sorts by the time it was made.
    pub fn draw() -> Self {
        Self(Uuid::now_v7().as_u128())
    }

    /// The id that a caller gave: itself when it is a UUID, otherwise the UUIDv5 of it in the URL namespace, so that
    /// the same text is the same event wherever it arrives.
    pub fn from_caller(text: &str) -> Self {
        let id = Uuid::try_parse(text).unwrap_or_else(|_| Uuid::new_v5(&Uuid::NAMESPACE_URL, text.as_bytes()));
        Self(id.as_u128())
    }

    pub const fn from_u128(value: u128) -> Self {
        Self(value)
    }

    pub const fn as_u128(self) -> u128 {
        self.0
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl FromStr for EventId {
    type Err = uuid::Error;

    /// Of an id that is a UUID; see [`EventId::from_caller`] for what callers send.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(|id| Self(id.as_u128()))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        Uuid::from_u128(self.0).hyphenated().fmt(out)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}
