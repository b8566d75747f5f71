use std::os::unix::fs::PermissionsExt;

use ridealong_common::settings::FromSetting;

use super::*;

fn privacy(change: impl FnOnce(&mut PrivacySettings)) -> Privacy {
    let mut settings = PrivacySettings::default();
    change(&mut settings);
    Privacy::new(settings, Salt::draw())
}

fn header(name: &str) -> HeaderName {
    HeaderName::from_setting(name).expect("an allowed header")
}

#[test]
fn only_named_parameters_are_kept() {
    let kept = privacy(|it| it.record_query = vec!["page".into(), "a b".into(), "sort".into()]);
    for (query, expected) in [
        ("page=2&token=secret&sort=up", Some("page=2&sort=up")),
        ("token=secret", None),
        ("", None),
        ("page", Some("page")),
        ("page=", Some("page=")),
        ("a%20b=1&a%20c=2", Some("a%20b=1")),
        ("xpage=1&pagex=2", None),
        ("page=a=b", Some("page=a=b")),
        ("%70age=7", Some("%70age=7")),
    ] {
        assert_eq!(kept.query(query).as_deref(), expected, "{query}");
    }
    assert_eq!(privacy(|_| ()).query("page=2"), None);
}

#[test]
fn people_and_credentials_in_paths_are_never_kept() {
    let plain = privacy(|_| ());
    for (path, expected) in [
        ("/users/ann@example.com/orders", "/users/{email}/orders"),
        ("/users/ann%40example.com", "/users/{email}"),
        ("/users/ann.b+tag@mail.example.co.uk", "/users/{email}"),
        ("/reset/mail=ann@example.com;x", "/reset/{email}"),
        ("/login/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl/go", "/login/{token}/go"),
        ("/login/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0", "/login/{token}"),
        ("/img/logo@2x.png", "/img/logo@2x.png"),
        ("/npm/@scope/pkg", "/npm/@scope/pkg"),
        ("/caf%C3%A9/a%2Fb", "/caf%C3%A9/a%2Fb"),
        ("/keyJar/eyJ.x", "/keyJar/eyJ.x"),
        ("/", "/"),
        ("*", "*"),
        ("", ""),
    ] {
        assert_eq!(plain.path(path.to_owned()), expected, "{path}");
    }
}

#[test]
fn patterns_name_what_is_redacted() {
    let patterns = ["/users/{user}", "/files/*", "/users/{user}/cards/{card}"];
    let redact = patterns.map(|text| Pattern::from_setting(text).expect("a pattern")).to_vec();
    let redacting = privacy(|it| it.redact = redact);
    for (path, expected) in [
        ("/users/ann", "/users/{user}"),
        ("/users/ann/orders/7", "/users/{user}/orders/7"),
        ("/users/ann/cards/4111/x", "/users/{user}/cards/{card}/x"),
        ("/files/private/plan.txt", "/files/*/*"),
        ("/teams/ann", "/teams/ann"),
        ("/teams/ann@example.com", "/teams/{email}"),
    ] {
        assert_eq!(redacting.path(path.to_owned()), expected, "{path}");
    }
}

#[test]
fn long_texts_are_cut() {
    let path = privacy(|_| ()).path(format!("/{}", "é".repeat(REQUEST_TEXT_BYTES_MAX)));
    assert_eq!(path.len(), REQUEST_TEXT_BYTES_MAX - 1);
}

#[test]
fn addresses_are_stored_as_the_settings_say() {
    let shown = |mode, address: &str| {
        privacy(|it| it.client_address = mode).client_address(address.parse().expect("an address"))
    };
    for (mode, address, expected) in [
        (ClientAddress::Off, "192.0.2.77", None),
        (ClientAddress::Truncated, "192.0.2.77", Some("192.0.2.0")),
        (ClientAddress::Truncated, "::ffff:192.0.2.77", Some("192.0.2.0")),
        (ClientAddress::Truncated, "2001:db8:1:2:3:4:5:6", Some("2001:db8:1::")),
        (ClientAddress::Full, "192.0.2.77", Some("192.0.2.77")),
        (ClientAddress::Full, "2001:db8::1", Some("2001:db8::1")),
    ] {
        assert_eq!(shown(mode, address).as_deref(), expected, "{mode:?} {address}");
    }
}

#[test]
fn a_hashed_address_tells_clients_apart_on_one_host_only() {
    let here = privacy(|it| it.client_address = ClientAddress::Hashed);
    let elsewhere = privacy(|it| it.client_address = ClientAddress::Hashed);
    let hash = |privacy: &Privacy, last| privacy.client_address(IpAddr::from([192, 0, 2, last])).expect("a hash");
    assert_eq!(hash(&here, 1), hash(&here, 1));
    assert_ne!(hash(&here, 1), hash(&here, 2));
    assert_ne!(hash(&here, 1), hash(&elsewhere, 1));
    assert_eq!(hash(&here, 1).len(), 16);
}

#[test]
fn the_salt_stays_and_only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = Salt::of_folder(folder.path()).expect("made");
    assert_eq!(Salt::of_folder(folder.path()).expect("read"), first);
    let file = folder.path().join("address-salt");
    let mode = std::fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(format!("{first:?}"), "Salt(…)");
    std::fs::write(&file, b"short").expect("written");
    assert!(matches!(Salt::of_folder(folder.path()), Err(SaltError::Length { .. })));
}

#[test]
fn only_named_headers_are_kept_and_a_referer_loses_its_query() {
    let names = ["user-agent", "Referer", "accept-language"].map(header).to_vec();
    let keeping = privacy(|it| it.record_headers = names);
    let kept = keeping.headers(vec![
        ("user-agent", "curl/8".into()),
        ("referer", "https://ann:pw@example.com/a?token=secret#x".into()),
        ("accept-language", "de".into()),
        ("cookie", "session=secret".into()),
    ]);
    assert_eq!(kept.user_agent.as_deref(), Some("curl/8"));
    let others = r#"{"referer":"https://example.com/a","accept-language":"de"}"#;
    assert_eq!(kept.others.as_deref(), Some(others));
    assert_eq!(privacy(|_| ()).headers(vec![("user-agent", "curl/8".into())]), KeptHeaders::default());
}

#[test]
fn headers_with_credentials_or_addresses_cannot_be_named() {
    for name in ["Authorization", "cookie", "Proxy-Authorization", "set-cookie", "X-API-Key", "x-forwarded-for", "a b"]
    {
        assert!(HeaderName::from_setting(name).is_err(), "{name}");
    }
    assert_eq!(header("Accept-Language").as_str(), "accept-language");
}

#[test]
fn the_proxy_takes_only_what_may_be_kept() {
    assert_eq!(PrivacySettings::default().capture(), Capture::default());
    let settings = PrivacySettings {
        record_query: vec!["page".into()],
        record_headers: vec![header("User-Agent")],
        ..PrivacySettings::default()
    };
    assert_eq!(settings.capture(), Capture { query: true, headers: vec!["user-agent"] });
}
