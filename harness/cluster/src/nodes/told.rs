//! Nodes that lost power, once they have it again: what they have to tell, and how long that may take.

use crate::{ClusterError, failed};
use futures::future::BoxFuture;
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use std::time::Duration;

/// How long nodes may take from being started until they take what we put into them, and until their kubelets say how
/// their pods are: on kind systemd, containerd and the kubelet start one after the other.
const BOOT: Duration = Duration::from_secs(120);
/// Between two looks.
const AGAIN: Duration = Duration::from_millis(500);

/// Waits until a node's kubelet has told of each pod what became of it: as long as it has not, Kubernetes says that they
/// are ready.
///
/// # Errors
///
/// When that is not so within the time that a node may take to boot.
pub(crate) async fn wait_until_told(
    client: &kube::Client,
    node: &str,
    since: jiff::Timestamp,
) -> Result<(), ClusterError> {
    let pods: Api<Pod> = Api::all(client.clone());
    let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let act = format!("hear of the pods of node {node}");
    let attempt = || -> BoxFuture<'_, _> {
        Box::pin(async {
            let pods = pods.list(&here).await.map_err(failed(act.clone()))?;
            let old = pods
                .items
                .iter()
                .filter(|pod| runs_since_before(pod, since));
            let old: Vec<&str> = old.filter_map(|pod| pod.metadata.name.as_deref()).collect();
            if old.is_empty() {
                return Ok(());
            }
            let why = format!("nothing new of {}", old.join(", "));
            Err(ClusterError::because(act.clone(), why))
        })
    };
    until(&act, attempt).await
}

/// Whether a container of it is said to run since before a time.
fn runs_since_before(pod: &Pod, time: jiff::Timestamp) -> bool {
    let statuses = pod.status.iter().flat_map(|status| {
        let containers = status.container_statuses.iter().flatten();
        containers.chain(status.init_container_statuses.iter().flatten())
    });
    statuses
        .filter_map(|status| status.state.as_ref()?.running.as_ref()?.started_at.as_ref())
        // They are told in whole seconds.
        .any(|started| started.0 < time)
}

/// Does something again and again until it succeeds, for as long as a node may take to boot.
///
/// # Errors
///
/// When it does not, with why it did not the last time.
pub(crate) async fn until<'a>(
    act: &str,
    attempt: impl Fn() -> BoxFuture<'a, Result<(), ClusterError>>,
) -> Result<(), ClusterError> {
    let mut last = String::new();
    let attempts = async {
        while let Err(error) = attempt().await {
            last = chain(&error);
            pause().await;
        }
    };
    let in_time = tokio::time::timeout(BOOT, attempts).await.is_ok();
    if in_time {
        return Ok(());
    }
    let why = format!("not within {} s; the last time: {last}", BOOT.as_secs());
    Err(ClusterError::because(act, why))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a node that boots tells nobody how far it is"
)]
async fn pause() {
    tokio::time::sleep(AGAIN).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_is_old_news_while_a_container_of_it_runs_since_before() {
        let pod = |state| -> Pod {
            serde_json::from_value(json!({ "status": { "containerStatuses": [{
                "name": "a", "image": "a", "imageID": "a", "ready": true, "restartCount": 0,
                "state": state,
            }] } }))
            .unwrap()
        };
        let since = "2026-01-01T00:00:10Z".parse().unwrap();
        let started = |time| json!({ "running": { "startedAt": time } });
        assert!(runs_since_before(
            &pod(started("2026-01-01T00:00:09Z")),
            since
        ));
        assert!(!runs_since_before(
            &pod(started("2026-01-01T00:00:10Z")),
            since
        ));
        assert!(!runs_since_before(&pod(json!({ "waiting": {} })), since));
    }
}
