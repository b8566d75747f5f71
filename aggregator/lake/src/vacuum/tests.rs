use super::*;

#[test]
fn only_what_the_store_names_so_is_unfinished() {
    let path = FilePath::new("/table/date=2026-01-01/a.parquet");
    let name = crate::store::unfinished_name(path);
    assert!(is_unfinished(&name.file_name().expect("a name").to_string_lossy()));
    for name in ["a.parquet", "a#b", "a#", "00000000000000000000.json.torn", "1234"] {
        assert!(!is_unfinished(name), "{name}");
    }
}
