//! Why pods do not come up: their states in words, and what their containers wrote last.
//!
//! Invariant: what they wrote goes through [`redact`]. What cannot be had is left out: a wait that was in vain says so by itself.

use crate::directory::{is_ready, labels};
use crate::error::MeshError;
use crate::site::Site;
use futures::future::join_all;
use harness_cluster::redact;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams, LogParams};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::time::Duration;

/// So many pods are told of: what one of a kind lacks the others mostly lack, too.
const PODS: usize = 3;
/// So many lines of a log are told.
const LINES: usize = 5;
/// So many are read: what must not be told is known by how it begins.
const READ: i64 = 400;
/// So many letters of a line are told.
const LETTERS: usize = 200;
/// How long all of it may take: an API server that is away does not answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// What a wait came to; of one that was in vain with the pods that are not ready, those that end again and again first: their
/// states and what they wrote last.
pub(super) async fn explained(site: &Site, waited: Result<(), MeshError>) -> Result<(), MeshError> {
    match waited {
        Err(MeshError::NotReady {
            what,
            seconds,
            last,
        }) => {
            let told = tokio::time::timeout(PATIENCE, troubles(site, &last)).await;
            let mut parts = vec![last];
            parts.extend(told.unwrap_or_default());
            Err(MeshError::NotReady {
                what,
                seconds,
                last: parts.join("; "),
            })
        }
        other => other,
    }
}

/// The states that are not among what is told already, and the last lines.
async fn troubles(site: &Site, told: &str) -> Vec<String> {
    let mut pods = not_ready(site).await;
    pods.sort_by_key(|pod| Reverse(restarts(pod)));
    pods.truncate(PODS);
    let lines = join_all(pods.iter().map(|pod| last_lines(site, pod))).await;
    let states = pods.iter().map(words);
    states
        .zip(lines)
        .flat_map(|(state, lines)| {
            let state = Some(state).filter(|state| !told.contains(state.as_str()));
            state.into_iter().chain(lines)
        })
        .collect()
}

/// The pods of the mesh and of its workloads that should be ready and are not.
pub(super) async fn not_ready(site: &Site) -> Vec<Pod> {
    let definition = &site.definition;
    let workloads = &definition.workloads;
    let control_plane = definition.control_plane.iter();
    let control_plane = control_plane.map(|part| (&part.namespace, labels(&part.selector)));
    let parts = definition.components.iter();
    let parts = parts.map(|part| (&part.namespace, labels(&part.selector)));
    let of_workloads = (&workloads.namespace, workloads.application_label.clone());
    let asked: Vec<(&String, String)> = control_plane.chain(parts).chain([of_workloads]).collect();
    let lists = asked.into_iter().map(|(namespace, selector)| async move {
        let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
        let list = pods.list(&ListParams::default().labels(&selector)).await;
        list.map(|list| list.items).unwrap_or_default()
    });
    let mut found = join_all(lists).await.concat();
    let mut known = BTreeSet::new();
    found.retain(|pod| {
        let is_new = known.insert(pod.metadata.uid.clone());
        is_new && !is_ready(pod) && pod.metadata.deletion_timestamp.is_none()
    });
    found
}

fn restarts(pod: &Pod) -> i32 {
    statuses(pod).map(|status| status.restart_count).sum()
}

/// What each container of a pod wrote last, where that may say why the pod is not ready.
async fn last_lines(site: &Site, pod: &Pod) -> Vec<String> {
    let metadata = &pod.metadata;
    let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
        return Vec::new();
    };
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
    let mut told = Vec::new();
    for status in statuses(pod).filter(|status| has_run_in_vain(status)) {
        let log = pods.logs(name, &log_of(status)).await;
        if let Some(lines) = log.ok().and_then(|text| in_one_line(&text)) {
            told.push(format!("{name}: {} wrote last: {lines}", status.name));
        }
    }
    told
}

/// It is not ready, and has written something: it runs, or has run.
fn has_run_in_vain(status: &ContainerStatus) -> bool {
    let states = [&status.state, &status.last_state];
    let mut states = states.into_iter().flatten();
    let has_run = states.any(|state| state.running.is_some() || state.terminated.is_some());
    // An init container that did what it is for is ready.
    !status.ready && has_run
}

/// Of the run that ended, where the container was started again.
fn log_of(status: &ContainerStatus) -> LogParams {
    let state = status.state.as_ref();
    let before = status.last_state.as_ref();
    LogParams {
        container: Some(status.name.clone()),
        previous: state.is_some_and(|state| state.running.is_some())
            && before.is_some_and(|state| state.terminated.is_some()),
        tail_lines: Some(READ),
        ..LogParams::default()
    }
}

/// The last lines of a log in one; none where nothing was written.
fn in_one_line(log: &str) -> Option<String> {
    let log = redact(log);
    let lines = log.lines().map(str::trim).filter(|line| !line.is_empty());
    let mut last: Vec<String> = lines
        .rev()
        .take(LINES)
        .map(|line| line.chars().take(LETTERS).collect())
        .collect();
    last.reverse();
    (!last.is_empty()).then(|| last.join(" | "))
}

/// The statuses of a pod's containers in the order in which they start.
pub(super) fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.as_ref();
    let inits = status.and_then(|status| status.init_container_statuses.as_ref());
    let mains = status.and_then(|status| status.container_statuses.as_ref());
    inits.into_iter().chain(mains).flatten()
}

/// A pod's state for people: its phase, what its containers wait for, and how they ended.
pub(super) fn words(pod: &Pod) -> String {
    let name = pod.metadata.name.as_deref().unwrap_or("?");
    if pod.metadata.deletion_timestamp.is_some() {
        return format!("{name} is being deleted");
    }
    let Some(status) = &pod.status else {
        return format!("{name} has no status");
    };
    let mut reasons: Vec<String> = statuses(pod).filter_map(trouble).collect();
    if status.phase.as_deref() == Some("Pending") && reasons.is_empty() {
        reasons.extend(
            status
                .conditions
                .iter()
                .flatten()
                .filter(|condition| condition.status == "False")
                .filter_map(|condition| condition.message.clone()),
        );
    }
    let phase = status.phase.as_deref().unwrap_or("without phase");
    if reasons.is_empty() {
        format!("{name} {phase}")
    } else {
        format!("{name} {phase}: {}", reasons.join(", "))
    }
}

/// What a container waits for or how it ended, and how it ended before while it is not ready.
fn trouble(status: &ContainerStatus) -> Option<String> {
    let now = status.state.as_ref().and_then(|state| {
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.as_deref().unwrap_or("waiting");
            let message = waiting.message.as_deref().unwrap_or_default();
            return Some(format!("{reason} {message}").trim_end().to_owned());
        }
        let ended = state.terminated.as_ref();
        let ended = ended.filter(|ended| ended.exit_code != 0)?;
        Some(format!("exited {}", ended.exit_code))
    });
    let before = status.last_state.as_ref().filter(|_| !status.ready);
    let before = before
        .and_then(|state| state.terminated.as_ref())
        .map(|ended| {
            let reason = ended.reason.as_deref().unwrap_or("for no known reason");
            format!("ended with {} before ({reason})", ended.exit_code)
        });
    let told: Vec<String> = now.into_iter().chain(before).collect();
    (!told.is_empty()).then(|| format!("{} {}", status.name, told.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(phase: &str, container: Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "cart-1", "uid": "u1"},
            "spec": {"containers": []},
            "status": {"phase": phase, "containerStatuses": [container]},
        }))
        .expect("it is a pod")
    }

    fn container(ready: bool, state: Value, last_state: Value) -> Value {
        json!({
            "name": "main", "image": "cart:1", "imageID": "", "ready": ready, "restartCount": 2,
            "state": state, "lastState": last_state,
        })
    }

    #[test]
    fn a_pod_that_crashes_says_how_it_ended() {
        let ended = json!({"terminated": {"exitCode": 3, "reason": "Error"}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "Back-off"}});
        let crashing = pod("Running", container(false, waits, ended.clone()));
        assert_eq!(
            words(&crashing),
            "cart-1 Running: main CrashLoopBackOff Back-off, ended with 3 before (Error)"
        );
        let again = pod(
            "Running",
            container(false, json!({"running": {}}), ended.clone()),
        );
        assert_eq!(
            words(&again),
            "cart-1 Running: main ended with 3 before (Error)"
        );
        let well = pod("Running", container(true, json!({"running": {}}), ended));
        assert_eq!(words(&well), "cart-1 Running", "it came up after all");
        let gone = json!({"terminated": {"exitCode": 1}});
        let failed = pod("Failed", container(false, gone, json!({})));
        assert_eq!(words(&failed), "cart-1 Failed: main exited 1");
    }

    #[test]
    fn the_log_is_that_of_the_run_that_ended() {
        let ended = json!({"terminated": {"exitCode": 3}});
        let running = json!({"running": {}});
        let waits = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        for (state, last_state, in_vain, previous) in [
            (&running, &ended, true, true),
            (&waits, &ended, true, false),
            (&ended, &ended, true, false),
            (&running, &json!({}), true, false),
            (&waits, &json!({}), false, false),
        ] {
            let pod = pod(
                "Running",
                container(false, state.clone(), last_state.clone()),
            );
            let status = statuses(&pod).next().expect("it has a container");
            assert_eq!(has_run_in_vain(status), in_vain, "{status:?}");
            assert_eq!(log_of(status).previous, previous, "{status:?}");
        }
        let well = pod("Running", container(true, running, ended));
        assert!(!statuses(&well).any(has_run_in_vain));
    }

    #[test]
    fn the_last_lines_are_told_in_one_and_without_keys() {
        assert_eq!(in_one_line("\n \n"), None);
        let log: String = (1..=7).map(|number| format!("line {number}\n")).collect();
        assert_eq!(
            in_one_line(&log).as_deref(),
            Some("line 3 | line 4 | line 5 | line 6 | line 7")
        );
        let long = in_one_line(&"ä".repeat(500)).expect("a line");
        assert_eq!(long.chars().count(), LETTERS);
        let key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
        let told = in_one_line(&format!("{key}failed\n")).expect("a line");
        assert!(!told.contains("MIIB") && told.ends_with("failed"), "{told}");
    }
}
