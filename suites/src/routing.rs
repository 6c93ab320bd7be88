//! Requests go where the mesh says: through both sidecars, at home first, by rules, around what is broken.

mod protocols;
mod rules;
mod services;

use crate::payload::{data_center, header_rule, path_rule, payload, scope};
use crate::traffic::{answered, load, passes_both_sidecars, stop};
use harness_model::capability::Capability;
use harness_model::configuration::{Configuration, Rule};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::Fault;
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag, Traffic};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        own_zone_first(),
        header_rule_for_the_right_callers(),
        path_rule_for_the_right_callers(),
        weights_share_the_requests(),
        rules::mirrored(),
        rules::in_time(),
        rules::tried_again(),
        services::taken_away(),
        protocols::every_protocol(),
        across_zones(),
        protocols::every_protocol_across_zones(),
        unreachable_zone_is_failed_over(),
        protocols::unreachable_zone_is_failed_over_in_every_protocol(),
    ]
}

fn batch(name: &str, from: &str, path: &str, headers: &[(&str, &str)]) -> Act {
    Act::Request(traffic(name, from, path, headers))
}

fn traffic(name: &str, from: &str, path: &str, headers: &[(&str, &str)]) -> Traffic {
    Traffic {
        name: name.to_owned(),
        from: from.to_owned(),
        to: "checkout".to_owned(),
        path: path.to_owned(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        protocol: Protocol::Http1,
        count: 20,
    }
}

fn answered_by(traffic: &str, application: &str) -> Expectation {
    Expectation::AnsweredBy {
        traffic: traffic.to_owned(),
        application: application.to_owned(),
    }
}

fn scenario(name: &str, claim: &str, when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: format!("routing/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: vec![Capability::ThreeZones],
        disturbs: Disturbs::Nothing,
        given: Given::default(),
        when,
        then,
    }
}

fn own_zone_first() -> Scenario {
    let zones = ["$zone1", "$zone2", "$zone3"];
    let name = |zone: &str| format!("at-{}", zone.trim_start_matches('$'));
    let when = zones
        .iter()
        .map(|zone| batch(&name(zone), &format!("frontend@{zone}"), "/", &[]))
        .collect();
    let then = zones
        .iter()
        .flat_map(|zone| {
            let traffic = name(zone);
            [
                answered(&traffic),
                passes_both_sidecars(&traffic),
                Expectation::PrefersOwnZone {
                    traffic,
                    percent: 100,
                },
            ]
        })
        .collect();
    scenario(
        "own-zone",
        "requests pass both sidecars and are answered in the caller's own data center while it can answer",
        when,
        then,
    )
}

/// Requests of callers in and out of scope, with and without what the rule looks at.
fn rule_for_the_right_callers(
    name: &str,
    claim: &str,
    rule: Rule,
    path: &str,
    headers: &[(&str, &str)],
) -> Scenario {
    let configuration = Configuration {
        rules: [("route".to_owned(), rule)].into(),
        ..payload("scoped", scope([data_center("$zone1")]), "v1")
    };
    scenario(
        name,
        claim,
        vec![
            Act::Apply(configuration),
            batch("caught", "frontend@$zone1", path, headers),
            batch("not-caught", "frontend@$zone1", "/", &[]),
            batch("out-of-scope", "frontend@$zone2", path, headers),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("caught"),
            answered("not-caught"),
            answered("out-of-scope"),
            answered_by("caught", "inventory"),
            answered_by("not-caught", "checkout"),
            answered_by("out-of-scope", "checkout"),
            passes_both_sidecars("caught"),
        ],
    )
}

fn header_rule_for_the_right_callers() -> Scenario {
    let header = ("x-meshproof-header-rule", "yes");
    rule_for_the_right_callers(
        "header-rule",
        "a header rule moves the requests with the header of the callers in its scope, and no others",
        header_rule(header.0, header.1),
        "/",
        &[header],
    )
}

fn path_rule_for_the_right_callers() -> Scenario {
    rule_for_the_right_callers(
        "path-rule",
        "a path rule moves the requests below the path of the callers in its scope, and no others",
        path_rule("/meshproof-path-rule/"),
        "/meshproof-path-rule/x",
        &[],
    )
}

/// One request of five goes to the other application: what a grayscale release or an A/B test does.
fn weights_share_the_requests() -> Scenario {
    let header = ("x-meshproof-weight-rule", "yes");
    let configuration = Configuration {
        rules: [(
            "route".to_owned(),
            Rule {
                to: [("checkout".to_owned(), 80), ("inventory".to_owned(), 20)].into(),
                ..header_rule(header.0, header.1)
            },
        )]
        .into(),
        ..payload("scoped", scope([data_center("$zone1")]), "v1")
    };
    let enough_to_tell = 200;
    let batch = |name: &str, from: &str| {
        Act::Request(Traffic {
            count: enough_to_tell,
            ..traffic(name, from, "/", &[header])
        })
    };
    scenario(
        "weight-rule",
        "the weights of a rule share the requests of the callers in its scope, and of no others",
        vec![
            Act::Apply(configuration),
            batch("shared", "frontend@$zone1"),
            batch("out-of-scope", "frontend@$zone2"),
        ],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            answered("shared"),
            answered("out-of-scope"),
            Expectation::SharedBy {
                traffic: "shared".to_owned(),
                percents: [("checkout".to_owned(), 80), ("inventory".to_owned(), 20)].into(),
            },
            answered_by("out-of-scope", "checkout"),
            passes_both_sidecars("shared"),
        ],
    )
}

fn leave(application: &str, zone: &str) -> Act {
    Act::Leave {
        application: application.to_owned(),
        data_center: zone.to_owned(),
    }
}

fn across_zones() -> Scenario {
    Scenario {
        // The gate sees requests that nobody at home can answer in `resilience/zone-cut-off`.
        tags: vec![Tag::Qa, Tag::PreRelease],
        disturbs: Disturbs::Everything,
        ..scenario(
            "across-zones",
            "requests that nobody at home can answer pass both sidecars on their way to another data center",
            vec![
                leave("checkout", "$zone1"),
                batch("away", "frontend@$zone1", "/", &[]),
            ],
            vec![
                answered("away"),
                passes_both_sidecars("away"),
                answered_by("away", "checkout"),
            ],
        )
    }
}

fn unreachable_zone_is_failed_over() -> Scenario {
    Scenario {
        // The gate sees the same in `resilience/zone-cut-off`.
        tags: vec![Tag::PreRelease, Tag::Chaos],
        requires: vec![Capability::ThreeZones, Capability::ZoneCut],
        disturbs: Disturbs::Everything,
        ..scenario(
            "unreachable-zone",
            "requests to a data center that cannot be reached are answered by another one within two seconds, and by it again once it can",
            vec![
                // Nobody at home, so that the other two data centers share the requests.
                leave("checkout", "$zone1"),
                load("away", "frontend@$zone1", "checkout"),
                Act::Inject(Fault::ZoneOutage {
                    data_center: "$zone2".to_owned(),
                    duration: Span::secs(4),
                    without: None,
                }),
                Act::Recover,
                stop("away"),
            ],
            vec![
                Expectation::FailsOver {
                    traffic: "away".to_owned(),
                    within: Span::secs(2),
                },
                Expectation::Recovers {
                    traffic: "away".to_owned(),
                },
                passes_both_sidecars("away"),
            ],
        )
    }
}
