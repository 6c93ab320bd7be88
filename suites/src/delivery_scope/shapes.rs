//! The truth table of scopes: each shape alone in a scenario of its own, and all together over a reconnect.

use crate::payload::{
    address, application, data_center, everybody, payload, payload_as, scope, workload,
};
use harness_model::capability::Capability;
use harness_model::configuration::{Configuration, Scope, ScopeEntry};
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// What the gate has alone, too: a field each, and what is excepted. It has every shape in [`nothing_leaks_late`].
const IN_THE_GATE: [&str; 5] = [
    "data-center",
    "application",
    "address",
    "another-cluster",
    "except-application",
];

/// One row of the truth table.
struct Shape {
    name: &'static str,
    claim: &'static str,
    scope: Scope,
}

/// One scenario for each shape: create, prove on each replica, delete; and the scenarios over all shapes.
pub(super) fn all() -> Vec<Scenario> {
    let mut scenarios: Vec<Scenario> = shapes().into_iter().map(create_and_delete).collect();
    scenarios.push(nothing_leaks_on_reconnect());
    scenarios.push(nothing_leaks_late());
    scenarios
}

fn shapes() -> Vec<Shape> {
    let except = |entries: Vec<ScopeEntry>, except: Vec<ScopeEntry>| Scope { entries, except };
    vec![
        Shape {
            name: "data-center",
            claim: "a configuration for one data center reaches every sidecar there and no other",
            scope: scope([data_center("$zone1")]),
        },
        Shape {
            name: "application",
            claim: "a configuration for one application reaches it in every data center and no other application",
            scope: scope([application("checkout")]),
        },
        Shape {
            name: "address",
            claim: "a configuration for one address reaches the sidecar that has it and no other",
            scope: scope([address("$ip:checkout@$zone1")]),
        },
        Shape {
            name: "address-block",
            claim: "a configuration for a block of addresses reaches the sidecars within it and no other",
            scope: scope([address("$ip:checkout@$zone2/24")]),
        },
        Shape {
            name: "data-center-and-application",
            claim: "the fields of one scope entry must all match",
            scope: scope([workload("checkout", "$zone1")]),
        },
        Shape {
            name: "cluster-and-data-center",
            claim: "a cluster narrows a data center and does not widen it",
            scope: scope([ScopeEntry {
                cluster: Some("$cluster1".to_owned()),
                ..data_center("$zone3")
            }]),
        },
        Shape {
            name: "address-in-cluster",
            claim: "addresses are those of sidecars in their cluster, and not of who has them in another",
            // Clusters that have the same plan of addresses have sidecars in this block, whoever has which of them. On the
            // local cluster it is that of one data center. On kind it is that of all pods: nodes there get their blocks in the
            // order in which they join, and a smaller one may be that of nobody in the other cluster.
            scope: scope([ScopeEntry {
                cluster: Some("$cluster1".to_owned()),
                ..address("$ip:checkout@$zone1/16")
            }]),
        },
        Shape {
            name: "cluster",
            claim: "a configuration for one cluster reaches every sidecar there and no other",
            scope: scope([ScopeEntry {
                cluster: Some("$cluster1".to_owned()),
                ..ScopeEntry::default()
            }]),
        },
        Shape {
            name: "another-cluster",
            claim: "a configuration for another cluster reaches nobody in this one",
            scope: scope([ScopeEntry {
                cluster: Some("$unknown:elsewhere".to_owned()),
                ..ScopeEntry::default()
            }]),
        },
        Shape {
            name: "contradicting-fields",
            claim: "an application and the address of another one together match nobody",
            scope: scope([ScopeEntry {
                application: Some("inventory".to_owned()),
                ..address("$ip:checkout@$zone1")
            }]),
        },
        Shape {
            name: "several-entries",
            claim: "a sidecar is in scope when any one entry matches it",
            scope: scope([workload("checkout", "$zone1"), data_center("$zone3")]),
        },
        Shape {
            name: "except-data-center",
            claim: "an excepted data center is out of scope though everybody is in it",
            scope: except(vec![everybody()], vec![data_center("$zone2")]),
        },
        Shape {
            name: "except-application",
            claim: "an excepted application is out of scope though its data center is in it",
            scope: except(vec![data_center("$zone1")], vec![application("inventory")]),
        },
        Shape {
            name: "except-address",
            claim: "an excepted address is out of scope though its application is in it",
            scope: except(
                vec![application("checkout")],
                vec![address("$ip:checkout@$zone3")],
            ),
        },
        Shape {
            name: "everybody",
            claim: "an entry without fields reaches every sidecar",
            scope: scope([everybody()]),
        },
        Shape {
            name: "nobody",
            claim: "a scope without entries reaches nobody",
            scope: scope([]),
        },
    ]
}

fn create_and_delete(shape: Shape) -> Scenario {
    Scenario {
        name: format!("delivery-scope/{}", shape.name),
        claim: shape.claim.to_owned(),
        tags: if IN_THE_GATE.contains(&shape.name) {
            vec![Tag::Gate, Tag::Qa]
        } else {
            vec![Tag::Qa, Tag::PreRelease]
        },
        requires: vec![],
        disturbs: Disturbs::Nothing,
        given: Given::default(),
        when: vec![
            Act::Apply(payload("scoped", shape.scope, "v1")),
            Act::Reconnect,
            Act::Delete("scoped".to_owned()),
        ],
        then: vec![Expectation::Delivered, Expectation::Confined],
    }
}

/// One configuration for each shape, all in force at once, each with keys of its own.
fn one_of_each() -> Vec<Configuration> {
    shapes()
        .into_iter()
        .map(|shape| payload_as(shape.name, shape.scope, "v1", &format!("-{}", shape.name)))
        .collect()
}

fn nothing_leaks_on_reconnect() -> Scenario {
    Scenario {
        name: "delivery-scope/reconnect".to_owned(),
        claim: "no shape of scope leaks when every sidecar dials every control-plane replica anew"
            .to_owned(),
        // The gate sees the same in `late`, a few seconds later.
        tags: vec![Tag::Qa, Tag::PreRelease],
        requires: vec![Capability::SeveralReplicas],
        disturbs: Disturbs::Nothing,
        given: Given {
            configurations: one_of_each(),
        },
        when: vec![Act::Reconnect],
        then: vec![Expectation::Delivered, Expectation::Confined],
    }
}

fn nothing_leaks_late() -> Scenario {
    Scenario {
        name: "delivery-scope/late".to_owned(),
        claim: "no shape of scope leaks in the seconds after its delivery, nor when every sidecar dials anew then"
            .to_owned(),
        tags: vec![Tag::Gate, Tag::Qa],
        requires: vec![],
        disturbs: Disturbs::Nothing,
        given: Given {
            configurations: one_of_each(),
        },
        // Longer than the two seconds after which a late leak was once seen.
        when: vec![Act::Hold(Span::secs(3)), Act::Reconnect],
        then: vec![Expectation::Delivered, Expectation::Confined],
    }
}
