//! The status of a pod, computed from its object and from what is known here. Pure.

use crate::pod_context::{ContainerFacts, Facts, INITIALIZING};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    Container, ContainerState, ContainerStatus, HostIP, Pod, PodCondition, PodIP, PodSpec,
    PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use std::net::Ipv4Addr;

/// Computes the status. `before` is the last one, from which times of transition are kept.
pub(crate) fn compute(
    pod: &Pod,
    facts: &Facts,
    host: Ipv4Addr,
    before: &PodStatus,
    now: Timestamp,
) -> PodStatus {
    let default = PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&default);
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    let of = |container: &Container| {
        facts
            .containers
            .get(&container.name)
            .cloned()
            .unwrap_or_default()
    };
    let status_of = |container: &Container| {
        let mut facts = of(container);
        // What it waits for before its first start is told by whether something else comes first.
        if let Some(waiting) = facts.state.waiting.as_mut().filter(|_| inits.is_empty())
            && waiting.reason.as_deref() == Some(INITIALIZING)
        {
            waiting.reason = Some("ContainerCreating".to_owned());
        }
        container_status(container, facts)
    };
    let phase = phase(spec, facts);
    let done = phase == "Succeeded" || phase == "Failed";
    let initialized = inits
        .iter()
        .all(|container| is_initialized(container, &of(container)));
    let unready: Vec<&str> = inits
        .iter()
        .filter(|container| is_sidecar(container))
        .chain(&spec.containers)
        .filter(|container| !of(container).ready)
        .map(|container| container.name.as_str())
        .collect();
    let containers_ready = initialized && unready.is_empty() && !done;
    let gates_open = spec.readiness_gates.iter().flatten().all(|gate| {
        let conditions = pod
            .status
            .as_ref()
            .and_then(|status| status.conditions.as_deref());
        conditions
            .unwrap_or_default()
            .iter()
            .any(|condition| condition.type_ == gate.condition_type && condition.status == "True")
    });
    let reason = match (done, phase) {
        (true, "Succeeded") => "PodCompleted",
        (true, _) => "PodFailed",
        _ => "ContainersNotReady",
    };
    let message = (!unready.is_empty() && !done)
        .then(|| format!("containers with unready status: [{}]", unready.join(" ")));
    let because = Some((reason, message));
    let conditions = [
        (
            "PodReadyToStartContainers",
            facts.address.is_some() && !facts.settled,
            None,
        ),
        (
            "Initialized",
            initialized || phase == "Succeeded",
            Some(("ContainersNotInitialized", None)),
        ),
        ("Ready", containers_ready && gates_open, because.clone()),
        ("ContainersReady", containers_ready, because),
        ("PodScheduled", true, None),
    ];
    let (refused, refused_message) = facts.refused.clone().unzip();
    PodStatus {
        phase: Some(phase.to_owned()),
        reason: refused,
        message: refused_message,
        conditions: Some(
            conditions
                .into_iter()
                .map(|(kind, holds, because)| condition(kind, holds, because, before, now))
                .collect(),
        ),
        host_ip: Some(host.to_string()),
        host_ips: Some(vec![HostIP {
            ip: host.to_string(),
        }]),
        pod_ip: facts.address.map(|address| address.to_string()),
        pod_ips: facts.address.map(|address| {
            vec![PodIP {
                ip: address.to_string(),
            }]
        }),
        start_time: facts.started.map(Time),
        container_statuses: Some(spec.containers.iter().map(status_of).collect()),
        init_container_statuses: (!inits.is_empty()).then(|| inits.iter().map(status_of).collect()),
        ..PodStatus::default()
    }
}

/// Whether an init container runs beside the others for the pod's whole life.
pub(crate) fn is_sidecar(container: &Container) -> bool {
    container.restart_policy.as_deref() == Some("Always")
}

fn exit_status(state: &ContainerState) -> Option<i32> {
    state
        .terminated
        .as_ref()
        .map(|terminated| terminated.exit_code)
}

fn is_initialized(container: &Container, facts: &ContainerFacts) -> bool {
    if is_sidecar(container) {
        facts.started || facts.state.terminated.is_some()
    } else {
        exit_status(&facts.state) == Some(0)
    }
}

fn phase(spec: &PodSpec, facts: &Facts) -> &'static str {
    let state = |container: &Container| {
        facts
            .containers
            .get(&container.name)
            .cloned()
            .unwrap_or_default()
            .state
    };
    let inits = spec.init_containers.as_deref().unwrap_or_default();
    // A pod that is being ended restarts nothing.
    let policy = if facts.ending {
        "Never"
    } else {
        spec.restart_policy.as_deref().unwrap_or("Always")
    };
    if facts.refused.is_some() {
        return "Failed";
    }
    let init_failed = inits
        .iter()
        .filter(|container| !is_sidecar(container))
        .any(|container| exit_status(&state(container)).is_some_and(|status| status != 0));
    let sidecars_ended = inits
        .iter()
        .filter(|container| is_sidecar(container))
        .all(|container| state(container).running.is_none());
    if init_failed && policy == "Never" && sidecars_ended {
        return "Failed";
    }
    let begun = |container: &Container| {
        facts.containers.get(&container.name).is_some_and(|facts| {
            facts.state.waiting.is_none() || facts.last_state.terminated.is_some()
        })
    };
    let ended: Vec<Option<i32>> = spec
        .containers
        .iter()
        .map(|container| exit_status(&state(container)))
        .collect();
    if ended.iter().all(Option::is_some) && sidecars_ended {
        let good = ended.iter().all(|status| *status == Some(0));
        return match (policy, good) {
            ("Always", _) | ("OnFailure", false) => "Running",
            (_, true) => "Succeeded",
            (_, false) => "Failed",
        };
    }
    if facts.ending && facts.settled {
        return "Failed";
    }
    if spec.containers.iter().all(begun) {
        "Running"
    } else {
        "Pending"
    }
}

fn container_status(container: &Container, facts: ContainerFacts) -> ContainerStatus {
    ContainerStatus {
        name: container.name.clone(),
        image: container.image.clone().unwrap_or_default(),
        image_id: facts.image_id,
        container_id: facts.container_id,
        ready: facts.ready,
        started: Some(facts.started),
        restart_count: facts.restarts,
        state: Some(facts.state),
        last_state: Some(facts.last_state),
        ..ContainerStatus::default()
    }
}

fn condition(
    kind: &str,
    holds: bool,
    because: Option<(&str, Option<String>)>,
    before: &PodStatus,
    now: Timestamp,
) -> PodCondition {
    let status = if holds { "True" } else { "False" };
    let unchanged = before
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == kind && condition.status == status);
    let (reason, message) = if holds {
        (None, None)
    } else {
        because.map_or((None, None), |(r, m)| (Some(r.to_owned()), m))
    };
    PodCondition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason,
        message,
        last_transition_time: unchanged
            .and_then(|condition| condition.last_transition_time.clone())
            .or(Some(Time(now))),
        ..PodCondition::default()
    }
}

#[cfg(test)]
mod tests;
