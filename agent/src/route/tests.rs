use ridealong_common::settings::FromSetting;

use super::*;

fn patterns(texts: &[&str]) -> Routes {
    let patterns = texts.iter().map(|text| Pattern::from_setting(text).expect("a pattern"));
    Routes::new(Arc::new(RouteTable::new(patterns.collect())))
}

#[test]
fn identifiers_become_placeholders() {
    for (path, route) in [
        ("/", "/"),
        ("", "/"),
        ("/users/8231/orders/7", "/users/{id}/orders/{id}"),
        ("/v1/items/0190c0de-0000-7000-8000-000000000001", "/v1/items/{id}"),
        ("/blob/d41d8cd98f00b204e9800998ecf8427e.bin", "/blob/d41d8cd98f00b204e9800998ecf8427e.bin"),
        ("/report/2026-11-20/csv", "/report/{id}/csv"),
        ("/deadbeef/cafe", "/deadbeef/cafe"),
        ("/users/{email}/orders", "/users/{email}/orders"),
        ("/a/b/", "/a/b/"),
    ] {
        let routes = Routes::default();
        assert_eq!(&*routes.route(path, true), route, "{path}");
        assert_eq!(&*routes.route(path, false), route, "{path} once known");
    }
}

#[test]
fn what_an_operator_wrote_comes_first() {
    let routes = patterns(&["/users/{user}/orders/{order}", "/static/*", "/users/*"]);
    for (path, route) in [
        ("/users/ann/orders/x", "/users/{user}/orders/{order}"),
        ("/users/7", "/users/*"),
        ("/static/a/b.css", "/static/*"),
        ("/items/7", "/items/{id}"),
    ] {
        assert_eq!(&*routes.route(path, true), route, "{path}");
    }
    assert_eq!(&*routes.route("/users/nobody", false), "/users/*", "also when the service knew no such user");
}

#[test]
fn what_was_not_found_teaches_nothing() {
    let routes = Routes::default();
    assert_eq!(&*routes.route("/wp-login.php", false), OTHER);
    assert_eq!(&*routes.route("/cart", true), "/cart");
    assert_eq!(&*routes.route("/cart", false), "/cart");
}

#[test]
fn a_place_that_keeps_taking_new_values_becomes_one() {
    let routes = Routes::default();
    for word in words(64) {
        assert_eq!(&*routes.route(&format!("/shops/{word}/orders/7"), true), format!("/shops/{word}/orders/{{id}}"));
    }
    assert_eq!(&*routes.route("/shops/one-more/orders/7", true), "/shops/{slug}/orders/{id}");
    for word in words(64) {
        assert_eq!(&*routes.route(&format!("/shops/{word}/orders/7"), false), "/shops/{slug}/orders/{id}");
    }
    assert_eq!(
        &*routes.route("/shops/any/orders/9", false),
        "/shops/{slug}/orders/{id}",
        "no 404 is needed to learn it"
    );
    assert_eq!(&*routes.route("/shops/any/unheard", false), OTHER);
    assert_eq!(&*routes.route("/shops/77/orders/9", true), "/shops/{id}/orders/{id}");
}

#[test]
fn the_top_keeps_what_it_knows() {
    let routes = Routes::default();
    for word in words(100) {
        routes.route(&format!("/{word}"), true);
    }
    assert_eq!(&*routes.route("/word-aa", true), "/word-aa");
    assert_eq!(&*routes.route("/never-seen", false), "/{slug}");
}

#[test]
fn the_list_is_bounded_for_all_threads_together() {
    let table = Arc::new(RouteTable::new(Vec::new()));
    let threads = [Routes::new(Arc::clone(&table)), Routes::new(table)];
    let word = words(50);
    for at in 0..ROUTES_MAX {
        let path = format!("/{}/{}", word[at / 50], word[at % 50]);
        assert_eq!(&*threads[at % 2].route(&path, true), path);
    }
    for routes in &threads {
        assert_eq!(&*routes.route("/one-more", true), OTHER);
        assert_eq!(&*routes.route("/word-aa/word-ab", true), "/word-aa/word-ab");
    }
}

#[test]
fn a_deep_path_is_cut() {
    let routes = Routes::default();
    assert_eq!(&*routes.route(&"/a".repeat(50), true), format!("{}/{{rest}}", "/a".repeat(10)));
    assert_eq!(&*routes.route(&"/a".repeat(11), false), format!("{}/{{rest}}", "/a".repeat(10)));
}

/// Words without digits.
fn words(count: u8) -> Vec<String> {
    let letter = |at: u8| (b'a' + at) as char;
    (0..count).map(|at| format!("word-{}{}", letter(at / 26), letter(at % 26))).collect()
}
