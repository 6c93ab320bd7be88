//! Writes what the API server must know of a pod: its status when it changes, and that nothing of it is left.
//!
//! What others act on is written at once. All else waits a moment for what follows it: a container tells of itself three or four
//! times while it starts, and each write is one more for everybody who watches pods.

use crate::pod_context::PodContext;
use crate::status;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Wait before a request that failed is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// How long after the last write a change waits that nobody acts on. Kubernetes' kubelet looks at its containers as often.
const GATHER: Duration = Duration::from_secs(1);

/// Writes the status when it changes, until it has settled and is written.
pub(crate) async fn publish(context: Arc<PodContext>) {
    let api: Api<Pod> = Api::namespaced(context.node.client.clone(), &context.namespace);
    let mut facts = context.facts.subscribe();
    let mut newest = context.newest.clone();
    let mut written = PodStatus::default();
    let mut due = Instant::now() + GATHER;
    loop {
        let (settled, waits) = {
            let known = facts.borrow_and_update().clone();
            let pod = newest.borrow_and_update().pod.clone();
            let host = context.node.config.internal_ip;
            let status = status::compute(&pod, &known, host, &written, Timestamp::now());
            let differs = status != written;
            let waits = differs
                && !known.ending
                && !known.settled
                && !is_awaited(&status, &written)
                && !is_outdated(&pod, &status)
                && Instant::now() < due;
            if (differs && !waits) || is_overruled(&pod, &written) {
                let patch = patch_of(&context.uid, &status);
                let patched = api
                    .patch_status(
                        &context.name,
                        &PatchParams::default(),
                        &Patch::Strategic(patch),
                    )
                    .await;
                match patched {
                    Ok(_) => {
                        written = status;
                        due = Instant::now() + GATHER;
                    }
                    Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => {
                        return;
                    }
                    Err(error) => {
                        tracing::debug!(%error, pod = context.name, "status not written");
                        pause().await;
                        // A pod that the API server has no more needs no status.
                        if newest.borrow().removed {
                            return;
                        }
                        continue;
                    }
                }
            }
            (known.settled, waits)
        };
        if settled {
            return;
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { return },
            changed = newest.changed() => if changed.is_err() {
                let _ = facts.changed().await;
            },
            () = sleep_until(due), if waits => {}
        }
    }
}

/// Whether others act on the change: on the pod's address, on whether it is ready, on its end.
fn is_awaited(status: &PodStatus, written: &PodStatus) -> bool {
    let has_ended = |status: &PodStatus| {
        let phase = status.phase.as_deref();
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    status.pod_ip != written.pod_ip
        || is_ready(status) != is_ready(written)
        || has_ended(status) != has_ended(written)
}

fn is_ready(status: &PodStatus) -> bool {
    let conditions = status.conditions.iter().flatten();
    conditions
        .filter(|condition| condition.type_ == "Ready")
        .any(|condition| condition.status == "True")
}

/// Whether somebody else has declared the pod unready since: the node controller does when it has not heard of us.
fn is_overruled(pod: &Pod, written: &PodStatus) -> bool {
    is_ready(written) && pod.status.as_ref().is_some_and(|status| !is_ready(status))
}

/// Whether the API server still says that the pod is ready, and it is not: its node had lost power, and nobody has said so.
fn is_outdated(pod: &Pod, status: &PodStatus) -> bool {
    !is_ready(status) && pod.status.as_ref().is_some_and(is_ready)
}

/// A patch merges conditions by type, so what a condition does not say any more must be removed by name; and addresses by
/// themselves, so a former one would stay beside the one that a pod has after its node has lost power.
fn patch_of(uid: &str, status: &PodStatus) -> serde_json::Value {
    let mut patch = json!({"metadata": {"uid": uid}, "status": status});
    let conditions = patch["status"]["conditions"].as_array_mut();
    for condition in conditions
        .into_iter()
        .flatten()
        .filter_map(serde_json::Value::as_object_mut)
    {
        for field in ["reason", "message"] {
            condition.entry(field).or_insert(serde_json::Value::Null);
        }
    }
    if let Some(addresses) = patch["status"]["podIPs"].as_array_mut() {
        addresses.insert(0, json!({"$patch": "replace"}));
    }
    patch
}

/// Tells the API server that nothing of the pod is left here.
pub(crate) async fn delete(context: &PodContext) {
    let api: Api<Pod> = Api::namespaced(context.node.client.clone(), &context.namespace);
    let parameters = DeleteParams {
        grace_period_seconds: Some(0),
        preconditions: Some(Preconditions {
            uid: Some(context.uid.clone()),
            resource_version: None,
        }),
        ..DeleteParams::default()
    };
    let mut newest = context.newest.clone();
    while !newest.borrow_and_update().removed {
        match api.delete(&context.name, &parameters).await {
            Ok(_) => return,
            Err(kube::Error::Api(answer)) if answer.code == 404 || answer.code == 409 => return,
            Err(error) => {
                tracing::debug!(%error, pod = context.name, "pod not deleted yet");
                pause().await;
            }
        }
    }
}

async fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "nothing tells when the API server answers again"
    )]
    tokio::time::sleep(RETRY_AFTER).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::testing::node;
    use crate::pod_context::waiting;
    use crate::pods::Newest;
    use serde_json::Value;
    use tokio::sync::{mpsc, watch};
    use tokio::time::timeout;

    fn status(of: serde_json::Value) -> PodStatus {
        serde_json::from_value(of).expect("a status")
    }

    #[test]
    fn what_others_act_on_does_not_wait() {
        let unready = json!([{"type": "Ready", "status": "False"}]);
        let before = status(json!({
            "phase": "Pending", "podIP": "10.1.0.2", "conditions": unready,
        }));
        for awaited in [
            json!({"phase": "Pending", "podIP": "10.1.0.3", "conditions": unready}),
            json!({"phase": "Failed", "podIP": "10.1.0.2", "conditions": unready}),
            json!({"phase": "Pending", "podIP": "10.1.0.2",
                "conditions": [{"type": "Ready", "status": "True"}]}),
        ] {
            assert!(is_awaited(&status(awaited.clone()), &before), "{awaited}");
        }
        let starts = json!({
            "phase": "Running", "podIP": "10.1.0.2",
            "conditions": [{"type": "Ready", "status": "False", "reason": "ContainersNotReady"}],
        });
        assert!(!is_awaited(&status(starts), &before));
        // That it was seen at all can wait for its address.
        let seen = status(json!({"phase": "Pending", "conditions": unready}));
        assert!(!is_awaited(&seen, &PodStatus::default()));
    }

    /// An API server that hands on what it is sent.
    fn api_server() -> (kube::Client, mpsc::UnboundedReceiver<Value>) {
        let (sent, receiver) = mpsc::unbounded_channel();
        let take = move |body: bytes::Bytes| {
            let patch: Value = serde_json::from_slice(&body).expect("JSON");
            let _ = sent.send(patch);
            let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}});
            std::future::ready(axum::Json(pod))
        };
        let server: axum::Router = axum::Router::new().fallback(take);
        (kube::Client::new(server, "default"), receiver)
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_gathered_last_is_written_though_nothing_follows_it() {
        let disk = tempfile::tempdir().expect("a folder");
        let (client, mut sent) = api_server();
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "pod", "namespace": "pods", "uid": "u"},
            "spec": {"containers": [{"name": "only"}]},
        }));
        let (_newest, newest) = watch::channel(Newest {
            pod: Arc::new(pod.expect("a pod")),
            removed: false,
        });
        let context = PodContext::new(node(disk.path(), &client), newest);
        let changes = async {
            let first = timeout(GATHER * 4, sent.recv()).await;
            assert!(matches!(first, Ok(Some(_))), "its first state: {first:?}");
            let start = Instant::now();
            context.update("only", |facts| facts.restarts = 1);
            let crashed = waiting("CrashLoopBackOff", None);
            context.update("only", |facts| facts.state = crashed);
            let last = timeout(GATHER * 4, sent.recv()).await;
            let last = last.expect("it is written").expect("a patch");
            assert!(start.elapsed() >= GATHER, "it was not gathered");
            let only = &last["status"]["containerStatuses"][0];
            assert_eq!(only["restartCount"], 1, "{last}");
            let reason = &only["state"]["waiting"]["reason"];
            assert_eq!(reason, "CrashLoopBackOff", "{last}");
            let more = timeout(GATHER * 4, sent.recv()).await;
            assert!(more.is_err(), "nothing has changed since: {more:?}");
        };
        tokio::select! {
            () = publish(Arc::clone(&context)) => panic!("it has not settled"),
            () = changes => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn of_a_pod_that_is_not_as_ready_as_the_api_server_says_is_told_at_once() {
        let disk = tempfile::tempdir().expect("a folder");
        let (client, mut sent) = api_server();
        let before_power_was_lost = json!({
            "phase": "Running", "podIP": "10.1.0.2",
            "conditions": [{"type": "Ready", "status": "True"}],
        });
        let pod = serde_json::from_value(json!({
            "metadata": {"name": "pod", "namespace": "pods", "uid": "u"},
            "spec": {"containers": [{"name": "only"}]},
            "status": before_power_was_lost,
        }));
        let (_newest, newest) = watch::channel(Newest {
            pod: Arc::new(pod.expect("a pod")),
            removed: false,
        });
        let context = PodContext::new(node(disk.path(), &client), newest);
        let began = Instant::now();
        let told = tokio::select! {
            () = publish(Arc::clone(&context)) => panic!("it has not settled"),
            told = sent.recv() => told.expect("a patch"),
        };
        assert_eq!(
            began.elapsed(),
            Duration::ZERO,
            "its endpoints lead nowhere"
        );
        let conditions = told["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten();
        let mut ready = ready.filter(|condition| condition["type"] == "Ready");
        assert_eq!(
            ready.next().map(|ready| &ready["status"]),
            Some(&json!("False"))
        );
    }
}
