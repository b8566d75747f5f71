//! Why a bucket cannot be used, and how to mend it.

use std::error::Error;

use ridealong_engine::deltalake::logstore::object_store::Error as StoreError;
use ridealong_engine::deltalake::logstore::object_store::client::{HttpError, HttpErrorKind};
use thiserror::Error as ThisError;

#[derive(Debug, ThisError)]
pub enum BucketError {
    #[error("cannot start the threads for requests to a bucket")]
    Threads(#[source] std::io::Error),
    #[error("there is no bucket {bucket} at {endpoint}: make it, or correct --data, AWS_ENDPOINT_URL or AWS_REGION")]
    Missing { bucket: String, endpoint: String },
    #[error(
        "no credentials for {endpoint}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with \
         ~/.aws/credentials, or run where a role gives them"
    )]
    NoCredentials { endpoint: String, source: StoreError },
    #[error(
        "{endpoint} does not let these credentials write to bucket {bucket}: give them s3:PutObject, s3:GetObject, \
             s3:ListBucket and s3:DeleteObject"
    )]
    Refused { bucket: String, endpoint: String, source: StoreError },
    #[error("{endpoint} cannot be reached: see whether it runs, and whether AWS_ENDPOINT_URL and AWS_REGION name it")]
    Unreachable { endpoint: String, source: StoreError },
    #[error(
        "{endpoint} puts an object in bucket {bucket} although it is there already (If-None-Match: *); without that \
         condition two writers could overwrite each other's commits: use a newer version of that store"
    )]
    Unconditional { bucket: String, endpoint: String },
    #[error("bucket {bucket} at {endpoint} cannot be used")]
    Other { bucket: String, endpoint: String, source: StoreError },
}

impl BucketError {
    pub(super) fn of(bucket: &str, endpoint: &str, source: StoreError) -> Self {
        let (bucket, endpoint) = (bucket.to_owned(), endpoint.to_owned());
        match &source {
            StoreError::NotFound { .. } => Self::Missing { bucket, endpoint },
            // Ours, or the store's answer 401.
            StoreError::Unauthenticated { .. } => Self::NoCredentials { endpoint, source },
            StoreError::PermissionDenied { .. } => Self::Refused { bucket, endpoint, source },
            _ if is_unreachable(&source) => Self::Unreachable { endpoint, source },
            _ => Self::Other { bucket, endpoint, source },
        }
    }
}

/// Whether no connection came about, or none that answered.
fn is_unreachable(error: &StoreError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(http) = error.downcast_ref::<HttpError>() {
            return matches!(http.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout | HttpErrorKind::Interrupted);
        }
        cause = error.source();
    }
    false
}
