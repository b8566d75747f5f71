use super::*;

fn routes() -> Vec<RouteRow> {
    vec![
        RouteRow::of("/products/{id}", 12_345, 0, [5.123, 10.0, 1_034.567]),
        RouteRow::of("/users/{id}/orders/{id}", 87, 12, [0.194, 20.5, 31.0]),
        RouteRow::of("/", 7, 0, [1.0, 2.0, 3.0]),
    ]
}

fn paper(width: usize) -> Paper {
    Paper { width, routes_max: 100, is_coloured: false }
}

#[test]
fn numbers_stand_below_each_other() {
    let expected = [
        "  route                    requests  errors    p50 ms    p95 ms    p99 ms",
        "  /products/{id}             12,345       0      5.12     10.00  1,034.57",
        "  /users/{id}/orders/{id}        87      12      0.19     20.50     31.00",
        "  /                               7       0      1.00      2.00      3.00",
    ];
    assert_eq!(lines(&routes(), &paper(80)), expected);
    assert_eq!(lines(&routes(), &paper(300)), expected, "a wide terminal does not tear the table apart");
}

#[test]
fn a_long_route_is_cut_before_a_column_goes() {
    assert_eq!(
        lines(&routes(), &paper(64)),
        [
            "  route           requests  errors    p50 ms    p95 ms    p99 ms",
            "  /products/{id}    12,345       0      5.12     10.00  1,034.57",
            "  /users/{id}/o…        87      12      0.19     20.50     31.00",
            "  /                      7       0      1.00      2.00      3.00",
        ]
    );
}

#[test]
fn no_line_is_wider_than_the_paper() {
    for width in 1..200 {
        let parts = ["sent 1,234".to_owned(), "found 1,234 by SQL".to_owned(), "x".repeat(40)];
        let all = lines(&routes(), &Paper { routes_max: 2, ..paper(width) });
        for line in all.into_iter().chain(totals(&parts, &paper(width))) {
            // Below this there is nothing that one could still read.
            assert!(line.chars().count() <= width.max(13), "{width}: {line:?}");
        }
    }
}

#[test]
fn columns_go_one_by_one() {
    let headers = |width| lines(&routes(), &paper(width))[0].split_whitespace().skip(1).collect::<Vec<_>>().join(" ");
    assert_eq!(headers(64), "requests errors p50 ms p95 ms p99 ms");
    assert_eq!(headers(60), "requests errors p95 ms p99 ms");
    assert_eq!(headers(50), "requests errors p95 ms");
    assert_eq!(headers(36), "requests p95 ms");
    assert_eq!(headers(30), "requests");
}

#[test]
fn what_does_not_fit_is_summed_up() {
    let lines = lines(&routes(), &Paper { routes_max: 2, ..paper(80) });
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[2], "  and 2 more routes with 94 requests");
}

#[test]
fn an_empty_table_has_a_header() {
    assert_eq!(lines(&[], &paper(80)), ["  route           requests  errors    p50 ms    p95 ms    p99 ms"]);
}

#[test]
fn colour_changes_no_width_and_marks_errors_only() {
    let coloured = lines(&routes(), &Paper { is_coloured: true, ..paper(80) });
    let bare: Vec<String> = coloured
        .iter()
        .map(|line| ["\x1b[0m", "\x1b[1m", "\x1b[31m"].iter().fold(line.clone(), |line, code| line.replace(code, "")))
        .collect();
    assert_eq!(bare, lines(&routes(), &paper(80)));
    assert!(coloured[2].contains("\x1b[31m    12\x1b[0m") && !coloured[1].contains('\x1b'));
}

#[test]
fn totals_wrap_between_two_of_them() {
    let parts = ["sent 1,234".to_owned(), "found 1,234 by SQL".to_owned(), "12 events".to_owned()];
    assert_eq!(totals(&parts, &paper(80)), ["  sent 1,234 · found 1,234 by SQL · 12 events"]);
    assert_eq!(totals(&parts, &paper(40)), ["  sent 1,234 · found 1,234 by SQL", "  12 events"]);
}

#[test]
fn a_route_cannot_move_the_cursor() {
    let hostile = [RouteRow::of("/\x1b[2Jgone", 1, 0, [1.0, 1.0, 1.0])];
    assert!(!lines(&hostile, &paper(80)).concat().contains('\x1b'));
}

#[test]
fn numbers_are_readable() {
    assert_eq!([0, 999, 1_000, 1_234_567].map(thousands), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([0.0, 0.194, 9.999, 1_034.567].map(milliseconds), ["0.00", "0.19", "10.00", "1,034.57"]);
}
