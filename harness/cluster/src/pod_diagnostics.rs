//! What a person needs to find out why a pod did not start or did not last: its state in words, with its events, and
//! the logs of its containers, previous runs included.
//!
//! It asks the Kubernetes API only, so it works on any cluster. Invariant: everything goes through `redact`.

use crate::redaction::redact;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Event, Pod};
use kube::api::{Api, LogParams};
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Most lines of one log that are kept.
const LINES: i64 = 5_000;
/// How long one log may take: a node that is cut off does not answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// How many logs are fetched at once.
const AT_ONCE: usize = 16;

/// Writes `NAMESPACE/POD/description.txt` and a log for each run of each container of `pods` below `folder`. What
/// cannot be had is noted in its file.
///
/// # Errors
///
/// When the folder cannot be written.
pub(crate) async fn write(
    client: &kube::Client,
    pods: &[Pod],
    events: &[Event],
    folder: &Path,
) -> io::Result<()> {
    let mut logs = Vec::new();
    for pod in pods {
        let of = |name: &Option<String>| name.clone().unwrap_or_default();
        let (namespace, name) = (of(&pod.metadata.namespace), of(&pod.metadata.name));
        let folder = folder.join(&namespace).join(&name);
        std::fs::create_dir_all(&folder)?;
        let text = redact(&describe(pod, events));
        std::fs::write(folder.join("description.txt"), text)?;
        for status in statuses(pod).map(|(_, status)| status) {
            let container = &status.name;
            logs.push(Log {
                namespace: namespace.clone(),
                pod: name.clone(),
                container: container.clone(),
                previous: false,
                file: folder.join(format!("{container}.log")),
            });
            if status.restart_count > 0 {
                logs.push(Log {
                    namespace: namespace.clone(),
                    pod: name.clone(),
                    container: container.clone(),
                    previous: true,
                    file: folder.join(format!("{container}.previous.log")),
                });
            }
        }
    }
    let mut written = futures::stream::iter(logs)
        .map(|log| log.write(client))
        .buffer_unordered(AT_ONCE);
    while let Some(result) = written.next().await {
        result?;
    }
    Ok(())
}

/// A log to be fetched.
struct Log {
    namespace: String,
    pod: String,
    container: String,
    previous: bool,
    file: PathBuf,
}

impl Log {
    async fn write(self, client: &kube::Client) -> io::Result<()> {
        let api: Api<Pod> = Api::namespaced(client.clone(), &self.namespace);
        let parameters = LogParams {
            container: Some(self.container.clone()),
            previous: self.previous,
            timestamps: true,
            tail_lines: Some(LINES),
            ..LogParams::default()
        };
        let text = match tokio::time::timeout(PATIENCE, api.logs(&self.pod, &parameters)).await {
            Ok(Ok(text)) => redact(&text),
            Ok(Err(error)) => format!("not there: {error}\n"),
            Err(_) => format!("not there: no answer within {} s\n", PATIENCE.as_secs()),
        };
        std::fs::write(&self.file, text)
    }
}

/// The statuses of a pod's containers in the order in which they start, with what they are in the pod.
fn statuses(pod: &Pod) -> impl Iterator<Item = (&'static str, &ContainerStatus)> {
    let status = pod.status.as_ref();
    let inits = status.and_then(|status| status.init_container_statuses.as_ref());
    let mains = status.and_then(|status| status.container_statuses.as_ref());
    let inits = inits.into_iter().flatten();
    let mains = mains.into_iter().flatten();
    inits
        .map(|status| ("init container", status))
        .chain(mains.map(|status| ("container", status)))
}

/// A pod in words, with those of `events` that are about it, oldest first.
fn describe(pod: &Pod, events: &[Event]) -> String {
    let mut text = String::new();
    let metadata = &pod.metadata;
    let spec = pod.spec.as_ref();
    let status = pod.status.clone().unwrap_or_default();
    let or_none = |value: Option<&str>| value.unwrap_or("none").to_owned();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12}{value}");
    };
    line(
        "pod",
        format!(
            "{}/{}",
            or_none(metadata.namespace.as_deref()),
            or_none(metadata.name.as_deref())
        ),
    );
    line(
        "node",
        or_none(spec.and_then(|spec| spec.node_name.as_deref())),
    );
    line("address", or_none(status.pod_ip.as_deref()));
    line(
        "phase",
        because(
            &or_none(status.phase.as_deref()),
            status.reason.as_deref(),
            status.message.as_deref(),
        ),
    );
    if let Some(deleted) = &metadata.deletion_timestamp {
        line("deleted", deleted.0.to_string());
    }
    for condition in status.conditions.iter().flatten() {
        line(
            "condition",
            because(
                &format!("{} {}", condition.type_, condition.status),
                condition.reason.as_deref(),
                condition.message.as_deref(),
            ),
        );
    }
    for (kind, container) in statuses(pod) {
        let readiness = if container.ready {
            "ready"
        } else {
            "not ready"
        };
        let _ = writeln!(
            text,
            "\n{kind} {}: {readiness}, {} restarts, image {}",
            container.name, container.restart_count, container.image
        );
        for (name, state) in [("now", &container.state), ("before", &container.last_state)] {
            if let Some(state) = state.as_ref().and_then(state_in_words) {
                let _ = writeln!(text, "  {name:<8}{state}");
            }
        }
    }
    let mut about: Vec<&Event> = events
        .iter()
        .filter(|event| event.involved_object.uid == metadata.uid)
        .collect();
    about.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
    text.push_str("\nevents\n");
    for event in about {
        let _ = writeln!(
            text,
            "  {} {} x{}: {}",
            event
                .last_timestamp
                .as_ref()
                .map_or_else(|| "-".to_owned(), |time| time.0.to_string()),
            event.reason.as_deref().unwrap_or_default(),
            event.count.unwrap_or(1),
            event.message.as_deref().unwrap_or_default().trim_end()
        );
    }
    text
}

fn because(what: &str, reason: Option<&str>, message: Option<&str>) -> String {
    let parts = [Some(what), reason, message];
    parts
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join(": ")
}

fn state_in_words(state: &ContainerState) -> Option<String> {
    if let Some(waiting) = &state.waiting {
        return Some(because(
            "waiting",
            waiting.reason.as_deref(),
            waiting.message.as_deref(),
        ));
    }
    if let Some(running) = &state.running {
        let since = running.started_at.as_ref()?;
        return Some(format!("running since {}", since.0));
    }
    let ended = state.terminated.as_ref()?;
    let at = ended.finished_at.as_ref().map(|at| format!(" at {}", at.0));
    Some(because(
        &format!(
            "ended with {}{}",
            ended.exit_code,
            at.as_deref().unwrap_or_default()
        ),
        ended.reason.as_deref(),
        ended.message.as_deref(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_description_says_why_a_pod_does_not_run() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": {"namespace": "shop", "name": "cart-1", "uid": "u1"},
            "spec": {"nodeName": "zone-a-1", "containers": []},
            "status": {
                "phase": "Pending",
                "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
                "containerStatuses": [{
                    "name": "main", "image": "cart:1", "imageID": "", "ready": false, "restartCount": 2,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "Back-off"}},
                    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
                }],
            },
        }))
        .unwrap();
        let event = |uid: &str, reason: &str, at: &str| -> Event {
            serde_json::from_value(json!({
                "metadata": {}, "involvedObject": {"uid": uid}, "reason": reason, "message": "why",
                "count": 4, "lastTimestamp": at,
            }))
            .unwrap()
        };
        let events = [
            event("u1", "BackOff", "2026-01-01T00:00:02Z"),
            event("u2", "OfAnother", "2026-01-01T00:00:02Z"),
            event("u1", "Started", "2026-01-01T00:00:01Z"),
        ];
        assert_eq!(
            describe(&pod, &events),
            "pod         shop/cart-1\nnode        zone-a-1\naddress     none\nphase       Pending\n\
             condition   Ready False: ContainersNotReady\n\
             \ncontainer main: not ready, 2 restarts, image cart:1\n\
             \x20 now     waiting: CrashLoopBackOff: Back-off\n\
             \x20 before  ended with 3: Error\n\
             \nevents\n\
             \x20 2026-01-01T00:00:01Z Started x4: why\n\
             \x20 2026-01-01T00:00:02Z BackOff x4: why\n"
        );
    }
}
