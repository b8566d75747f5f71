//! Patterns of paths, as an operator writes them: `/users/{id}/orders/{order}`, `/static/*`.
//!
//! A segment is a text that must be the same, `{name}`, which stands for any one segment, or at the end `*`, which stands
//! for one or more. Nothing is decoded: a path is compared as it was sent.

use std::sync::Arc;

use ridealong_common::settings::FromSetting;

/// Segments of a pattern; also what keeps comparing cheap.
const SEGMENTS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Arc<str>,
    segments: Vec<Segment>,
    /// Ends with `*`.
    open: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// With its braces.
    Named(String),
}

impl Pattern {
    /// As it was written.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// Whether it describes the path from beginning to end.
    pub fn matches(&self, path: &str) -> bool {
        let mut given = segments(path);
        let begins = self.segments.iter().all(|segment| given.next().is_some_and(|given| segment.matches(given)));
        begins && given.next().is_some() == self.open
    }

    /// What stands in for each segment of a path that begins as the pattern says: the name in braces, `*` for all that the
    /// pattern's own `*` covers, nothing where the segment stays. None when the path begins otherwise.
    pub fn covers<'a>(&'a self, path: &'a str) -> Option<impl Iterator<Item = Option<&'a str>> + 'a> {
        let mut given = segments(path);
        let begins = self.segments.iter().all(|segment| given.next().is_some_and(|given| segment.matches(given)));
        let beyond = self.open.then_some("*");
        let named = self.segments.iter().map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Named(name) => Some(name.as_str()),
        });
        begins.then(|| named.chain(given.map(move |_| beyond)))
    }
}

impl Segment {
    fn matches(&self, given: &str) -> bool {
        match self {
            Segment::Literal(text) => text == given,
            Segment::Named(_) => !given.is_empty(),
        }
    }
}

impl FromSetting for Pattern {
    fn from_setting(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return Err("must begin with /, for example /users/{id}".into());
        };
        let open = rest == "*" || rest.ends_with("/*");
        let closed = if open { rest.strip_suffix('*').map(|rest| rest.trim_end_matches('/')) } else { Some(rest) };
        let closed = closed.filter(|closed| !(open && closed.is_empty()));
        let segments = closed.map(|closed| closed.split('/').map(segment).collect::<Result<Vec<_>, _>>());
        let segments = segments.transpose()?.unwrap_or_default();
        if segments.len() > SEGMENTS_MAX {
            return Err(format!("has more than {SEGMENTS_MAX} segments"));
        }
        Ok(Self { text: text.into(), segments, open })
    }
}

fn segment(text: &str) -> Result<Segment, String> {
    let name = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    match name {
        Some(name) if !name.is_empty() && name.bytes().all(is_name) => Ok(Segment::Named(text.to_owned())),
        None if !text.contains(['{', '}', '*', '?', '#']) => Ok(Segment::Literal(text.to_owned())),
        _ => Err(format!("has the segment {text:?}: a segment is a text, {{name}}, or at the very end *")),
    }
}

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// The segments of a path, without the empty one before its first slash.
pub fn segments(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path.strip_prefix('/').unwrap_or(path));
    // What `split` does, for a single byte and in a third of its time: every request's path goes through here.
    std::iter::from_fn(move || {
        let path = rest?;
        match path.bytes().position(|byte| byte == b'/') {
            Some(at) => {
                rest = Some(&path[at + 1..]);
                Some(&path[..at])
            }
            None => rest.take(),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::from_setting(text).expect("a pattern")
    }

    #[test]
    fn a_pattern_matches_whole_paths() {
        for (text, path, matches) in [
            ("/", "/", true),
            ("/", "/a", false),
            ("/users/{id}", "/users/7", true),
            ("/users/{id}", "/users/", false),
            ("/users/{id}", "/users/7/", false),
            ("/users/{id}", "/users/7/orders", false),
            ("/users/{id}/", "/users/7/", true),
            ("/users/{id}/orders/{order}", "/users/ann/orders/x%2Fy", true),
            ("/static/*", "/static/a/b.css", true),
            ("/static/*", "/static/", true),
            ("/static/*", "/static", false),
            ("/*", "/anything/at/all", true),
        ] {
            assert_eq!(pattern(text).matches(path), matches, "{text} {path}");
        }
    }

    #[test]
    fn a_pattern_covers_what_begins_with_it() {
        let covered = |text: &str, path: &str| {
            let pattern = pattern(text);
            let covered = pattern.covers(path)?.map(|it| it.map(str::to_owned));
            Some(covered.collect::<Vec<_>>())
        };
        let name = |name: &str| Some(name.to_owned());
        assert_eq!(covered("/users/{id}", "/users/7/x"), Some(vec![None, name("{id}"), None]));
        assert_eq!(covered("/files/*", "/files/a/b"), Some(vec![None, name("*"), name("*")]));
        assert_eq!(covered("/users/{id}", "/teams/7"), None);
    }

    #[test]
    fn what_is_no_pattern_is_told_why() {
        for text in ["users/{id}", "", "/a*", "/*/b", "/{}", "/a{id}", "/{id", "/a?b", "/{a b}"] {
            assert!(Pattern::from_setting(text).is_err(), "{text}");
        }
        assert!(Pattern::from_setting(&"/a".repeat(SEGMENTS_MAX + 1)).is_err());
    }
}
