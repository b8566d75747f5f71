//! Route templates: `/users/8231/orders/7` becomes `/users/{id}/orders/{id}`, so that routes can be counted.
//!
//! A segment that is a number, a UUID, a long hexadecimal or a date is an identifier. At most [`ROUTES_MAX`] templates
//! are known to a thread; what comes later is `_other`, and a 404 never makes a template known, so that a scanner cannot
//! fill the list.

use std::cell::RefCell;
use std::collections::HashSet;

/// Distinct routes of one agent thread. Dashboards become unreadable long before.
pub const ROUTES_MAX: usize = 500;
/// Segments looked at; deeper paths are cut there.
const SEGMENTS_MAX: usize = 10;
/// The shortest hexadecimal taken for an identifier.
const HEX_MIN: usize = 16;

pub const OTHER: &str = "_other";

/// The routes that one thread knows.
#[derive(Debug, Default)]
pub struct Routes {
    known: RefCell<HashSet<String>>,
}

impl Routes {
    /// The route of a path. `found` says that the service knew the path: its answer was not 404.
    pub fn route(&self, path: &str, found: bool) -> String {
        let template = template(path);
        let mut known = self.known.borrow_mut();
        if known.contains(&template) {
            return template;
        }
        if !found || known.len() >= ROUTES_MAX {
            return OTHER.to_owned();
        }
        known.insert(template.clone());
        template
    }
}

fn template(path: &str) -> String {
    let mut route = String::with_capacity(path.len());
    for (at, segment) in path.split('/').skip(1).enumerate() {
        route.push('/');
        if at == SEGMENTS_MAX {
            route.push_str("{rest}");
            break;
        }
        route.push_str(if is_identifier(segment) { "{id}" } else { segment });
    }
    if route.is_empty() { "/".to_owned() } else { route }
}

fn is_identifier(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let length = segment.len();
    let only = |allowed: fn(&u8) -> bool| segment.as_bytes().iter().all(allowed);
    match length {
        0 => false,
        _ if digits == length => true,
        36 if only(|byte| byte.is_ascii_hexdigit() || *byte == b'-') => true,
        10 if digits == 8 && only(|byte| byte.is_ascii_digit() || *byte == b'-') => true,
        HEX_MIN.. => digits > 0 && only(u8::is_ascii_hexdigit),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_become_placeholders() {
        for (path, route) in [
            ("/", "/"),
            ("", "/"),
            ("/users/8231/orders/7", "/users/{id}/orders/{id}"),
            ("/v1/items/0190c0de-0000-7000-8000-000000000001", "/v1/items/{id}"),
            ("/blob/d41d8cd98f00b204e9800998ecf8427e.bin", "/blob/d41d8cd98f00b204e9800998ecf8427e.bin"),
            ("/blob/d41d8cd98f00b204e9800998ecf8427e", "/blob/{id}"),
            ("/report/2026-11-20/csv", "/report/{id}/csv"),
            ("/deadbeef/cafe", "/deadbeef/cafe"),
            ("/a/b/", "/a/b/"),
        ] {
            assert_eq!(template(path), route, "{path}");
        }
    }

    #[test]
    fn what_was_not_found_teaches_nothing() {
        let routes = Routes::default();
        assert_eq!(routes.route("/wp-login.php", false), OTHER);
        assert_eq!(routes.route("/cart", true), "/cart");
        assert_eq!(routes.route("/cart", false), "/cart");
    }

    #[test]
    fn the_list_is_bounded() {
        let routes = Routes::default();
        for at in 0..ROUTES_MAX {
            assert_ne!(routes.route(&format!("/page-{at}"), true), OTHER);
        }
        assert_eq!(routes.route("/one-more", true), OTHER);
        assert_eq!(routes.route("/page-7", true), "/page-7");
    }

    #[test]
    fn a_deep_path_is_cut() {
        assert_eq!(template(&"/a".repeat(50)), format!("{}/{{rest}}", "/a".repeat(SEGMENTS_MAX)));
    }
}
