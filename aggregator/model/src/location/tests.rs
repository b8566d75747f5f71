use super::*;

#[test]
fn a_bucket_with_and_without_a_prefix() {
    for text in ["s3://tables", "s3://tables/", "s3://my.tables-1/a/b_c/d=1", "s3://tables/a/"] {
        assert_eq!(bucket(text).expect(text).scheme(), "s3");
    }
    assert_eq!(bucket("s3://tables/a/b").expect("a bucket").path(), "/a/b");
}

#[test]
fn what_is_no_bucket_is_refused_with_its_fault() {
    for (text, part) in [
        ("gs://tables/a", "neither s3://"),
        ("http://127.0.0.1:9000/tables", "neither s3://"),
        ("s3://", "name of a bucket"),
        ("s3://ab", "name of a bucket"),
        ("s3://Tables", "name of a bucket"),
        ("s3://tables:9000/a", "name of a bucket"),
        ("s3://id:secret@tables/a", "holds credentials"),
        ("s3://tables/a b", "prefix"),
        ("s3://tables/a//b", "prefix"),
        ("s3://tables/a?b", "prefix"),
        ("tables/a", "absolute"),
        ("", "absolute"),
    ] {
        let fault = Location::parse(text).expect_err(text);
        assert!(fault.contains(part), "{text}: {fault}");
    }
}

#[test]
fn a_folder_is_one_of_the_whole_file_system() {
    assert_eq!(Location::parse("/var/lib/tables"), Ok(Location::Folder("/var/lib/tables".into())));
    assert!(Location::parse(&format!("/{}", "a".repeat(LOCATION_BYTES_MAX))).is_err());
}
