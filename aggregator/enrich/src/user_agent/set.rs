//! An ordered set of rules, of which the first that fits answers.
//!
//! Most rules need certain texts in the user agent. One automaton finds all of these texts at once; only rules whose texts
//! are all there are tried. An expression is compiled when it is first tried.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::AhoCorasick;
use regex::bytes::{Captures, Regex, RegexBuilder};

use super::needed::needed;
use super::rules::{Kind, PARTS, Rule};

/// The parts of an answer; an empty text is None.
pub(super) type Answer = [Option<String>; PARTS];

/// What one expression may take while it matches, in its lazily built automaton; past that it is built anew.
const AUTOMATON_BYTES_MAX: usize = 1 << 20;

pub(super) struct RuleSet {
    kind: Kind,
    rules: Vec<LazyRule>,
    /// Finds the texts that rules need.
    texts: AhoCorasick,
    /// For each text the rules that need it, each with the bits of its clauses that the text fulfils.
    needing: Vec<Vec<(u32, u32)>>,
    compiled: AtomicUsize,
}

struct LazyRule {
    rule: Rule,
    /// A bit for each of its clauses.
    needs: u32,
    regex: OnceLock<Regex>,
}

impl RuleSet {
    pub fn new(kind: Kind, rules: Vec<Rule>) -> Self {
        let mut texts: BTreeMap<String, Vec<(u32, u32)>> = BTreeMap::new();
        let rules = rules.into_iter().zip(0..).map(|(rule, at)| {
            let clauses = needed(&simplified(&rule.expression), kind.needed_bytes_min());
            for (clause, bit) in clauses.iter().zip(0..) {
                clause.iter().for_each(|text| texts.entry(text.clone()).or_default().push((at, 1 << bit)));
            }
            let needs = clauses.iter().zip(0..).fold(0, |needs, (_, bit)| needs | 1 << bit);
            LazyRule { rule, needs, regex: OnceLock::new() }
        });
        let rules = rules.collect();
        let (texts, needing): (Vec<_>, Vec<_>) = texts.into_iter().unzip();
        let texts = AhoCorasick::builder().ascii_case_insensitive(true).build(texts);
        let texts = texts.expect("a few thousand short texts are far below the automaton's limits");
        Self { kind, rules, texts, needing, compiled: AtomicUsize::new(0) }
    }

    /// The answer of the first rule that fits.
    pub fn answer(&self, user_agent: &str) -> Option<Answer> {
        let mut fulfilled = vec![0_u32; self.rules.len()];
        for found in self.texts.find_overlapping_iter(user_agent) {
            for (rule, clauses) in &self.needing[found.pattern().as_usize()] {
                fulfilled[*rule as usize] |= clauses;
            }
        }
        let possible = self.rules.iter().zip(fulfilled).filter(|(lazy, fulfilled)| lazy.needs == *fulfilled);
        possible.map(|(lazy, _)| lazy).find_map(|lazy| {
            let regex = lazy.regex.get_or_init(|| {
                self.compiled.fetch_add(1, Ordering::Relaxed);
                compiled(&lazy.rule)
            });
            // Finding out that nothing matches is cheaper without groups.
            if !regex.is_match(user_agent.as_bytes()) {
                return None;
            }
            let groups = regex.captures(user_agent.as_bytes())?;
            Some(std::array::from_fn(|part| self.part(&lazy.rule, part, &groups)))
        })
    }

    pub fn compiled(&self) -> usize {
        self.compiled.load(Ordering::Relaxed)
    }

    fn part(&self, rule: &Rule, part: usize, groups: &Captures<'_>) -> Option<String> {
        let text = match (&rule.replacements[part], self.kind.group(part)) {
            (Some(template), _) => filled(template, groups),
            (None, 0) => return None,
            (None, group) => group_text(groups, group),
        };
        let text = text.trim();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

pub(super) fn compiled(rule: &Rule) -> Regex {
    RegexBuilder::new(&simplified(&rule.expression))
        .case_insensitive(rule.ignores_case)
        .unicode(false)
        .dfa_size_limit(AUTOMATON_BYTES_MAX)
        .build()
        .expect("the file is part of the program and a test compiles every expression")
}

fn group_text<'a>(groups: &Captures<'a>, group: usize) -> Cow<'a, str> {
    groups.get(group).map_or(Cow::Borrowed(""), |found| String::from_utf8_lossy(found.as_bytes()))
}

/// The template with its `$1` … `$9`.
fn filled<'a>(template: &'a str, groups: &Captures<'_>) -> Cow<'a, str> {
    if !template.contains('$') {
        return Cow::Borrowed(template);
    }
    let mut text = String::with_capacity(template.len() + 16);
    let mut letters = template.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek().and_then(|next| next.to_digit(10))) {
            ('$', Some(group)) => {
                letters.next();
                text.push_str(&group_text(groups, group as usize));
            }
            _ => text.push(letter),
        }
    }
    Cow::Owned(text)
}

/// Bounded repetitions of many, such as `{0,100}`, become unbounded ones: uap-core bounds them for engines that backtrack;
/// here the bound only makes the automaton a hundred times as large, and the text is bounded anyway.
fn simplified(expression: &str) -> String {
    let mut simple = String::with_capacity(expression.len());
    let mut rest = expression;
    while let Some(at) = rest.find('{') {
        let (before, after) = rest.split_at(at);
        simple.push_str(before);
        let repeated = after.find('}').filter(|_| !before.ends_with('\\')).and_then(|end| {
            let (from, to) = after[1..end].split_once(',')?;
            let sign = match from {
                "0" => '*',
                "1" => '+',
                _ => return None,
            };
            (to.len() >= 3 && to.bytes().all(|letter| letter.is_ascii_digit())).then_some((sign, end))
        });
        rest = match repeated {
            Some((sign, end)) => {
                simple.push(sign);
                &after[end + 1..]
            }
            None => {
                simple.push('{');
                &after[1..]
            }
        };
    }
    simple.push_str(rest);
    simple
}
