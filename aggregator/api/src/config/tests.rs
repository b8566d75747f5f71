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
