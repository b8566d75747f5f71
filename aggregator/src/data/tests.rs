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
        ("gs://tables/a", "neither a folder nor"),
        ("http://127.0.0.1:9000/tables", "neither a folder nor"),
        ("s3://", "name of a bucket"),
        ("s3://ab", "name of a bucket"),
        ("s3://Tables", "name of a bucket"),
        ("s3://tables:9000/a", "name of a bucket"),
        ("s3://id:secret@tables/a", "holds credentials"),
        ("s3://tables/a b", "prefix"),
        ("s3://tables/a//b", "prefix"),
        ("s3://tables/a?b", "prefix"),
    ] {
        let fault = bucket(text).expect_err(text);
        assert!(fault.contains(part), "{text}: {fault}");
    }
}
