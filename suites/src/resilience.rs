//! What breaks is survived: a control-plane replica, a workload, a data center.

use crate::payload::{application, data_center, everybody, payload, payload_as, scope};
use crate::traffic::{answered, answered_but, load, passes_both_sidecars, stop};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::{Fault, PodSelector};
use harness_model::scenario::{Act, Disturbs, Given, Scenario, Tag};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    vec![
        control_plane_replica_killed(),
        workload_killed(),
        zone_cut_off_and_back(),
    ]
}

fn scenario(name: &str, claim: &str, requires: Vec<Capability>) -> Scenario {
    Scenario {
        name: format!("resilience/{name}"),
        claim: claim.to_owned(),
        tags: vec![Tag::Gate, Tag::PreRelease, Tag::Chaos],
        requires,
        disturbs: Disturbs::Everything,
        given: Given::default(),
        when: Vec::new(),
        then: Vec::new(),
    }
}

fn control_plane_replica_killed() -> Scenario {
    Scenario {
        given: Given {
            configurations: vec![payload_as("steady", scope([everybody()]), "v1", "-steady")],
        },
        when: vec![
            load("meanwhile", "frontend@$zone1", "checkout"),
            Act::Inject(Fault::PodKill {
                selector: PodSelector::ControlPlaneReplica,
            }),
            Act::Recover,
            // More sidecars than the killed replica can have been without.
            Act::Apply(payload(
                "after",
                scope([application("frontend"), application("checkout")]),
                "v1",
            )),
            stop("meanwhile"),
        ],
        then: vec![
            answered("meanwhile"),
            passes_both_sidecars("meanwhile"),
            Expectation::Unchanged,
            Expectation::Delivered,
            Expectation::Confined,
        ],
        ..scenario(
            "control-plane-replica-killed",
            "no request and no configuration is lost with a control-plane replica, and changes are delivered after it",
            vec![Capability::ThreeZones, Capability::SeveralReplicas],
        )
    }
}

fn workload_killed() -> Scenario {
    Scenario {
        given: Given {
            configurations: vec![payload("scoped", scope([application("checkout")]), "v1")],
        },
        when: vec![
            load("meanwhile", "frontend@$zone1", "checkout"),
            Act::Inject(Fault::PodKill {
                selector: PodSelector::Workload("checkout@$zone1".to_owned()),
            }),
            Act::Recover,
            stop("meanwhile"),
        ],
        then: vec![
            // What was under way when the pod died, and no more.
            answered_but("meanwhile", 5),
            passes_both_sidecars("meanwhile"),
            Expectation::Delivered,
            Expectation::Confined,
        ],
        ..scenario(
            "workload-killed",
            "traffic to a killed workload moves on, and its replacement gets what is in force",
            vec![Capability::ThreeZones],
        )
    }
}

fn zone_cut_off_and_back() -> Scenario {
    let leave = |application: &str, zone: &str| Act::Leave {
        application: application.to_owned(),
        data_center: zone.to_owned(),
    };
    Scenario {
        given: Given {
            configurations: vec![payload_as("steady", scope([everybody()]), "v1", "-steady")],
        },
        when: vec![
            // Nobody at home for two of the three loads, so that they must cross the cut.
            leave("checkout", "$zone2"),
            leave("inventory", "$zone1"),
            load("inside", "frontend@$zone1", "checkout"),
            load("into", "frontend@$zone2", "checkout"),
            load("out-of", "frontend@$zone1", "inventory"),
            Act::Inject(Fault::ZoneOutage {
                data_center: "$zone1".to_owned(),
                duration: Span::secs(4),
                without: None,
            }),
            Act::Recover,
            Act::Hold(Span::secs(1)),
            stop("inside"),
            stop("into"),
            stop("out-of"),
            Act::Apply(payload("after", scope([data_center("$zone1")]), "v1")),
        ],
        then: vec![
            answered("inside"),
            passes_both_sidecars("inside"),
            Expectation::FailsOver {
                traffic: "into".to_owned(),
                within: Span::secs(2),
            },
            Expectation::Recovers {
                traffic: "out-of".to_owned(),
            },
            Expectation::Unchanged,
            Expectation::Delivered,
            Expectation::Confined,
        ],
        ..scenario(
            "zone-cut-off",
            "a data center that is cut off keeps its own traffic and configuration, others do without it, and it comes back",
            vec![Capability::ThreeZones, Capability::ZoneCut],
        )
    }
}
