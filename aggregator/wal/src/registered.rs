//! Followers that the log knows by name: each goes on where it was, after a restart too, and may hold segments back within
//! a budget. Past it the log is let go all the same; the follower learns that by [`ReadError::Released`](crate::ReadError)
//! and rebuilds itself from the lake, or loses and counts. Only the lake holds the log without a limit.
//!
//! What a follower has made of the log and up to where it has read are one thing: both are in one file, replaced whole, so
//! that replay never counts twice. `follower-{name}`:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `RLWALFOL` |
//! | 8..12 | version, 1 |
//! | 12..16 | CRC32C of bytes 16.. |
//! | 16..32 | UUID of the log; the file of another log counts for nothing |
//! | 32..40 | position: the state has everything up to it |
//! | 40..48 | how often the log was let go before it was read, since the file was first written |
//! | 48..52 | length of the state, at most 64 MiB |
//! | then | the state, whatever the follower put there |

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use thiserror::Error;

use crate::books::FollowerBooks;
use crate::checkpoint::read_whole;
use crate::disk::{self, Disk};
use crate::entry::{LogId, Position};
use crate::fields::{Fields, PutFields};
use crate::follower::Follower;
use crate::recovery::OpenError;
use crate::shared::Shared;

/// Far more followers than there are parts that could follow.
const FOLLOWERS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 32;
pub const STATE_BYTES_MAX: usize = 64 << 20;

const MAGIC: [u8; 8] = *b"RLWALFOL";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 52;

/// How much of the log a follower may hold back. Whatever it says, never more than a quarter of what the log may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowerBudget {
    pub bytes_max: u64,
    /// Since it last had everything, or since the log was opened.
    pub age_max: Duration,
}

#[derive(Debug, Error)]
pub enum RegisterError {
    #[error("{0:?} is no name for a follower: 1 to 32 of a-z, 0-9 and -")]
    Name(String),
    #[error("the follower {0:?} is there already")]
    Taken(String),
    #[error("{FOLLOWERS_MAX} followers are registered, which is the limit")]
    TooMany,
    /// The file is damaged or cannot be read: remove it, and the follower begins anew.
    #[error(transparent)]
    File(#[from] OpenError),
}

/// A follower with a name. When it is dropped it holds nothing back any more; its file stays.
pub struct Registered {
    shared: Arc<Shared>,
    name: String,
    follower: Follower,
}

/// What a follower saved: its state, which has everything up to its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub position: Position,
    pub state: Vec<u8>,
}

/// All registered followers, as the release of segments sees them.
#[derive(Default)]
pub(crate) struct Followers {
    by_name: BTreeMap<String, Known>,
}

struct Known {
    budget: FollowerBudget,
    /// Saved; what it has read beyond is read again after a restart.
    position: Position,
    /// When it last had everything that there was.
    caught_up: Instant,
    overruns: u64,
    /// What it needs next is gone; until it goes on elsewhere it holds nothing.
    is_overrun: bool,
}

impl Registered {
    /// The follower of that name, with what it saved, if it has saved anything of this log.
    pub(crate) fn new(
        shared: &Arc<Shared>,
        name: &str,
        budget: FollowerBudget,
    ) -> Result<(Self, Option<Saved>), RegisterError> {
        let letters = name.bytes().all(|letter| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !letters {
            return Err(RegisterError::Name(name.to_owned()));
        }
        let (saved, overruns) = match read(&*shared.disk, shared.log, name)? {
            Some((saved, overruns)) => (Some(saved), overruns),
            None => (None, 0),
        };
        // A new one has missed nothing: it begins with what there is.
        let begin = shared.segments.read().first().map_or(Position::NONE, |segment| segment.first.before());
        let position = saved.as_ref().map_or(begin, |saved| saved.position);
        let mut followers = shared.followers.lock();
        if followers.by_name.contains_key(name) {
            return Err(RegisterError::Taken(name.to_owned()));
        }
        if followers.by_name.len() == FOLLOWERS_MAX {
            return Err(RegisterError::TooMany);
        }
        let is_overrun = false;
        followers
            .by_name
            .insert(name.to_owned(), Known { budget, position, caught_up: Instant::now(), overruns, is_overrun });
        drop(followers);
        let follower = Follower::new(shared.clone(), position);
        Ok((Self { shared: shared.clone(), name: name.to_owned(), follower }, saved))
    }

    /// Reads on; see [`Follower`].
    pub fn follower(&mut self) -> &mut Follower {
        &mut self.follower
    }

    /// Saves a state that has everything up to `position`, durably, and lets the log go up to there. Blocking. After an
    /// error the state before it is still saved.
    pub fn save(&mut self, position: Position, state: &[u8]) -> io::Result<()> {
        if state.len() > STATE_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the state of a follower is too large"));
        }
        let overruns = self.known(|known| known.overruns);
        let file = encode(self.shared.log, position, overruns, state);
        disk::replace(&*self.shared.disk, &file_name(&self.name), &file)?;
        self.shared.disk.sync_folder()?;
        let durable = self.shared.durable();
        self.known(|known| {
            (known.position, known.is_overrun) = (position, false);
            if position >= durable {
                known.caught_up = Instant::now();
            }
        });
        Ok(())
    }

    /// Goes on behind `position`, as after a rebuild from the lake.
    pub fn seek(&mut self, position: Position) {
        self.follower = Follower::new(self.shared.clone(), position);
        self.known(|known| (known.position, known.is_overrun) = (position, false));
    }

    fn known<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        let mut followers = self.shared.followers.lock();
        change(followers.by_name.get_mut(&self.name).expect("it is registered until it is dropped"))
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.followers.lock().by_name.remove(&self.name);
    }
}

impl Followers {
    /// How far the log may be let go when the lake has everything up to `position`: less, while a follower within its
    /// budget needs more.
    pub fn hold(&self, position: Position, shared: &Shared) -> Position {
        let held = self.by_name.values().filter(|known| known.is_within_budget(shared));
        held.map(|known| known.position).fold(position, Position::min)
    }

    /// The log now begins at `oldest`: who has not read up to there has lost something.
    pub fn released(&mut self, oldest: Position) {
        for (name, known) in &mut self.by_name {
            if !known.is_overrun && known.position.next() < oldest {
                known.overruns += 1;
                known.is_overrun = true;
                tracing::warn!(follower = name, oldest = oldest.0, "the log was let go before a follower had read it");
            }
        }
    }

    pub fn books(&self, shared: &Shared) -> Vec<FollowerBooks> {
        let books = self.by_name.iter().map(|(name, known)| FollowerBooks {
            name: name.clone(),
            position: known.position,
            bytes_behind: known.bytes_behind(shared),
            overruns: known.overruns,
        });
        books.collect()
    }
}

impl Known {
    fn bytes_behind(&self, shared: &Shared) -> u64 {
        if self.position >= shared.durable() { 0 } else { shared.bytes_after(self.position) }
    }

    fn is_within_budget(&self, shared: &Shared) -> bool {
        let bytes_max = self.budget.bytes_max.min(shared.options.log_bytes_max / 4);
        !self.is_overrun && self.bytes_behind(shared) <= bytes_max && self.caught_up.elapsed() <= self.budget.age_max
    }
}

fn file_name(name: &str) -> String {
    format!("follower-{name}")
}

fn encode(log: LogId, position: Position, overruns: u64, state: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + state.len());
    out.put(&MAGIC);
    out.put_u32(VERSION);
    out.put_u32(0);
    out.put(&log.to_bytes());
    out.put_u64(position.0);
    out.put_u64(overruns);
    out.put_count(state.len());
    out.put(state);
    let crc = crc32c::crc32c(&out[16..]);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// What a follower of this log saved, and how often it was overrun.
fn read(disk: &dyn Disk, log: LogId, name: &str) -> Result<Option<(Saved, u64)>, OpenError> {
    let name = file_name(name);
    let damaged = |offset, what| OpenError::damaged(&name, offset, what);
    let Some(bytes) = read_whole(disk, &name)? else { return Ok(None) };
    if bytes.len() < HEADER_BYTES {
        return Err(damaged(bytes.len() as u64, "ends within the header"));
    }
    if bytes[..8] != MAGIC {
        return Err(damaged(0, "not the state of a follower"));
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if version != VERSION {
        return Err(OpenError::UnknownVersion { file: name, version });
    }
    if bytes[12..16] != crc32c::crc32c(&bytes[16..]).to_le_bytes() {
        return Err(damaged(12, "wrong checksum"));
    }
    let mut fields = Fields::new(&bytes[16..]);
    let mut read = || {
        let of = LogId::from_bytes(fields.array()?);
        let (position, overruns) = (Position(fields.u64()?), fields.u64()?);
        let length = fields.count(1)?;
        let state = fields.take(length)?.to_vec();
        (fields.left() == 0).then_some((of, Saved { position, state }, overruns))
    };
    let (of, saved, overruns) = read().ok_or_else(|| damaged(16, "impossible field"))?;
    Ok((of == log).then_some((saved, overruns)))
}

#[cfg(test)]
mod tests;
