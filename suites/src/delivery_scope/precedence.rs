//! Two configurations say different things about the same keys: the truth table of who wins.

use crate::payload::{address, application, data_center, everybody, payload, scope};
use harness_model::configuration::{Configuration, ScopeEntry};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// One row: the narrower entry wins over the wider one.
struct Overlap {
    name: &'static str,
    claim: &'static str,
    narrow: ScopeEntry,
    wide: ScopeEntry,
}

/// One scenario for each pair of neighbours in the order of specificity, then priority and age.
pub(super) fn all() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = overlaps().into_iter().map(overlap).collect();
    scenarios.push(higher_priority_wins());
    scenarios.push(older_wins());
    scenarios
}

fn overlaps() -> Vec<Overlap> {
    vec![
        Overlap {
            name: "address-over-application",
            claim: "a configuration for an address wins over one for its application",
            narrow: address("$ip:checkout@$zone1"),
            wide: application("checkout"),
        },
        Overlap {
            name: "longer-prefix",
            claim: "of two blocks of addresses the one with the longer prefix wins",
            narrow: address("$ip:checkout@$zone1/32"),
            wide: address("$ip:checkout@$zone1/24"),
        },
        Overlap {
            name: "application-over-data-center",
            claim: "a configuration for an application wins over one for its data center",
            narrow: application("checkout"),
            wide: data_center("$zone1"),
        },
        Overlap {
            name: "data-center-over-everywhere",
            claim: "a configuration for a data center wins over one for everybody",
            narrow: data_center("$zone2"),
            wide: everybody(),
        },
    ]
}

fn scenario(name: &str, claim: &str, given: Configuration, when: Vec<Act>) -> Scenario {
    Scenario {
        name: format!("delivery-scope/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: vec![],
        disturbs: Disturbs::Nothing,
        given: Given {
            configurations: vec![given],
        },
        when,
        then: vec![Expectation::Delivered, Expectation::Confined],
    }
}

/// The wide one is older and has the higher priority, so only specificity can make the narrow one win.
/// When it is gone the wide one is in force again.
fn overlap(row: Overlap) -> Scenario {
    let wide = Configuration {
        priority: 10,
        ..payload("a-wide", scope([row.wide]), "wide")
    };
    let narrow = payload("b-narrow", scope([row.narrow]), "narrow");
    scenario(
        row.name,
        row.claim,
        wide,
        vec![
            Act::Apply(narrow),
            Act::Reconnect,
            Act::Delete("b-narrow".to_owned()),
        ],
    )
}

fn higher_priority_wins() -> Scenario {
    let low = payload("a-low", scope([data_center("$zone1")]), "low");
    let high = Configuration {
        priority: 1,
        ..payload(
            "b-high",
            scope([data_center("$zone1"), data_center("$zone2")]),
            "high",
        )
    };
    scenario(
        "priority",
        "of two equally specific configurations the one with the higher priority wins",
        low,
        vec![
            Act::Apply(high),
            Act::Reconnect,
            Act::Delete("b-high".to_owned()),
        ],
    )
}

fn older_wins() -> Scenario {
    // By name the newer one would win.
    let older = payload("b-older", scope([application("checkout")]), "older");
    let mut newer = payload("a-newer", scope([application("checkout")]), "newer");
    // A key of its own, or nothing would change and nothing could show that it has arrived.
    newer.toggles.insert("own".to_owned(), "newer".to_owned());
    scenario(
        "older-wins",
        "of two configurations with equal specificity and priority the older one wins",
        older,
        // The Kubernetes API tells ages in whole seconds.
        vec![
            Act::Hold(Span::millis(1100)),
            Act::Apply(newer),
            Act::Reconnect,
        ],
    )
}
