//! The tree of learned routes: a node a segment, shared by all threads and never changed; learning makes a new one, which
//! shares what stays the same.
//!
//! A node that has seen [`WORDS_MAX`] different words below it takes no more: they become one child, `{slug}`, and so does
//! every later word. Only the root keeps the words that it knows, since the top of a service is where its real names are,
//! and a service that answers everything there would otherwise lose them to whoever tries names.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::segment::is_identifier;
use crate::pattern::segments;

/// Segments looked at; deeper paths are cut there.
const SEGMENTS_MAX: usize = 10;
/// Different words at one place before they count as values.
const WORDS_MAX: usize = 64;

const ID: &str = "{id}";
const SLUG: &str = "{slug}";
const REST: &str = "{rest}";

#[derive(Clone, Debug, Default)]
pub(super) struct Trie {
    root: Node,
    full: bool,
}

#[derive(Clone, Debug, Default)]
struct Node {
    /// By segment; identifiers under [`ID`], all words of a crowded place under [`SLUG`], too deep ones under [`REST`].
    children: HashMap<Box<str>, Arc<Node>, RandomState>,
    crowded: bool,
    /// The route that ends here.
    route: Option<Arc<str>>,
}

impl Trie {
    /// A path that is not known is `_other` for good.
    pub fn is_full(&self) -> bool {
        self.full
    }

    /// The route of a path, when it is known.
    pub fn route(&self, path: &str) -> Option<&Arc<str>> {
        let mut node = &self.root;
        for (at, segment) in segments(path).enumerate() {
            if at == SEGMENTS_MAX {
                node = node.children.get(REST)?;
                break;
            }
            node = node.child(segment)?;
        }
        node.route.as_ref()
    }

    /// The tree with a path more; itself, but full, when it would have more than so many routes.
    pub fn with(&self, path: &str, routes_max: usize) -> Self {
        let mut keys: Vec<&str> = segments(path).take(SEGMENTS_MAX + 1).collect();
        if keys.len() > SEGMENTS_MAX {
            keys[SEGMENTS_MAX] = REST;
        }
        let mut root = self.root.clone();
        root.insert(&keys, String::new());
        if root.routes() > routes_max {
            return Self { root: self.root.clone(), full: true };
        }
        Self { root, full: false }
    }
}

impl Node {
    fn child(&self, segment: &str) -> Option<&Node> {
        let known = self.children.get(segment).or_else(|| match is_identifier(segment) {
            true => self.children.get(ID),
            false if self.crowded => self.children.get(SLUG),
            false => None,
        });
        known.map(|node| &**node)
    }

    /// `above` is the route of this node.
    fn insert(&mut self, keys: &[&str], above: String) {
        let Some((segment, below)) = keys.split_first() else {
            let route = if above.is_empty() { "/" } else { &above };
            self.route = Some(route.into());
            return;
        };
        let key = self.key(segment, &above);
        let child = self.children.entry(key.into()).or_default();
        Arc::make_mut(child).insert(below, format!("{above}/{key}"));
    }

    /// What a segment is filed under.
    fn key<'a>(&mut self, segment: &'a str, above: &str) -> &'a str {
        if is_identifier(segment) {
            return ID;
        }
        if is_placeholder(segment) || self.children.contains_key(segment) {
            return segment;
        }
        if !self.crowded && self.words() >= WORDS_MAX {
            self.crowded = true;
            if !above.is_empty() {
                self.gather(above);
            }
        }
        if self.crowded { SLUG } else { segment }
    }

    fn words(&self) -> usize {
        self.children.keys().filter(|key| !is_placeholder(key)).count()
    }

    /// Makes one child of all words.
    fn gather(&mut self, above: &str) {
        let mut gathered: Vec<Vec<Box<str>>> = Vec::new();
        self.children.retain(|key, child| {
            let stays = is_placeholder(key);
            if !stays {
                child.collect(&mut vec![SLUG.into()], &mut gathered);
            }
            stays
        });
        for keys in gathered {
            let keys: Vec<&str> = keys.iter().map(|key| &**key).collect();
            self.insert(&keys, above.to_owned());
        }
    }

    /// The ways to all routes from here on.
    fn collect(&self, way: &mut Vec<Box<str>>, ways: &mut Vec<Vec<Box<str>>>) {
        if self.route.is_some() {
            ways.push(way.clone());
        }
        for (key, child) in &self.children {
            way.push(key.clone());
            child.collect(way, ways);
            way.pop();
        }
    }

    fn routes(&self) -> usize {
        usize::from(self.route.is_some()) + self.children.values().map(|child| child.routes()).sum::<usize>()
    }
}

/// Ours, or one that redacting left in a path: it stands for many values already.
fn is_placeholder(segment: &str) -> bool {
    segment.starts_with('{') && segment.ends_with('}')
}
