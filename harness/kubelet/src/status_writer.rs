//! Writes what the API server must know of a pod: its status whenever it changes, and that nothing of it is left.

use crate::pod_context::PodContext;
use crate::status;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, Preconditions};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Wait before a request that failed is repeated.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Writes the status whenever it changes, until it has settled and is written.
pub(crate) async fn publish(context: Arc<PodContext>) {
    let api: Api<Pod> = Api::namespaced(context.node.client.clone(), &context.namespace);
    let mut facts = context.facts.subscribe();
    let mut newest = context.newest.clone();
    let mut written = PodStatus::default();
    loop {
        let settled = {
            let known = facts.borrow_and_update().clone();
            let pod = newest.borrow_and_update().pod.clone();
            let host = context.node.config.internal_ip;
            let status = status::compute(&pod, &known, host, &written, Timestamp::now());
            if status != written || is_overruled(&pod, &written) {
                let patch = patch_of(&context.uid, &status);
                let patched = api
                    .patch_status(
                        &context.name,
                        &PatchParams::default(),
                        &Patch::Strategic(patch),
                    )
                    .await;
                match patched {
                    Ok(_) => written = status,
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
            known.settled
        };
        if settled {
            return;
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { return },
            changed = newest.changed() => if changed.is_err() {
                let _ = facts.changed().await;
            },
        }
    }
}

/// Whether somebody else has declared the pod unready since: the node controller does when it has not heard of us.
fn is_overruled(pod: &Pod, written: &PodStatus) -> bool {
    let ready = |status: &PodStatus| {
        let conditions = status.conditions.iter().flatten();
        conditions
            .filter(|condition| condition.type_ == "Ready")
            .any(|condition| condition.status == "True")
    };
    ready(written) && pod.status.as_ref().is_some_and(|status| !ready(status))
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
