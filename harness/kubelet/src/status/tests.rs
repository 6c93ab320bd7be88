//! Tests of the status.

use super::*;
use crate::pod_context::waiting;
use k8s_openapi::api::core::v1::{ContainerStateRunning, ContainerStateTerminated};
use serde_json::json;

fn ended(exit_code: i32) -> ContainerState {
    let terminated = ContainerStateTerminated {
        exit_code,
        ..Default::default()
    };
    ContainerState {
        terminated: Some(terminated),
        ..Default::default()
    }
}

fn running() -> ContainerState {
    ContainerState {
        running: Some(ContainerStateRunning::default()),
        ..Default::default()
    }
}

fn facts(containers: &[(&str, ContainerState, bool)]) -> Facts {
    let containers = containers
        .iter()
        .map(|(name, state, ready)| {
            let facts = ContainerFacts {
                state: state.clone(),
                ready: *ready,
                started: *ready,
                ..Default::default()
            };
            ((*name).to_owned(), facts)
        })
        .collect();
    Facts {
        containers,
        address: Some(Ipv4Addr::new(10, 1, 1, 2)),
        ..Facts::default()
    }
}

fn status(policy: &str, facts: &Facts) -> (String, bool) {
    let pod = json!({"metadata": {"name": "p"}, "spec": {
        "restartPolicy": policy,
        "initContainers": [{"name": "init"}, {"name": "side", "restartPolicy": "Always"}],
        "containers": [{"name": "main"}],
    }});
    let pod: Pod = serde_json::from_value(pod).unwrap();
    let now = Timestamp::UNIX_EPOCH;
    let status = compute(&pod, facts, Ipv4Addr::LOCALHOST, &PodStatus::default(), now);
    let ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    (status.phase.unwrap(), ready)
}

#[test]
fn phases() {
    let idle = || waiting("PodInitializing", None);
    let table = [
        ("Always", facts(&[]), "Pending", false),
        (
            "Never",
            facts(&[("init", ended(1), false)]),
            "Failed",
            false,
        ),
        (
            "Always",
            facts(&[("init", ended(1), false)]),
            "Pending",
            false,
        ),
        (
            "Always",
            facts(&[
                ("init", ended(0), false),
                ("side", running(), true),
                ("main", idle(), false),
            ]),
            "Pending",
            false,
        ),
        (
            "Always",
            facts(&[
                ("init", ended(0), false),
                ("side", running(), false),
                ("main", running(), true),
            ]),
            "Running",
            false,
        ),
        (
            "Always",
            facts(&[
                ("init", ended(0), false),
                ("side", running(), true),
                ("main", running(), true),
            ]),
            "Running",
            true,
        ),
        (
            "Never",
            facts(&[
                ("init", ended(0), false),
                ("side", running(), true),
                ("main", ended(0), false),
            ]),
            "Running",
            false,
        ),
        (
            "Never",
            facts(&[
                ("init", ended(0), false),
                ("side", ended(0), false),
                ("main", ended(0), false),
            ]),
            "Succeeded",
            false,
        ),
        (
            "OnFailure",
            facts(&[
                ("init", ended(0), false),
                ("side", ended(0), false),
                ("main", ended(2), false),
            ]),
            "Running",
            false,
        ),
    ];
    for (number, (policy, facts, phase, ready)) in table.into_iter().enumerate() {
        assert_eq!(
            status(policy, &facts),
            (phase.to_owned(), ready),
            "row {number}"
        );
    }
}

#[test]
fn a_pod_that_was_ended_has_failed_or_succeeded() {
    let mut facts = facts(&[
        ("init", ended(0), false),
        ("side", ended(0), false),
        ("main", ended(137), false),
    ]);
    facts.ending = true;
    assert_eq!(status("Always", &facts).0, "Failed");
}

#[test]
fn transition_times_stay_while_nothing_changes() {
    let pod: Pod =
        serde_json::from_value(json!({"spec": {"containers": [{"name": "main"}]}})).unwrap();
    let early = Timestamp::UNIX_EPOCH;
    let late = Timestamp::from_second(100).unwrap();
    let first = compute(
        &pod,
        &facts(&[]),
        Ipv4Addr::LOCALHOST,
        &PodStatus::default(),
        early,
    );
    let second = compute(&pod, &facts(&[]), Ipv4Addr::LOCALHOST, &first, late);
    assert_eq!(first, second);
}

#[test]
fn a_container_that_waits_for_no_other_is_being_created() {
    let reason = |pod: serde_json::Value| {
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let before = PodStatus::default();
        let now = Timestamp::UNIX_EPOCH;
        let status = compute(&pod, &facts(&[]), Ipv4Addr::LOCALHOST, &before, now);
        let main = &status.container_statuses.unwrap()[0];
        main.state.clone().unwrap().waiting.unwrap().reason.unwrap()
    };
    assert_eq!(
        reason(json!({"spec": {"containers": [{"name": "main"}]}})),
        "ContainerCreating"
    );
    let with_init = json!({"spec": {
        "initContainers": [{"name": "init"}], "containers": [{"name": "main"}],
    }});
    assert_eq!(reason(with_init), "PodInitializing");
}
