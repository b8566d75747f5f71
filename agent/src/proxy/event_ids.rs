//! Ids for exchanges: UUIDv7 in shape, close to each other in value, so that a column of them compresses by differences.
//!
//! | bits | what |
//! |---|---|
//! | 48 | milliseconds since 1970 at the request's first byte |
//! | 4 | version, 7 |
//! | 12 | random, fixed for the thread |
//! | 2 | variant, 0b10 |
//! | 30 | random, fixed for the thread |
//! | 32 | a counter |

use std::cell::Cell;

use ridealong_common::ids::EventId;
use uuid::Uuid;

pub(super) struct EventIds {
    high: u64,
    low: u64,
    next: Cell<u32>,
}

impl EventIds {
    /// Draws this thread's 42 random bits from the operating system.
    pub(super) fn draw() -> Self {
        let (high, low) = Uuid::new_v4().as_u64_pair();
        Self { high: 0x7000 | (high >> 48 & 0x0fff), low: 0b10 << 62 | (low & 0x3fff_ffff) << 32, next: Cell::new(0) }
    }

    pub(super) fn make(&self, at_us: i64) -> EventId {
        let count = self.next.get();
        self.next.set(count.wrapping_add(1));
        let milliseconds = u64::try_from(at_us / 1000).unwrap_or(0);
        let high = milliseconds << 16 | self.high;
        EventId::from_u128(u128::from(high) << 64 | u128::from(self.low | u64::from(count)))
    }
}
