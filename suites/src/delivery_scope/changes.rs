//! Configurations and workloads change: update, back again, wider, narrower, elsewhere, joined, rejected.

use crate::payload::{application, data_center, everybody, payload, payload_as, scope, workload};
use harness_model::capability::Capability;
use harness_model::configuration::{Configuration, Rule};
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};
use std::collections::BTreeMap;

/// The scenarios about changes.
pub(super) fn all() -> Vec<Scenario> {
    vec![
        update_and_back(),
        widen_and_narrow(),
        move_elsewhere(),
        delete_one_of_two(),
        status_is_true(),
        join(),
        rescheduled(),
        rejected_update(),
    ]
}

/// What is in force after these acts is proven once more on each replica.
fn scenario(name: &str, claim: &str, mut when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    when.push(Act::Reconnect);
    Scenario {
        name: format!("delivery-scope/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: vec![],
        disturbs: Disturbs::Nothing,
        given: Given::default(),
        when,
        then,
    }
}

fn update_and_back() -> Scenario {
    let version = |version| Act::Apply(payload("scoped", scope([data_center("$zone1")]), version));
    scenario(
        "update-and-back",
        "an update reaches its scope, and applying the earlier version again restores every sidecar exactly",
        vec![version("v1"), version("v2"), version("v1")],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored {
                reference: 0,
                step: 2,
            },
        ],
    )
}

fn widen_and_narrow() -> Scenario {
    let narrow = || {
        Act::Apply(payload(
            "scoped",
            scope([workload("checkout", "$zone1")]),
            "v1",
        ))
    };
    let wide = Act::Apply(payload("scoped", scope([everybody()]), "v1"));
    scenario(
        "widen-and-narrow",
        "a wider scope reaches the sidecars it adds, and a narrower one takes the configuration from them again",
        vec![narrow(), wide, narrow()],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored {
                reference: 0,
                step: 2,
            },
        ],
    )
}

fn move_elsewhere() -> Scenario {
    let to = |zone| Act::Apply(payload("scoped", scope([data_center(zone)]), "v1"));
    scenario(
        "move",
        "a scope that moves to another data center takes its configuration along and leaves nothing behind",
        vec![to("$zone1"), to("$zone2"), to("$zone3")],
        vec![Expectation::Delivered, Expectation::Confined],
    )
}

fn delete_one_of_two() -> Scenario {
    let stays = Act::Apply(payload("stays", scope([application("checkout")]), "v1"));
    let mut goes = payload("goes", scope([data_center("$zone1")]), "v1");
    goes.toggles = [("gone".to_owned(), "v1".to_owned())].into();
    goes.rules = goes
        .rules
        .into_values()
        .map(|rule| ("gone".to_owned(), rule))
        .collect();
    scenario(
        "delete",
        "a deleted configuration leaves every sidecar, and what others say stays",
        vec![stays, Act::Apply(goes), Act::Delete("goes".to_owned())],
        vec![Expectation::Delivered, Expectation::Confined],
    )
}

fn status_is_true() -> Scenario {
    let version =
        |version| Act::Apply(payload("scoped", scope([application("frontend")]), version));
    Scenario {
        requires: vec![Capability::DeliveryStatus],
        ..scenario(
            "status",
            "the status counts as matched and acknowledged exactly the sidecars that show the configuration",
            vec![version("v1"), version("v2")],
            vec![
                Expectation::Delivered,
                Expectation::Confined,
                Expectation::StatusIsTrue,
            ],
        )
    }
}

fn join() -> Scenario {
    let join = |application: &str, zone: &str| Act::Join {
        application: application.to_owned(),
        data_center: zone.to_owned(),
    };
    Scenario {
        // The gate sees pods that join in `rescheduled`.
        tags: vec![Tag::Qa, Tag::PreRelease],
        disturbs: Disturbs::Everything,
        given: Given {
            configurations: vec![payload("scoped", scope([data_center("$zone2")]), "v1")],
        },
        ..scenario(
            "join",
            "a pod that joins later gets what its place is in the scope of, and nothing else",
            vec![join("checkout", "$zone2"), join("checkout", "$zone1")],
            vec![Expectation::Delivered, Expectation::Confined],
        )
    }
}

fn rescheduled() -> Scenario {
    let here = |name: &str, zone: &str| {
        payload_as(name, scope([data_center(zone)]), "v1", &format!("-{name}"))
    };
    Scenario {
        disturbs: Disturbs::Everything,
        given: Given {
            configurations: vec![here("old-home", "$zone1"), here("new-home", "$zone2")],
        },
        ..scenario(
            "rescheduled",
            "a workload that is scheduled in another data center gets what is for its new place, and nothing of its old one",
            vec![Act::Reschedule {
                application: "checkout".to_owned(),
                from: "$zone1".to_owned(),
                to: "$zone2".to_owned(),
            }],
            vec![Expectation::Delivered, Expectation::Confined],
        )
    }
}

fn rejected_update() -> Scenario {
    let good = || payload("scoped", scope([workload("checkout", "$zone1")]), "v1");
    // Every sidecar refuses a route whose expression does not compile; nothing before it can know.
    let malformed = Rule {
        service: "checkout".to_owned(),
        path_prefix: None,
        path_regex: Some("/(".to_owned()),
        headers: BTreeMap::new(),
        to: [("inventory".to_owned(), 100)].into(),
        ..Rule::default()
    };
    let bad = Configuration {
        toggles: [("feature".to_owned(), "v2".to_owned())].into(),
        rules: [("route".to_owned(), malformed)].into(),
        ..good()
    };
    Scenario {
        requires: vec![Capability::DeliveryStatus],
        // The rejected resource carries the rules of all scenarios.
        disturbs: Disturbs::Everything,
        ..scenario(
            "rejected",
            "an update that sidecars reject is reported with their words, and a good one repairs it",
            vec![Act::Apply(good()), Act::Apply(bad), Act::Apply(good())],
            vec![
                Expectation::Delivered,
                Expectation::Confined,
                Expectation::Rejected { step: 1 },
                Expectation::StatusIsTrue,
                Expectation::Restored {
                    reference: 0,
                    step: 2,
                },
            ],
        )
    }
}
