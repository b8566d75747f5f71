//! The rollups of a file on the disk. They may be deleted at any time, and are made again.
//!
//! ```text
//! magic     8 bytes   "RDLGROLL"
//! version   u8        1
//! length    u32       of the head, little-endian, as all numbers of a fixed size
//! checksum  u32       CRC32C of the head
//! head      key       length (varint), UTF-8: tenant, table, name of the file, and what is pending of it
//!           families  count (varint), then the number of each that was made, u8
//!           sections  count (varint), then of each: family u8, level u8, block u8, offset u64, length u32, checksum u32 (CRC32C)
//! sections  each      length once expanded (u32), and zstd of what `cells::section` says
//! ```
//!
//! A family that has no section does not pay at any. The name of a file says which rows it is of:
//! tenant, table, the Parquet file's own name, and a hash of what is pending.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use ridealong_common::distinct::hash;
use ridealong_common::varint;
use ridealong_wal::disk::{Disk, DiskFile, replace};

use super::making::Made;
use super::{Blocks, Rolled};
use crate::cells::family::{Family, Level};
use crate::cells::section::{Block, Section};

const MAGIC: &[u8; 8] = b"RDLGROLL";
const VERSION: u8 = 1;
const PREFIX_BYTES: usize = 17;
/// A head: a name and at most some thousand sections.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Of a section, in the head.
const PLACE_BYTES: usize = 19;
/// A section, stored and expanded.
const SECTION_BYTES_MAX: usize = 512 << 20;
const ENDING: &str = ".rollup";
/// Of zstd: quick, and the rest is little.
const COMPRESSION: i32 = 1;

pub struct Stored {
    file: Arc<dyn DiskFile>,
    places: HashMap<(u8, Level, Block), Place>,
    families: Vec<u8>,
}

#[derive(Clone, Copy)]
struct Place {
    offset: u64,
    length: u32,
    checksum: u32,
}

/// How the rollups of a file are named.
pub fn name(file: &Rolled) -> String {
    let own = file.file.name.rsplit('/').next().unwrap_or_default();
    let own: String = own.chars().filter(|letter| letter.is_ascii_alphanumeric() || "-_".contains(*letter)).collect();
    format!("{own}-{:08x}{ENDING}", hash(identity(file).as_bytes()))
}

pub fn is_name(name: &str) -> bool {
    name.ends_with(ENDING)
}

/// What the rollups are of. Mutations are not named by number only: a journal may begin anew.
fn identity(file: &Rolled) -> String {
    let mut identity = file.key.to_string();
    for mutation in file.file.pending.iter() {
        identity.push_str(&format!("#{:?} {:?}", mutation.filter, mutation.action));
    }
    identity
}

impl Stored {
    /// None when there are none, or none that can be read.
    pub fn open(disk: &dyn Disk, file: &Rolled) -> Option<Self> {
        let opened = disk.open(&name(file)).ok()?;
        let length = opened.length().unwrap_or(0);
        let lies_in_it = |place: &Place| place.offset.saturating_add(u64::from(place.length)) <= length;
        let read = head(&*opened).and_then(|head| read_head(&head, file));
        let read = read.filter(|(places, _)| places.values().all(lies_in_it));
        if read.is_none() {
            tracing::warn!(file = %file.key, "stored rollups cannot be read and are made again");
        }
        let (places, families) = read?;
        Some(Self { file: opened, places, families })
    }

    /// Writes what was made.
    pub fn write(disk: &dyn Disk, file: &Rolled, made: &[Made]) -> io::Result<Self> {
        let mut head = Vec::new();
        let identity = identity(file);
        varint::write(&mut head, identity.len() as u64);
        head.extend_from_slice(identity.as_bytes());
        varint::write(&mut head, made.len() as u64);
        head.extend(made.iter().map(|made| made.family.number));
        let sections = made.iter().flat_map(|made| made.sections.iter().map(|section| (made.family.number, section)));
        let mut packed = Vec::new();
        for (family, section) in sections {
            packed.push((family, section.level, section.block(), compressed(&section.encode())?));
        }
        varint::write(&mut head, packed.len() as u64);
        // What is left of the head has a fixed size.
        let mut offset = (PREFIX_BYTES + head.len() + packed.len() * PLACE_BYTES) as u64;
        let mut places = HashMap::new();
        for (family, level, block, bytes) in &packed {
            let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a section of over 4 GiB"))?;
            let place = Place { offset, length, checksum: crc32c::crc32c(bytes) };
            head.extend([*family, level.number(), block.0]);
            head.extend(place.offset.to_le_bytes());
            head.extend(place.length.to_le_bytes());
            head.extend(place.checksum.to_le_bytes());
            places.insert((*family, *level, *block), place);
            offset += u64::from(length);
        }
        let mut bytes = Vec::with_capacity(offset as usize);
        bytes.extend_from_slice(MAGIC);
        bytes.push(VERSION);
        bytes.extend((head.len() as u32).to_le_bytes());
        bytes.extend(crc32c::crc32c(&head).to_le_bytes());
        bytes.extend(head);
        packed.iter().for_each(|(_, _, _, section)| bytes.extend_from_slice(section));
        let file = replace(disk, &name(file), &bytes)?;
        Ok(Self { file, places, families: made.iter().map(|made| made.family.number).collect() })
    }

    /// Of each family that was made, where it has cells.
    pub fn blocks(&self) -> HashMap<u8, Arc<Blocks>> {
        let mut blocks: HashMap<u8, Blocks> = self.families.iter().map(|family| (*family, Blocks::new())).collect();
        for (family, level, block) in self.places.keys() {
            blocks.entry(*family).or_default().push((*level, *block));
        }
        blocks.values_mut().for_each(|blocks| blocks.sort_unstable());
        blocks.into_iter().map(|(family, blocks)| (family, Arc::new(blocks))).collect()
    }

    /// None when it is not there, or damaged.
    pub fn section(&self, family: &Family, level: Level, block: Block) -> Option<Section> {
        let place = self.places.get(&(family.number, level, block))?;
        let mut packed = vec![0; place.length as usize];
        let read = self.file.read_at(place.offset, &mut packed).ok();
        let is_whole = read == Some(packed.len()) && crc32c::crc32c(&packed) == place.checksum;
        let bytes = is_whole.then(|| expanded(&packed)).flatten();
        let section = bytes.and_then(|bytes| Section::decode(family, level, &bytes).ok());
        if section.is_none() {
            tracing::warn!(family = family.number, "a stored rollup is damaged and is made again");
        }
        section
    }
}

fn compressed(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a section of over 4 GiB"))?;
    let mut packed = length.to_le_bytes().to_vec();
    packed.extend(zstd::bulk::compress(bytes, COMPRESSION)?);
    Ok(packed)
}

fn expanded(packed: &[u8]) -> Option<Vec<u8>> {
    let (length, packed) = packed.split_first_chunk::<4>()?;
    let length = u32::from_le_bytes(*length) as usize;
    if length > SECTION_BYTES_MAX {
        return None;
    }
    zstd::bulk::decompress(packed, length).ok().filter(|bytes| bytes.len() == length)
}

fn head(file: &dyn DiskFile) -> Option<Vec<u8>> {
    let mut prefix = [0; PREFIX_BYTES];
    if file.read_at(0, &mut prefix).ok()? != PREFIX_BYTES {
        return None;
    }
    let (magic, rest) = prefix.split_at(MAGIC.len());
    let number = |at: usize| rest.get(at..at + 4)?.try_into().ok().map(u32::from_le_bytes);
    let (length, checksum) = (number(1)? as usize, number(5)?);
    if magic != MAGIC || rest[0] != VERSION || length > HEAD_BYTES_MAX {
        return None;
    }
    let mut head = vec![0; length];
    let read = file.read_at(PREFIX_BYTES as u64, &mut head).ok()?;
    (read == length && crc32c::crc32c(&head) == checksum).then_some(head)
}

type Heading = (HashMap<(u8, Level, Block), Place>, Vec<u8>);

fn read_head(head: &[u8], file: &Rolled) -> Option<Heading> {
    let mut rest = head;
    let length = usize::try_from(varint::read(&mut rest)?).ok()?;
    let (key, mut rest) = rest.split_at_checked(length)?;
    if key != identity(file).as_bytes() {
        return None;
    }
    let families = usize::try_from(varint::read(&mut rest)?).ok()?;
    let (families, mut rest) = rest.split_at_checked(families)?;
    let mut places = HashMap::new();
    for _ in 0..varint::read(&mut rest)? {
        let (entry, left) = rest.split_first_chunk::<PLACE_BYTES>()?;
        rest = left;
        let level = Level::from_number(entry[1])?;
        let place = Place {
            offset: u64::from_le_bytes(entry[3..11].try_into().ok()?),
            length: u32::from_le_bytes(entry[11..15].try_into().ok()?),
            checksum: u32::from_le_bytes(entry[15..19].try_into().ok()?),
        };
        places.insert((entry[0], level, Block(entry[2])), place);
    }
    rest.is_empty().then(|| (places, families.to_vec()))
}

#[cfg(test)]
mod tests;
