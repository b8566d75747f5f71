//! Where the data lies: a folder that holds all of it, or a bucket for the tables and a folder for the rest.

use std::path::PathBuf;

use ridealong_common::settings::Reader;
use ridealong_model::location::Location;
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
        let bucket = match Location::parse(&data) {
            Ok(Location::Bucket(url)) => Some(url),
            Ok(Location::Folder(_)) => None,
            Err(problem) => {
                read.fault("data", format!("{data:?} {problem}"));
                None
            }
        };
        Self { folder: state.unwrap_or_else(|| STATE_DEFAULT.into()), bucket }
    }
}
