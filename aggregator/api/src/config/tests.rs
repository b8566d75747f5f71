use serde_json::json;

use super::*;

fn applied(asked: Value) -> Result<TenantSettings, String> {
    let mut settings = TenantSettings::default();
    let Value::Object(asked) = asked else { panic!("an object") };
    apply(&mut settings, asked, false).map(|()| settings)
}

#[test]
fn what_is_named_changes_and_the_rest_stays() {
    let settings = applied(json!({ "corrections": { "casing": true } })).expect("applied");
    assert!(settings.corrections.casing && !settings.corrections.clock_skew);
    let settings = applied(json!({ "segments": [{ "name": "dutch", "when": "country = 'NL'" }] })).expect("applied");
    assert_eq!((settings.segments.len(), settings.corrections.casing), (1, false));
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_one() {
    let fault = |asked| applied(asked).expect_err("a fault");
    assert!(fault(json!({ "correction": {} })).contains("did you mean corrections?"));
    assert!(fault(json!({ "corrections": { "clockskew": true } })).contains("did you mean clockSkew?"));
    assert!(fault(json!({ "corrections": { "casing": "yes" } })).contains("must be true or false"));
    assert!(fault(json!({ "segments": [{ "name": "a" }] })).contains("missing field `when`"));
}

#[test]
fn a_location_is_a_bucket() {
    let at = |location: Value| applied(json!({ "location": location })).map(|settings| settings.location);
    assert_eq!(at(json!("s3://tables/a")), Ok(Some("s3://tables/a".to_owned())));
    assert_eq!(at(Value::Null), Ok(None));
    for other in [json!("/etc"), json!("s3://"), json!(7)] {
        assert!(at(other.clone()).expect_err("a fault").contains("s3://BUCKET/PREFIX"), "{other}");
    }
}
