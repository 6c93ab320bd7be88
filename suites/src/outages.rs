//! What is away or hangs for a while, and comes back: control planes, workloads, machines, Kubernetes itself, and what
//! gives certificates.

mod certificates;
mod disks;

use crate::payload::{application, everybody, payload, payload_as, scope};
use crate::traffic::{
    answered, answered_but, load, load_over, load_slow, passes_both_sidecars, stop,
};
use harness_model::capability::Capability;
use harness_model::duration::Span;
use harness_model::expectation::Expectation;
use harness_model::fault::{Fault, PodSelector};
use harness_model::protocol::Protocol;
use harness_model::scenario::{Act, Disturbs, Given, Rollout, Scenario, Tag};

/// The scenarios of this suite.
#[must_use]
pub fn all() -> Vec<Scenario> {
    let mut scenarios = vec![
        replica_frozen(),
        control_plane_away(),
        workload_frozen(),
        nodes_off(),
        api_server_away(),
        etcd_frozen(),
        applications_rolled_out(),
        rolled_out_without_control_plane(),
        control_plane_rolled_out(),
    ];
    scenarios.extend(certificates::all());
    scenarios.extend(disks::all());
    scenarios
}

/// The name that the mesh definitions give the control plane.
const CONTROL_PLANE: &str = "control-plane";

fn meanwhile() -> Act {
    load("meanwhile", "frontend@$zone1", "checkout")
}

fn hold(seconds: u64) -> Act {
    Act::Hold(Span::secs(seconds))
}

/// Everybody has it before anything breaks.
fn steady() -> Given {
    Given {
        configurations: vec![payload_as("steady", scope([everybody()]), "v1", "-steady")],
    }
}

/// Something new for more sidecars than one replica serves.
fn news(name: &str) -> Act {
    Act::Apply(payload(
        name,
        scope([application("frontend"), application("checkout")]),
        "v1",
    ))
}

/// Static stability: without who could change something nothing changes, and afterwards everything can.
fn all_stays_as_it_is() -> Vec<Expectation> {
    vec![
        answered("meanwhile"),
        passes_both_sidecars("meanwhile"),
        Expectation::Unchanged,
        Expectation::Delivered,
        Expectation::Confined,
    ]
}

fn scenario(name: &str, claim: &str, when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        name: format!("outages/{name}"),
        claim: claim.to_owned(),
        // What is away for seconds takes longer than a gate may.
        tags: vec![Tag::PreRelease, Tag::Chaos],
        requires: vec![Capability::ThreeZones],
        disturbs: Disturbs::Everything,
        given: Given::default(),
        when,
        then,
    }
}

/// It keeps its connections and says nothing: only a sidecar that asks for signs of life finds out.
fn replica_frozen() -> Scenario {
    let scenario = scenario(
        "replica-frozen",
        "sidecars of a control-plane replica that hangs move to another one, and changes are delivered while it hangs",
        vec![
            meanwhile(),
            Act::Inject(Fault::PodFreeze {
                selector: PodSelector::ControlPlaneReplica,
                duration: Span::secs(14),
            }),
            // Two seconds to the next sign of life that is asked for, two until it is missed, and some to dial.
            hold(6),
            news("during"),
            Act::Recover,
            Act::Apply(payload("after", scope([everybody()]), "v1")),
            stop("meanwhile"),
        ],
        vec![
            answered("meanwhile"),
            passes_both_sidecars("meanwhile"),
            Expectation::Delivered,
            // Neither `unchanged`, since whoever has moved gets what is new, nor `confined`: nobody shows what the one that hangs
            // would have sent.
        ],
    );
    Scenario {
        requires: vec![Capability::ThreeZones, Capability::SeveralReplicas],
        given: steady(),
        ..scenario
    }
}

/// Nobody can tell a sidecar anything: what it holds has to do.
fn control_plane_away() -> Scenario {
    Scenario {
        requires: vec![Capability::ThreeZones, Capability::SeveralReplicas],
        given: steady(),
        ..scenario(
            "control-plane-away",
            "traffic and configuration stay as they are without any control plane, and changes are delivered once it is back",
            vec![
                meanwhile(),
                // About two seconds pass until it is measured to bite; the rest is longer than a replica takes to be replaced.
                Act::Inject(Fault::ComponentOutage {
                    component: CONTROL_PLANE.to_owned(),
                    duration: Span::secs(8),
                }),
                Act::Recover,
                news("after"),
                stop("meanwhile"),
            ],
            all_stays_as_it_is(),
        )
    }
}

/// Its kernel still takes connections: nobody refuses anything.
fn workload_frozen() -> Scenario {
    Scenario {
        given: steady(),
        ..scenario(
            "workload-frozen",
            "traffic to a workload that hangs moves on, and it is as before when it goes on",
            vec![
                meanwhile(),
                Act::Inject(Fault::PodFreeze {
                    selector: PodSelector::Workload("checkout@$zone1".to_owned()),
                    duration: Span::secs(8),
                }),
                Act::Recover,
                Act::Apply(payload("after", scope([application("checkout")]), "v1")),
                stop("meanwhile"),
            ],
            vec![
                answered("meanwhile"),
                Expectation::FailsOver {
                    traffic: "meanwhile".to_owned(),
                    within: Span::secs(2),
                },
                Expectation::Recovers {
                    traffic: "meanwhile".to_owned(),
                },
                Expectation::Delivered,
            ],
        )
    }
}

fn nodes_off() -> Scenario {
    Scenario {
        given: steady(),
        ..scenario(
            "nodes-off",
            "traffic fails over when the nodes of a data center lose power, and what ran there comes back with its configuration, and traffic to it",
            vec![
                // Nobody at home: it must cross to a data center that dies.
                Act::Leave {
                    application: "checkout".to_owned(),
                    data_center: "$zone1".to_owned(),
                },
                load("elsewhere", "frontend@$zone1", "checkout"),
                Act::Inject(Fault::NodeOutage {
                    data_center: "$zone3".to_owned(),
                    duration: Span::secs(10),
                }),
                Act::Recover,
                Act::Apply(payload("after", scope([everybody()]), "v1")),
                hold(1),
                stop("elsewhere"),
            ],
            vec![
                // What was under way to the dead one, and no more.
                answered_but("elsewhere", 5),
                Expectation::FailsOver {
                    traffic: "elsewhere".to_owned(),
                    within: Span::secs(2),
                },
                Expectation::Recovers {
                    traffic: "elsewhere".to_owned(),
                },
                Expectation::Delivered,
                // Not `unchanged`: sidecars that had no power begin with nothing.
                Expectation::Confined,
            ],
        )
    }
}

fn api_server_away() -> Scenario {
    without_kubernetes(
        "api-server-away",
        "traffic and configuration stay as they are without the API server of Kubernetes, and changes are delivered once it is back",
        Fault::ApiServerOutage {
            duration: Span::secs(10),
        },
    )
}

fn etcd_frozen() -> Scenario {
    without_kubernetes(
        "etcd-frozen",
        "traffic and configuration stay as they are while etcd hangs, and changes are delivered once it goes on",
        Fault::EtcdFreeze {
            duration: Span::secs(8),
        },
    )
}

fn without_kubernetes(name: &str, claim: &str, fault: Fault) -> Scenario {
    Scenario {
        given: steady(),
        ..scenario(
            name,
            claim,
            vec![
                meanwhile(),
                Act::Inject(fault),
                Act::Recover,
                news("after"),
                Act::Apply(payload(
                    "after",
                    scope([application("frontend"), application("checkout")]),
                    "v2",
                )),
                stop("meanwhile"),
            ],
            all_stays_as_it_is(),
        )
    }
}

/// Every pod that answers is replaced, in every data center at once.
fn applications_rolled_out() -> Scenario {
    let from = "frontend@$zone1";
    Scenario {
        requires: vec![Capability::ThreeZones, Capability::Protocols],
        given: steady(),
        ..scenario(
            "applications-rolled-out",
            "every pod of an application, its sidecar with it, goes to the build before and up again under load without a lost request, call or exchange of bytes, or an answer that is cut short, and the new ones get what is in force",
            vec![
                meanwhile(),
                load_over(Protocol::Grpc, 10, "calls", from, "checkout"),
                // Each has a connection of its own, and no sidecar can send it again elsewhere.
                load_over(Protocol::Tcp, 10, "bytes", from, "checkout"),
                // Of these some are under way whenever a pod is told to end. Until they have ended its application takes bytes,
                // and by then its callers' sidecars know that it goes.
                load_slow(10, Span::secs(2), "slow", from, "checkout"),
                Act::Restart(Rollout::Application("checkout".to_owned())),
                Act::Apply(payload("after", scope([application("checkout")]), "v1")),
                stop("meanwhile"),
                stop("calls"),
                stop("bytes"),
                stop("slow"),
            ],
            vec![
                answered("meanwhile"),
                passes_both_sidecars("meanwhile"),
                answered("calls"),
                answered("bytes"),
                answered("slow"),
                Expectation::Delivered,
            ],
        )
    }
}

/// What starts then cannot be told anything: it must not count as ready, and what it is to replace has to wait for it.
fn rolled_out_without_control_plane() -> Scenario {
    Scenario {
        requires: vec![Capability::ThreeZones, Capability::SeveralReplicas],
        given: steady(),
        ..scenario(
            "rolled-out-without-control-plane",
            "pods that start without any control plane take no requests, and the ones that they are to replace go on until they can",
            vec![
                meanwhile(),
                Act::Inject(Fault::ComponentOutage {
                    component: CONTROL_PLANE.to_owned(),
                    duration: Span::secs(10),
                }),
                Act::Restart(Rollout::Application("checkout".to_owned())),
                Act::Recover,
                Act::Apply(payload("after", scope([application("checkout")]), "v1")),
                stop("meanwhile"),
            ],
            vec![
                answered("meanwhile"),
                passes_both_sidecars("meanwhile"),
                Expectation::Delivered,
            ],
        )
    }
}

fn control_plane_rolled_out() -> Scenario {
    Scenario {
        requires: vec![Capability::ThreeZones, Capability::SeveralReplicas],
        given: steady(),
        ..scenario(
            "control-plane-rolled-out",
            "every replica of the control plane goes to the build before and up again without a lost request or configuration, and changes are delivered by the new ones",
            vec![
                meanwhile(),
                Act::Restart(Rollout::Component(CONTROL_PLANE.to_owned())),
                news("after"),
                stop("meanwhile"),
            ],
            vec![
                answered("meanwhile"),
                passes_both_sidecars("meanwhile"),
                Expectation::Delivered,
                Expectation::Confined,
            ],
        )
    }
}
