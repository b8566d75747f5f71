#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

const MEBIBYTE: u64 = 1 << 20;

#[test]
fn what_is_taken_comes_back() {
    let budget = Budget::new(100 * MEBIBYTE);
    let share = budget.try_take(Account::Ingest, 70 * MEBIBYTE).unwrap();
    assert!(budget.try_take(Account::Ingest, 10 * MEBIBYTE).is_none());
    assert_eq!(budget.status().ingest, 70 * MEBIBYTE);
    drop(share);
    assert_eq!(budget.status().ingest, 0);
    assert!(budget.try_take(Account::Ingest, 10 * MEBIBYTE).is_some());
}

#[test]
fn queries_still_run_when_ingest_is_refused_and_hot_rows_count_against_both() {
    let budget = Budget::new(100 * MEBIBYTE);
    budget.hold(Account::HotRows, 76 * MEBIBYTE);
    assert!(budget.try_take(Account::Ingest, 1).is_none());
    let mut query = budget.try_take(Account::Queries, 10 * MEBIBYTE).unwrap();
    assert!(!query.try_grow(5 * MEBIBYTE));
    assert_eq!(query.bytes(), 10 * MEBIBYTE);
    budget.hold(Account::HotRows, 0);
    assert!(query.try_grow(5 * MEBIBYTE));
    query.shrink(14 * MEBIBYTE);
    assert_eq!(budget.status().queries, MEBIBYTE);
    query.shrink(u64::MAX);
    assert_eq!((query.bytes(), budget.status().queries), (0, 0));
}

#[test]
fn resident_memory_counts_whatever_the_counts_say() {
    let budget = Budget::new(100 * MEBIBYTE);
    budget.measured(80 * MEBIBYTE);
    assert!(budget.try_take(Account::Ingest, 1).is_none());
    assert!(budget.try_take(Account::Queries, 1).is_some());
    budget.measured(95 * MEBIBYTE);
    assert!(budget.try_take(Account::Queries, 1).is_none());
}
