//! Where a tenant's tables lie, when not beside those of the others.

use std::fmt;
use std::path::PathBuf;

use url::Url;

use crate::tenant::TenantId;

/// As text.
pub const LOCATION_BYTES_MAX: usize = 1_024;

/// A folder, or a prefix of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// Absolute.
    Folder(PathBuf),
    /// `s3://BUCKET/PREFIX`
    Bucket(Url),
}

/// Who keeps the locations.
pub trait Locations: fmt::Debug + Send + Sync {
    /// Below which each table of the tenant has a folder; None for the usual place. Asked when a table is made: it then
    /// stays where it is.
    fn location(&self, tenant: &TenantId) -> Option<Location>;

    /// The tenants with a location of their own.
    fn located(&self) -> Vec<TenantId>;
}

/// Everything in the usual place.
#[derive(Debug)]
pub struct UsualPlaces;

impl Locations for UsualPlaces {
    fn location(&self, _: &TenantId) -> Option<Location> {
        None
    }

    fn located(&self) -> Vec<TenantId> {
        Vec::new()
    }
}

impl Location {
    /// What is wrong is said so that it can follow the text.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > LOCATION_BYTES_MAX {
            return Err("is too long");
        }
        match PathBuf::from(text) {
            folder if folder.is_absolute() => Ok(Self::Folder(folder)),
            _ => bucket(text).map(Self::Bucket),
        }
    }
}

fn bucket(text: &str) -> Result<Url, &'static str> {
    let form = "is neither s3://BUCKET/PREFIX nor a folder (absolute)";
    let url = Url::parse(text).map_err(|_| form)?;
    if url.scheme() != "s3" {
        return Err(form);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds credentials, which go to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or ~/.aws/credentials");
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let name = url.host_str().unwrap_or_default();
    if !(3..=63).contains(&name.len()) || !name.bytes().all(plain) || url.port().is_some() {
        return Err("has no name of a bucket: 3 to 63 of a-z, 0-9, - and .");
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=/".contains(&byte);
    if !url.path().bytes().all(plain) || url.path().contains("//") || url.query().or(url.fragment()).is_some() {
        return Err("has a prefix with other letters than a-z, A-Z, 0-9, -, _, ., = and single slashes");
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
