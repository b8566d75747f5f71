//! What no client may make a service believe: every request of the table goes through a real agent to a service that
//! reads each byte strictly, and to four that people run. After a request that is refused the service has seen nothing
//! and the connection is closed; whatever is passed on arrives as the client meant it, and as nothing else.
//!
//! The ids are those of the public test suite Http11Probe, of advisories, or (`PROXY-`) our own.

mod case;
mod trial;

mod chunks;
mod codings;
mod compliance;
mod desync;
mod forwarding;
mod lengths;
mod malformed;
mod normalization;

use std::collections::BTreeSet;

use case::Case;

type Group = fn() -> Vec<Case>;

const GROUPS: [Group; 8] = [
    compliance::cases,
    malformed::cases,
    normalization::cases,
    lengths::cases,
    codings::cases,
    chunks::cases,
    desync::cases,
    forwarding::cases,
];

/// Each group against each service, as a test of its own.
macro_rules! trials {
    ($($group:ident)*) => {
        mod trials {
            $(mod $group {
                use crate::trial;
                use ridealong_e2e::real_origin::Kind;

                #[tokio::test(flavor = "multi_thread")]
                async fn before_a_strict_reader() -> anyhow::Result<()> {
                    trial::before_a_strict_reader(crate::$group::cases()).await
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn before_nginx() -> anyhow::Result<()> {
                    trial::before(Kind::Nginx, crate::$group::cases()).await
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn before_node() -> anyhow::Result<()> {
                    trial::before(Kind::Node, crate::$group::cases()).await
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn before_gunicorn() -> anyhow::Result<()> {
                    trial::before(Kind::Gunicorn, crate::$group::cases()).await
                }

                #[tokio::test(flavor = "multi_thread")]
                async fn before_pythons_http_server() -> anyhow::Result<()> {
                    trial::before(Kind::HttpServer, crate::$group::cases()).await
                }
            })*
        }
    };
}

trials! { compliance malformed normalization lengths codings chunks desync forwarding }

#[test]
fn every_id_of_the_list_has_its_case_and_only_one() {
    let listed: BTreeSet<&str> = include_str!("ids.txt").lines().collect();
    let all: Vec<&str> = GROUPS.iter().flat_map(|group| group()).map(|case| case.id).collect();
    let tried: BTreeSet<&str> = all.iter().copied().collect();
    assert_eq!(tried.len(), all.len(), "an id twice");
    let missing: Vec<_> = listed.difference(&tried).collect();
    assert!(missing.is_empty(), "not tried: {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_makes_no_row() -> anyhow::Result<()> {
    let cases = [malformed::cases, normalization::cases, lengths::cases].iter().flat_map(|group| group());
    trial::makes_no_rows(cases.collect()).await
}
