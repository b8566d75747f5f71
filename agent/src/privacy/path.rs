//! Redacting a path: what patterns name, and what looks like a person or a credential wherever it stands.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::pattern::{Pattern, segments};

const EMAIL: &str = "{email}";
const TOKEN: &str = "{token}";
/// Every JSON Web Token begins with `{"` in base64.
const TOKEN_BEGINNING: &str = "eyJ";

/// The path without what must not be stored. Almost always that is the path as it came, and costs one look through it.
pub(super) fn redacted(path: String, patterns: &[Pattern]) -> String {
    if patterns.is_empty() && !is_suspicious(&path) {
        return path;
    }
    let mut shown: Vec<Cow<'_, str>> =
        segments(&path).map(|given| shown_as(given).map_or(given.into(), Cow::from)).collect();
    for pattern in patterns {
        let covered = pattern.covers(&path).into_iter().flatten();
        for (shown, instead) in shown.iter_mut().zip(covered) {
            if let Some(instead) = instead {
                *shown = instead.to_owned().into();
            }
        }
    }
    let root = if path.starts_with('/') { "/" } else { "" };
    format!("{root}{}", shown.join("/"))
}

/// Whether there is anything to look at: an `@`, something encoded, or the beginning of a token.
fn is_suspicious(path: &str) -> bool {
    let bytes = path.as_bytes();
    bytes.iter().enumerate().any(|(at, byte)| match byte {
        b'@' | b'%' => true,
        b'J' => at >= 2 && &bytes[at - 2..=at] == TOKEN_BEGINNING.as_bytes(),
        _ => false,
    })
}

/// What stands for a segment that must not be stored whatever the settings.
fn shown_as(segment: &str) -> Option<&'static str> {
    let plain: Cow<'_, str> = match segment.contains('%') {
        true => String::from_utf8_lossy(&percent_decode_str(segment).collect::<Vec<u8>>()).into_owned().into(),
        false => segment.into(),
    };
    if looks_like_email(&plain) {
        Some(EMAIL)
    } else if looks_like_token(&plain) {
        Some(TOKEN)
    } else {
        None
    }
}

/// Something before an `@` and a dot after it. `@2x.png` and `@scope` are none; `user@example.com:8080` and
/// `name=user@example.com` are.
fn looks_like_email(text: &str) -> bool {
    let named = |(at, _): (usize, &str)| {
        let before =
            text[..at].bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric() || !byte.is_ascii());
        let (_, after) = text[at..].split_at(1);
        let domain = after.split(['/', ';', ',', ':', '?', '&', '=']).next().unwrap_or(after);
        let dotted = domain.split_once('.').is_some_and(|(host, rest)| !host.is_empty() && !rest.is_empty());
        // Pictures for dense screens: `logo@2x.png`.
        let density = domain.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && domain[1..].starts_with("x.");
        before && dotted && !density
    };
    text.match_indices('@').any(named)
}

/// Three (or, encrypted, five) parts of base64url with dots between, of which the first is JSON.
fn looks_like_token(text: &str) -> bool {
    let Some(at) = text.find(TOKEN_BEGINNING) else { return false };
    let base64 = |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte));
    let mut parts = text[at..].split('.');
    let head = parts.next().is_some_and(|part| part.len() >= 10 && base64(part));
    head && parts.next().is_some_and(|part| part.len() >= 2 && base64(part))
}
