use serde_json::json;

use super::*;

#[test]
fn what_is_set_is_read_in_either_spelling_and_null_is_never() {
    let read = read(
        &json!({ "events": { "archiveAfter": "30d", "drop_after": "1d" }, "requests": { "dropAfter": null } }),
        true,
    );
    let read = read.expect("read");
    assert_eq!(read["events"].archive_after.as_deref(), Some("30d"));
    assert_eq!(read["events"].drop_after.as_deref(), Some("1d"));
    assert_eq!(read["requests"], TableRetention::default());
}

#[test]
fn a_fault_names_its_key() {
    for (asked, said) in [
        (json!([]), "retention must be an object of tables"),
        (json!({ "events": "30d" }), "retention.events must be an object such as"),
        (json!({ "events": { "keep": "30d" } }), "retention.events.keep is not known"),
        (json!({ "events": { "dropAfter": 30 } }), "retention.events.dropAfter must be a duration"),
        (json!({ "events": { "archiveAfter": "30d" } }), "retention.events.archiveAfter needs an archive"),
    ] {
        let fault = read(&asked, false).expect_err("a fault");
        assert!(fault.starts_with(said), "{fault}");
    }
}
