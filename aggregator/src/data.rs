//! Where the data lies: a folder that holds all of it, or a bucket for the tables and a folder for the rest.

use std::path::PathBuf;

use ridealong_common::settings::Reader;
use url::Url;

/// Of log, catalog and lock, when the tables lie in a bucket.
pub const STATE_DEFAULT: &str = "./ridealong-data";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// Log, catalog, lock; and the tables, when they are in no bucket.
    pub folder: PathBuf,
    /// `s3://BUCKET/PREFIX`, below which the tables lie.
    pub bucket: Option<Url>,
}

impl Data {
    /// From the settings `data` and `state`.
    pub fn read(read: &mut Reader) -> Self {
        let data: String = read.required("data");
        let state: Option<PathBuf> = read.optional("state");
        if !data.contains("://") {
            if state.is_some() {
                read.fault("state", "is for tables in a bucket (--data s3://BUCKET/PREFIX); a data folder holds all");
            }
            return Self { folder: data.into(), bucket: None };
        }
        let bucket = bucket(&data).map_err(|problem| read.fault("data", format!("{data:?} {problem}"))).ok();
        Self { folder: state.unwrap_or_else(|| STATE_DEFAULT.into()), bucket }
    }
}

fn bucket(text: &str) -> Result<Url, &'static str> {
    let form = "is neither a folder nor s3://BUCKET or s3://BUCKET/PREFIX";
    let url = Url::parse(text).map_err(|_| form)?;
    if url.scheme() != "s3" {
        return Err(form);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "holds credentials, which go to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or to ~/.aws/credentials",
        );
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
