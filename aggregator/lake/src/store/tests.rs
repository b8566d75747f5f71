use std::sync::Arc;

use futures::TryStreamExt;
use ridealong_engine::deltalake::logstore::object_store::ObjectStoreExt;

use super::*;

fn at(folder: &FilePath, name: &str) -> Path {
    Path::from_absolute_path(folder.join(name)).expect("an absolute path")
}

#[tokio::test]
async fn what_was_put_is_read_and_listed_and_nothing_else_lies_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DurableStore::new(Arc::new(RealFiles));
    store.put(&at(folder.path(), "a/b/c.json"), "one".into()).await.expect("put");
    store.put(&at(folder.path(), "a/b/c.json"), "two".into()).await.expect("replaced");
    let read = store.get(&at(folder.path(), "a/b/c.json")).await.expect("there").bytes().await.expect("read");
    assert_eq!(&read[..], b"two");
    let names: Vec<_> = std::fs::read_dir(folder.path().join("a/b")).expect("listed").flatten().collect();
    assert_eq!(names.len(), 1, "{names:?}");
}

#[tokio::test]
async fn a_name_is_taken_once_however_many_try() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(DurableStore::new(Arc::new(RealFiles)));
    let location = at(folder.path(), "_delta_log/00000000000000000001.json");
    let tries = (0..16).map(|number| {
        let (store, location) = (Arc::clone(&store), location.clone());
        tokio::spawn(async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            store.put_opts(&location, number.to_string().into(), options).await.is_ok()
        })
    });
    let mut winners = 0;
    for attempt in tries.collect::<Vec<_>>() {
        winners += usize::from(attempt.await.expect("no panic"));
    }
    assert_eq!(winners, 1);
}

#[tokio::test]
async fn an_upload_in_parts_appears_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DurableStore::new(Arc::new(RealFiles));
    let location = at(folder.path(), "part.parquet");
    let mut upload = store.put_multipart(&location).await.expect("begun");
    upload.put_part("abc".into()).await.expect("a part");
    upload.put_part("def".into()).await.expect("a part");
    let prefix = Path::from_absolute_path(folder.path()).expect("an absolute path");
    let listed: Vec<_> = store.list(Some(&prefix)).try_collect().await.expect("listed");
    assert!(listed.is_empty(), "{listed:?}");
    upload.complete().await.expect("complete");
    let read = store.get(&location).await.expect("there").bytes().await.expect("read");
    assert_eq!(&read[..], b"abcdef");
}

/// The order is what makes a crash harmless: the file is synced before it has its name, the folder after.
#[test]
fn a_failed_publication_leaves_no_name_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("taken");
    std::fs::write(&path, "first").expect("written");
    let error = publish(&RealFiles, &path, &"second".into(), Publish::New).expect_err("the name is taken");
    assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read(&path).expect("read"), b"first");
    assert_eq!(std::fs::read_dir(folder.path()).expect("listed").count(), 1);
}

#[tokio::test]
async fn what_a_crash_left_unfinished_is_not_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = DurableStore::new(Arc::new(RealFiles));
    let commit = folder.path().join("_delta_log/00000000000000000000.json");
    std::fs::create_dir(folder.path().join("_delta_log")).expect("made");
    std::fs::write(unfinished_name(&commit), "half of it").expect("written");
    let listed: Vec<_> = store.list(Some(&at(folder.path(), "_delta_log"))).try_collect().await.expect("listed");
    assert!(listed.is_empty(), "{listed:?}");
    store.put(&at(folder.path(), "_delta_log/00000000000000000000.json"), "all of it".into()).await.expect("put");
    let listed: Vec<_> = store.list(Some(&at(folder.path(), "_delta_log"))).try_collect().await.expect("listed");
    assert_eq!(listed.len(), 1, "{listed:?}");
}

#[tokio::test]
async fn parts_of_a_file_are_read_and_none_beyond_its_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = at(folder.path(), "ten");
    for store in [DurableStore::new(Arc::new(RealFiles)), DurableStore::for_queries()] {
        store.put(&location, "0123456789".into()).await.expect("put");
        let parts = store.get_ranges(&location, &[7..10, 0..3, 5..5]).await.expect("read");
        assert_eq!(parts, ["789", "012", ""].map(Bytes::from));
        let error = store.get_ranges(&location, &[0..3, 8..11]).await.expect_err("eleven bytes");
        let cause = std::error::Error::source(&error).expect("a cause").to_string();
        assert!(cause.contains("8..11 asked of the 10 bytes of"), "{cause}");
        assert!(matches!(
            store.get_ranges(&at(folder.path(), "none"), &[0..1, 1..2]).await,
            Err(Error::NotFound { .. })
        ));
    }
}
