use super::*;

#[test]
fn ids_of_a_run_share_their_beginning_and_nothing_else() {
    let tag = RunTag(0x0a);
    let (one, other) = (tag.request_id(), tag.request_id());
    assert_eq!(tag.prefix(), "0000000a-");
    assert!(one.to_string().starts_with("0000000a-") && other.to_string().starts_with("0000000a-"));
    assert_ne!(one, other);
    assert_eq!(one.get_version_num(), 4);
    assert_eq!(tag.session_id(3), "0000000a-3");
}
