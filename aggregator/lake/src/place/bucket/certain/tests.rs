use std::sync::atomic::{AtomicU32, Ordering};

use ridealong_engine::deltalake::logstore::object_store::memory::InMemory;

use super::*;

/// A store that says of its first puts what it likes.
#[derive(Debug)]
struct Lying {
    store: InMemory,
    lies: AtomicU32,
    /// Whether a put that it denies has happened.
    puts: bool,
    error: fn() -> Error,
}

impl fmt::Display for Lying {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Lying")
    }
}

#[async_trait]
impl ObjectStore for Lying {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let lies = self.lies.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
        if self.puts || !lies {
            let done = self.store.put_opts(location, payload, options).await;
            if !lies {
                return done;
            }
        }
        Err((self.error)())
    }

    async fn put_multipart_opts(&self, at: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.store.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store.get_opts(location, options).await
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.store.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.store.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store.copy_opts(from, to, options).await
    }
}

fn exists() -> Error {
    Error::AlreadyExists { path: "x".into(), source: "409".into() }
}

fn unknown() -> Error {
    Error::Generic { store: "S3", source: "timeout".into() }
}

fn commit(tries: u32, file: &str) -> Bytes {
    let info = format!(r#"{{"commitInfo":{{"timestamp":1,"operationMetrics":{{"numRetries":{tries}}}}}}}"#);
    format!("{info}\n{{\"add\":{{\"path\":\"{file}\"}}}}").into()
}

fn lying(lies: u32, puts: bool, error: fn() -> Error) -> (CertainStore, Path) {
    let store = Lying { store: InMemory::new(), lies: AtomicU32::new(lies), puts, error };
    (CertainStore::new(Arc::new(store), Network(None)), Path::from("_delta_log/1.json"))
}

#[tokio::test]
async fn what_happened_has_happened_whatever_the_store_says() {
    for error in [exists, unknown] {
        let (store, at) = lying(1, true, error);
        let put = store.put_opts(&at, commit(0, "a").into(), PutMode::Create.into()).await;
        assert!(put.is_ok(), "{put:?}");
        // A later try of the same commit is the same; another is another's.
        let again = store.put_opts(&at, commit(1, "a").into(), PutMode::Create.into()).await;
        assert!(again.is_ok(), "{again:?}");
        let other = store.put_opts(&at, commit(0, "b").into(), PutMode::Create.into()).await;
        assert!(matches!(other, Err(Error::AlreadyExists { .. })), "{other:?}");
    }
}

#[tokio::test]
async fn what_did_not_happen_is_tried_again_or_an_error_and_never_another_writers() {
    let put = |(store, at): (CertainStore, Path)| async move {
        store.put_opts(&at, commit(0, "a").into(), PutMode::Create.into()).await
    };
    assert!(put(lying(2, false, exists)).await.is_ok(), "a conflict with nothing passes");
    assert!(matches!(put(lying(100, false, exists)).await, Err(Error::Generic { .. })));
    assert!(matches!(put(lying(1, false, unknown)).await, Err(Error::Generic { .. })));
}

#[tokio::test]
async fn a_large_object_goes_in_parts_and_is_whole() {
    let (store, _) = lying(0, false, unknown);
    let bytes: Bytes = (0..2 * PART_BYTES + 17).map(|at| (at % 251) as u8).collect::<Vec<u8>>().into();
    let at = Path::from("file.parquet");
    store.put(&at, bytes.clone().into()).await.expect("put");
    assert!(store.get(&at).await.expect("there").bytes().await.expect("read") == bytes);
}
