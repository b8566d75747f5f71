//! The country, region and city of an address, from a MaxMind DB (`.mmdb`) file that the operator names. Read into memory
//! whole: a mapped file that is overwritten while it is read would end the process.
//!
//! Two shapes of records are understood: MaxMind's and DB-IP's nested ones (`country.iso_code`, `subdivisions[0]`,
//! `city.names.en`) and flat ones (`country_code`, `state1`, `city`).

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, path};
use serde::de::IgnoredAny;
use thiserror::Error;

/// Larger files than any that are published.
const FILE_BYTES_MAX: u64 = 1 << 30;

type Database = Reader<Vec<u8>>;

/// The file, or none.
#[derive(Default)]
pub struct Places {
    file: Option<PathBuf>,
    database: ArcSwapOption<Database>,
}

/// What is known of an address; texts as the file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// ISO 3166-1, two letters.
    pub country: Option<String>,
    /// The last part of ISO 3166-2 where the file has it, else the region's name.
    pub region: Option<String>,
    pub city: Option<String>,
}

#[derive(Debug, Error)]
pub enum PlacesError {
    #[error("cannot read the file of places {file}")]
    Read { file: PathBuf, source: std::io::Error },
    #[error("the file of places {file} is larger than {FILE_BYTES_MAX} bytes")]
    TooLarge { file: PathBuf },
    #[error("{file} is no MaxMind DB file (.mmdb): {what}")]
    Damaged { file: PathBuf, what: String },
}

impl Places {
    /// Reads the file and checks all of it.
    pub fn open(file: &Path) -> Result<Self, PlacesError> {
        let places = Self { file: Some(file.to_owned()), database: ArcSwapOption::empty() };
        places.reload()?;
        Ok(places)
    }

    /// Reads the file again; what was read before stays in force when that fails.
    pub fn reload(&self) -> Result<(), PlacesError> {
        if let Some(file) = &self.file {
            self.database.store(Some(Arc::new(read(file)?)));
        }
        Ok(())
    }

    pub fn is_known(&self) -> bool {
        self.database.load().is_some()
    }

    /// Nothing for what is no address, or one that the file does not have.
    pub fn place(&self, address: &str) -> Place {
        let database = self.database.load();
        let (Some(database), Ok(address)) = (database.as_deref(), address.trim().parse::<IpAddr>()) else {
            return Place::default();
        };
        let address = address.to_canonical();
        // An IPv6 address in a file of IPv4 ones is an error of the reader; here it is an unknown place.
        database.lookup(address).map(|found| Place::of(&found)).unwrap_or_default()
    }
}

impl Place {
    fn of(found: &LookupResult<'_, Vec<u8>>) -> Self {
        let first = |paths: &[&[PathElement<'_>]]| paths.iter().find_map(|path| text(found, path));
        Self {
            country: first(&[&path!["country", "iso_code"], &path!["country_code"]]),
            region: first(&[
                &path!["subdivisions", 0, "iso_code"],
                &path!["subdivisions", 0, "names", "en"],
                &path!["state1"],
            ]),
            city: first(&[&path!["city", "names", "en"], &path!["city"]]),
        }
    }
}

/// A text of the record; None where the path leads elsewhere.
fn text(found: &LookupResult<'_, Vec<u8>>, path: &[PathElement<'_>]) -> Option<String> {
    let text = found.decode_path::<&str>(path).ok().flatten()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn read(file: &Path) -> Result<Database, PlacesError> {
    let unread = |source| PlacesError::Read { file: file.to_owned(), source };
    if std::fs::metadata(file).map_err(unread)?.len() > FILE_BYTES_MAX {
        return Err(PlacesError::TooLarge { file: file.to_owned() });
    }
    let bytes = std::fs::read(file).map_err(unread)?;
    let damaged = |error: MaxMindDbError| PlacesError::Damaged { file: file.to_owned(), what: error.to_string() };
    let database = Reader::from_source(bytes).map_err(damaged)?;
    probe(&database).map_err(damaged)?;
    Ok(database)
}

/// Looks up one address in each 256th of both spaces. The reader's own `verify` refuses files that lack a description, as
/// DB-IP's do.
fn probe(database: &Database) -> Result<(), MaxMindDbError> {
    for part in 0..=255 {
        let [v4, v6] = [IpAddr::from([part, 1, 1, 1]), IpAddr::from([0x2000 | u16::from(part), 0, 0, 0, 0, 0, 0, 1])];
        database.lookup(v4)?.decode::<IgnoredAny>()?;
        if database.metadata().ip_version == 6 {
            database.lookup(v6)?.decode::<IgnoredAny>()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
