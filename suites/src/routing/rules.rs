//! What a rule says besides where requests go: how long, how often, and to whom else.

use super::{answered_by, batch, scenario, traffic};
use crate::payload::{data_center, header_rule, payload, scope};
use crate::traffic::{answered, answered_but, passes_both_sidecars};
use harness_model::configuration::{Configuration, Retry, Rule};
use harness_model::expectation::Expectation;
use harness_model::history::RefusalCause;
use harness_model::scenario::{Act, Scenario, Traffic};

/// Makes the probe answer with this status. The mesh takes it for an answer unless a rule says otherwise.
const BROKEN: (&str, &str) = ("x-probe-answer-status", "500");
/// Makes the probe answer late, but not too late for the mesh's own bound on one attempt.
const SLOW: (&str, &str) = ("x-probe-answer-after-ms", "500");

/// A rule of `checkout` for its callers in one data center that moves nothing.
fn applied(header: (&str, &str), rule: Rule) -> Act {
    let rule = Rule {
        to: [("checkout".to_owned(), 100)].into(),
        headers: header_rule(header.0, header.1).headers,
        ..rule
    };
    Act::Apply(Configuration {
        rules: [("route".to_owned(), rule)].into(),
        ..payload("scoped", scope([data_center("$zone1")]), "v1")
    })
}

fn few(name: &str, from: &str, headers: &[(&str, &str)]) -> Act {
    Act::Request(Traffic {
        count: 8,
        ..traffic(name, from, "/", headers)
    })
}

fn received(traffic: &str, application: &str, times: u32) -> Expectation {
    Expectation::Received {
        traffic: traffic.to_owned(),
        application: application.to_owned(),
        times,
    }
}

/// The rule of `checkout`, whose requests are sent on as they were.
fn rule() -> Rule {
    header_rule("", "")
}

pub(super) fn mirrored() -> Scenario {
    let header = ("x-meshproof-mirror-rule", "yes");
    scenario(
        "mirror-rule",
        "a mirror rule sends a copy of each request of the callers in its scope, of no others, and the caller does not notice",
        vec![
            applied(
                header,
                Rule {
                    mirror: Some("inventory".to_owned()),
                    ..rule()
                },
            ),
            batch("copied", "frontend@$zone1", "/", &[header]),
            batch("not-caught", "frontend@$zone1", "/", &[]),
            batch("out-of-scope", "frontend@$zone2", "/", &[header]),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("copied"),
            answered_by("copied", "checkout"),
            passes_both_sidecars("copied"),
            received("copied", "checkout", 1),
            received("copied", "inventory", 1),
            answered("not-caught"),
            received("not-caught", "inventory", 0),
            answered("out-of-scope"),
            received("out-of-scope", "inventory", 0),
        ],
    )
}

pub(super) fn in_time() -> Scenario {
    let header = ("x-meshproof-timeout-rule", "yes");
    scenario(
        "timeout-rule",
        "a timeout rule ends requests of the callers in its scope that take too long, and no others",
        vec![
            applied(
                header,
                Rule {
                    timeout_ms: Some(250),
                    ..rule()
                },
            ),
            // One alone: a sidecar puts an endpoint aside that was too slow twice in a row.
            Act::Request(Traffic {
                count: 1,
                ..traffic("slow", "frontend@$zone1", "/", &[header, SLOW])
            }),
            few("quick", "frontend@$zone1", &[header]),
            few("not-caught", "frontend@$zone1", &[SLOW]),
            few("out-of-scope", "frontend@$zone2", &[header, SLOW]),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Refused {
                traffic: "slow".to_owned(),
                because: RefusalCause::Timeout,
            },
            // A busy machine may be that slow once or twice; a rule that ends what is in time ends all eight.
            answered_but("quick", 2),
            answered("not-caught"),
            answered("out-of-scope"),
        ],
    )
}

pub(super) fn tried_again() -> Scenario {
    let header = ("x-meshproof-retry-rule", "yes");
    scenario(
        "retry-rule",
        "a retry rule has requests of the callers in its scope tried again as often as it says, and no others",
        vec![
            applied(
                header,
                Rule {
                    retry: Some(Retry {
                        times: 2,
                        statuses: vec![500],
                    }),
                    ..rule()
                },
            ),
            few("broken", "frontend@$zone1", &[header, BROKEN]),
            few("fine", "frontend@$zone1", &[header]),
            few("out-of-scope", "frontend@$zone2", &[header, BROKEN]),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            received("broken", "checkout", 3),
            answered("fine"),
            received("fine", "checkout", 1),
            received("out-of-scope", "checkout", 1),
        ],
    )
}
