//! Which texts an expression needs: without them in a user agent it cannot match, and need not be tried.
//!
//! The idea is that of RE2's `FilteredRE2`: an expression becomes a conjunction of clauses, each a list of texts of which
//! one must be there. Here a branch of an alternation keeps only its best clause. Texts are in lower case.

use std::iter::once;

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Class, Hir, HirKind};

/// Texts of which one must be there.
pub(super) type Clause = Vec<String>;

/// Longer conjunctions say no more.
const CLAUSES_MAX: usize = 32;
/// An alternation of more texts says little.
const TEXTS_MAX: usize = 256;

/// All of these must hold; none when the expression may match anything. Texts shorter than `bytes_min` are too common to
/// look for.
pub(super) fn needed(expression: &str, bytes_min: usize) -> Vec<Clause> {
    // What differs in case only is the same here: letters are found more easily when they are no classes.
    let parsed = ParserBuilder::new().unicode(false).utf8(false).build().parse(expression);
    let mut clauses = parsed.map_or_else(|_| Vec::new(), |parsed| clauses(&parsed));
    clauses.retain(|clause| clause.iter().all(|text| text.len() >= bytes_min));
    clauses.sort_unstable();
    clauses.dedup();
    clauses.truncate(CLAUSES_MAX);
    clauses
}

fn clauses(expression: &Hir) -> Vec<Clause> {
    match expression.kind() {
        HirKind::Capture(capture) => clauses(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => clauses(&repetition.sub),
        HirKind::Concat(parts) => concatenated(parts),
        HirKind::Alternation(branches) => either(branches).into_iter().collect(),
        HirKind::Literal(_) | HirKind::Class(_) => text(expression).map(|text| vec![text]).into_iter().collect(),
        HirKind::Empty | HirKind::Look(_) | HirKind::Repetition(_) => Vec::new(),
    }
}

/// Letters in a row are one text.
fn concatenated(parts: &[Hir]) -> Vec<Clause> {
    let mut found = Vec::new();
    let mut run = String::new();
    for part in parts {
        if let Some(text) = text(part) {
            run.push_str(&text);
            continue;
        }
        found.extend(Some(std::mem::take(&mut run)).filter(|run| !run.is_empty()).map(|run| vec![run]));
        found.extend(clauses(part));
    }
    found.extend(once(run).filter(|run| !run.is_empty()).map(|run| vec![run]));
    found
}

/// What an expression is when it is one text, whatever its case.
fn text(expression: &Hir) -> Option<String> {
    match expression.kind() {
        HirKind::Literal(literal) => Some(str::from_utf8(&literal.0).ok()?.to_ascii_lowercase()),
        HirKind::Class(Class::Bytes(class)) => {
            let mut letters = class.iter().flat_map(|range| [range.start(), range.end()]);
            let first = letters.next()?.to_ascii_lowercase();
            let is_one = class.iter().all(|range| range.start() == range.end() && range.start().is_ascii());
            let is_one = is_one && letters.all(|letter| letter.to_ascii_lowercase() == first);
            is_one.then(|| char::from(first).to_string())
        }
        _ => None,
    }
}

/// One clause that holds whichever branch matches: the best one of each.
fn either(branches: &[Hir]) -> Option<Clause> {
    let mut texts = Vec::new();
    for branch in branches {
        // The clause whose shortest text is longest.
        let best = clauses(branch).into_iter().max_by_key(|clause| clause.iter().map(String::len).min())?;
        texts.extend(best);
        if texts.len() > TEXTS_MAX {
            return None;
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::needed;

    #[test]
    fn names_what_must_be_there() {
        let cases: [(&str, &[&[&str]]); 9] = [
            ("Firefox/([0-9]+)", &[&["firefox/"]]),
            ("(?i)Firefox", &[&["firefox"]]),
            ("(Chrome|Safari)/[0-9]", &[&["chrome", "safari"]]),
            ("Android .* (?:SM-[A-Z]+) Build", &[&["android "], &[" sm-"], &[" build"]]),
            ("a*", &[]),
            ("(?:Opera)?", &[]),
            ("(?:Opera)+ x", &[&["opera"]]),
            ("[Ll]inux", &[&["linux"]]),
            ("(Chrome|.)", &[]),
        ];
        for (expression, expected) in cases {
            let mut expected: Vec<Vec<&str>> = expected.iter().map(|clause| clause.to_vec()).collect();
            expected.sort();
            let mut found = needed(expression, 3);
            found.iter_mut().for_each(|clause| clause.sort());
            assert_eq!(found, expected, "{expression}");
        }
    }
}
