//! Whether what came of each case is what may come of it.

use anyhow::Result;
use ridealong_e2e::raw_origin::Heard;

use super::Noted;
use super::client::Got;
use crate::case::{Case, Check, Outcome, Seen};

/// Fields that the strict reader's answers carry, and that must arrive.
const KEPT: [(&str, &str); 3] =
    [("date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("allow", "GET, POST"), ("content-type", "text/plain")];

pub fn on(cases: &[Case], got: &[Result<Got>], notes: &[Noted], strict: bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (case, got) in cases.iter().zip(got) {
        let found = match got {
            Ok(got) => [client(case, got, strict), service(case, got, notes)].into_iter().flatten().collect(),
            Err(error) => vec![format!("{error:#}")],
        };
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", case.id)));
    }
    let is_known = |note: &&Noted| cases.iter().any(|case| belongs(case, note));
    for stray in notes.iter().filter(|note| !is_known(note)) {
        faults.push(format!("of no case: the service saw {stray:?}"));
    }
    faults
}

fn belongs(case: &Case, note: &Noted) -> bool {
    let path = note.target.strip_prefix('/').unwrap_or_default();
    let own = path.strip_prefix(case.id).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#', '?']));
    own || note.target == "*" && case.seen.iter().any(|seen| seen.target == "*")
}

fn client(case: &Case, got: &Got, strict: bool) -> Vec<String> {
    let statuses = got.statuses();
    let fault = |expected: &str| {
        let (end, rest) = (if got.closed { "closed" } else { "open" }, String::from_utf8_lossy(&got.rest));
        vec![format!("expected {expected}; the client got {statuses:?} {rest:?}, {end}")]
    };
    let one_of = |statuses: &[u16], allowed: &[u16]| statuses.len() == 1 && allowed.contains(&statuses[0]);
    let own_error = got.answers.last().and_then(|answer| answer.head.get("x-ridealong-error"));
    let served = statuses.len() == case.seen.len() && own_error.is_none();
    let right = match case.outcome {
        Outcome::Anything => return Vec::new(),
        Outcome::Refused(allowed) => one_of(&statuses, allowed) && got.closed,
        Outcome::RefusedOrCut(allowed) => got.closed && (statuses.is_empty() || one_of(&statuses, allowed)),
        Outcome::Served => served && got.rest.is_empty(),
        Outcome::ServedThenClosed => served && got.closed && got.rest.is_empty(),
        Outcome::ServedThenRefused(count, allowed) => {
            let (served, refused) = statuses.split_at(count.min(statuses.len()));
            served.iter().all(|status| *status == 200) && one_of(refused, allowed) && got.closed
        }
        Outcome::Either(allowed) => served && own_error.is_none() || one_of(&statuses, allowed) && got.closed,
        Outcome::Unfinished => got.closed && statuses.iter().all(|status| *status >= 400),
    };
    if !right {
        return fault(&format!("{:?}", case.outcome));
    }
    if case.error.is_some() && own_error != case.error {
        return fault(&format!("X-Ridealong-Error {:?}, not {own_error:?}", case.error));
    }
    if strict && matches!(case.outcome, Outcome::Served | Outcome::ServedThenClosed) {
        return answers_are_whole(case, got);
    }
    Vec::new()
}

/// Of the strict reader: 200, with its fields, and with what it understood in the body.
fn answers_are_whole(case: &Case, got: &Got) -> Vec<String> {
    let pairs = got.answers.iter().zip(&case.seen);
    let wrong = pairs.filter(|(answer, seen)| {
        let kept = KEPT.iter().all(|(name, value)| answer.head.get(name) == Some(value));
        let text = format!("{} {} {} bytes\n", seen.method, seen.target, seen.body.len());
        let body = if seen.method == "HEAD" { "" } else { &text };
        !kept || answer.head.status() != Some(200) || answer.body != body.as_bytes()
    });
    wrong.map(|(answer, _)| format!("not the service's answer: {answer:?}")).collect()
}

fn service(case: &Case, got: &Got, notes: &[Noted]) -> Vec<String> {
    let own: Vec<&Noted> = notes.iter().filter(|note| belongs(case, note)).collect();
    let (after, own): (Vec<&Noted>, Vec<&Noted>) = own.into_iter().partition(|note| note.target.ends_with("/after"));
    let mut faults = Vec::new();
    if after.len() != 1 {
        faults.push(format!("the request after it was seen {} times", after.len()));
    }
    // Some services write a method that they do not know in capitals.
    let same_method = |note: &Noted, seen: &Seen| match case.service_may_refuse {
        true => note.method.eq_ignore_ascii_case(seen.method),
        false => note.method == seen.method,
    };
    let pairs_agree = own.iter().zip(&case.seen).all(|(note, seen)| agrees(note, seen) && same_method(note, seen));
    let all_of_them = own.len() == case.seen.len();
    let needed = match case.outcome {
        Outcome::Served | Outcome::ServedThenClosed | Outcome::ServedThenRefused(..) => !case.service_may_refuse,
        Outcome::Either(_) => !case.service_may_refuse && got.statuses() == [200],
        _ => false,
    };
    if own.len() > case.seen.len() || !pairs_agree || needed && !all_of_them {
        faults.push(format!("the service saw {own:?} of {:?}", case.seen));
    }
    faults
}

fn agrees(note: &Noted, seen: &Seen) -> bool {
    let body_agrees = match &note.body {
        Some(body) if seen.whole => *body == seen.body,
        Some(body) => seen.body.starts_with(body.as_str()),
        None => true,
    };
    let end_agrees = note.complete.is_none_or(|complete| complete == seen.whole);
    note.target == seen.target && body_agrees && end_agrees
}

/// What only the strict reader can tell: the fields and trailers that arrived.
pub fn checks(cases: &[Case], heard: &[Heard]) -> Vec<String> {
    let mut faults = Vec::new();
    for case in cases {
        let own = heard.iter().find(|heard| case.seen.first().is_some_and(|seen| seen.target == heard.target));
        let Some(own) = own else { continue };
        let (head, trailers) = (&own.message.head, &own.message.trailers);
        let trailer = |name: &str, value: Option<&str>| {
            let mut named = trailers.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
            named.any(|(_, other)| value.is_none_or(|value| value == other))
        };
        for check in &case.checks {
            let holds = match *check {
                Check::Has(name, value) => head.get(name) == Some(value),
                Check::Present(name) => head.get(name).is_some_and(|value| !value.is_empty()),
                Check::Lacks(name) => head.get(name).is_none(),
                Check::Trailer(name, value) => trailer(name, Some(value)),
                Check::NoTrailer(name) => !trailer(name, None),
            };
            if !holds {
                faults.push(format!("{}: not {check:?} in {head:?}, trailers {trailers:?}", case.id));
            }
        }
    }
    faults
}
