//! A store in which a put of something new either happened or did not, as far as anybody can tell.
//!
//! A put whose answer is lost may have happened: after a timeout, a cut connection, a server's error, or when a retry
//! inside the client meets what its first try has put and takes it for another writer's. A commit that is taken for
//! another writer's is written again as the next version. So after every such answer the object is read back; if it is
//! what was to be put, it was put. What does not lie there after a timeout may still arrive: who commits must look again
//! before the next commit, and does (the flusher).
//!
//! Large objects are sent in parts, so that the time limit of one request can be short.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{StreamExt, TryStreamExt};
use ridealong_engine::deltalake::Path;
use ridealong_engine::deltalake::logstore::object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use serde_json::Value;

use super::Network;

/// The largest body of one request.
pub(super) const PART_BYTES: usize = 8 << 20;
/// At once.
const PARTS_MAX: usize = 4;
/// A put that was refused for a conflict with nothing (S3's 409) is made again so often.
const CONFLICTS_MAX: u32 = 4;
const PAUSE_AFTER_CONFLICT: Duration = Duration::from_millis(200);
/// A commit that was tried again differs in the number of tries, and so by a few bytes.
const DIFFERENCE_BYTES_MAX: u64 = 64;

pub(super) struct CertainStore {
    inner: Arc<dyn ObjectStore>,
    /// Ends with the last one who might use it.
    _network: Network,
}

/// What lies where something was to be put.
enum Found {
    Ours,
    Another,
    Nothing,
    Unknown,
}

impl CertainStore {
    pub fn new(inner: Arc<dyn ObjectStore>, network: Network) -> Self {
        Self { inner, _network: network }
    }

    async fn put_new(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let mut conflicts = 0;
        loop {
            let error = match self.inner.put_opts(location, payload.clone(), options.clone()).await {
                Err(error) if may_have_happened(&error) => error,
                done => return done,
            };
            match (self.found(location, &payload).await, &error) {
                (Found::Ours, _) => {
                    tracing::info!(%location, %error, "the store has what it said it had not put");
                    return Ok(PutResult { e_tag: None, version: None });
                }
                (Found::Another, _) => {
                    return Err(Error::AlreadyExists { path: location.to_string(), source: Box::new(error) });
                }
                (Found::Nothing, Error::AlreadyExists { .. }) if conflicts < CONFLICTS_MAX => conflicts += 1,
                (Found::Nothing | Found::Unknown, Error::AlreadyExists { .. }) => {
                    // Not as it came: that would be taken for another writer's commit.
                    return Err(Error::Generic { store: "S3", source: Box::new(error) });
                }
                (Found::Nothing | Found::Unknown, _) => return Err(error),
            }
            tokio::time::sleep(PAUSE_AFTER_CONFLICT.mul_f64(0.5 + fastrand::f64())).await;
        }
    }

    async fn found(&self, location: &Path, payload: &PutPayload) -> Found {
        let found = match self.inner.get(location).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Found::Nothing,
            Err(_) => return Found::Unknown,
        };
        if found.meta.size.abs_diff(payload.content_length() as u64) > DIFFERENCE_BYTES_MAX {
            return Found::Another;
        }
        let Ok(bytes) = found.bytes().await else { return Found::Unknown };
        let wanted: Vec<u8> = payload.iter().flatten().copied().collect();
        if bytes == wanted || is_same_commit(&bytes, &wanted) { Found::Ours } else { Found::Another }
    }

    async fn put_in_parts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let PutOptions { tags, attributes, extensions, .. } = options;
        let options = PutMultipartOptions { tags, attributes, extensions };
        let mut upload = self.inner.put_multipart_opts(location, options).await?;
        let done = match send_parts(&mut *upload, payload).await {
            Ok(()) => upload.complete().await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            // What is left of it costs a little, until a rule of the bucket removes it.
            let _ = upload.abort().await;
        }
        done
    }
}

async fn send_parts(upload: &mut dyn MultipartUpload, payload: PutPayload) -> Result<()> {
    let bytes: Bytes = payload.into();
    let mut sending = FuturesUnordered::new();
    for start in (0..bytes.len()).step_by(PART_BYTES) {
        if sending.len() >= PARTS_MAX {
            sending.try_next().await?;
        }
        let part = bytes.slice(start..bytes.len().min(start + PART_BYTES));
        sending.push(upload.put_part(PutPayload::from(part)));
    }
    while sending.next().await.transpose()?.is_some() {}
    Ok(())
}

/// Only these say for sure that nothing was put.
fn may_have_happened(error: &Error) -> bool {
    !matches!(
        error,
        Error::NotFound { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotImplemented { .. }
            | Error::NotSupported { .. }
            | Error::InvalidPath { .. }
    )
}

/// Whether two commits are one, the second perhaps a later try: the same actions, made in the same moment.
fn is_same_commit(one: &[u8], other: &[u8]) -> bool {
    match (actions(one), actions(other)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

fn actions(commit: &[u8]) -> Option<Vec<Value>> {
    let lines = commit.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let actions = lines.map(|line| {
        let mut action: Value = serde_json::from_slice(line).ok()?;
        if let Some(metrics) = action.pointer_mut("/commitInfo/operationMetrics").and_then(Value::as_object_mut) {
            metrics.remove("numRetries");
        }
        Some(action)
    });
    actions.collect()
}

impl fmt::Debug for CertainStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "CertainStore({})", self.inner)
    }
}

impl fmt::Display for CertainStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(out)
    }
}

#[async_trait]
impl ObjectStore for CertainStore {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match options.mode {
            PutMode::Create => self.put_new(location, payload, options).await,
            PutMode::Overwrite if payload.content_length() > PART_BYTES => {
                self.put_in_parts(location, payload, options).await
            }
            _ => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests;
