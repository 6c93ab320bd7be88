//! Waiting for nodes: until Kubernetes says that they are ready, or until those that had lost power have booted and been heard of.

mod told;

pub(crate) use told::{until, wait_until_told};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::time::Duration;

/// Nodes were not ready in time.
#[derive(Debug, thiserror::Error)]
#[error("wait {seconds} s for the nodes to be ready; last seen: {last}")]
pub struct NotReady {
    /// For how long, seconds.
    pub seconds: u64,
    /// Which nodes are not ready, and what they say about it.
    pub last: String,
}

/// Waits until there are at least `count` nodes, and every node is ready and known as that by who places pods.
///
/// # Errors
///
/// When that is not so within `patience`, or the API server does not tell.
pub async fn wait_until_ready(
    client: &Client,
    count: usize,
    patience: Duration,
) -> Result<(), NotReady> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut last = "the API server has not answered".to_owned();
    let wait = async {
        // By name, why it is not ready.
        let mut nodes_seen: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut listed = false;
        let mut changes = watcher(nodes, watcher::Config::default())
            .default_backoff()
            .boxed();
        while let Some(change) = changes.next().await {
            match change {
                Ok(watcher::Event::Init) => nodes_seen.clear(),
                Ok(watcher::Event::InitDone) => listed = true,
                Ok(watcher::Event::InitApply(node) | watcher::Event::Apply(node)) => {
                    nodes_seen.insert(name(&node), why_not_ready(&node));
                }
                Ok(watcher::Event::Delete(node)) => {
                    nodes_seen.remove(&name(&node));
                }
                Err(error) => last = error.to_string(),
            }
            if listed {
                let missing: Vec<String> = nodes_seen
                    .iter()
                    .filter_map(|(name, why)| Some(format!("{name} ({})", why.as_ref()?)))
                    .collect();
                if missing.is_empty() && nodes_seen.len() >= count {
                    return;
                }
                last = if missing.is_empty() {
                    format!("{} of {count} nodes are there", nodes_seen.len())
                } else {
                    format!("not ready: {}", missing.join(", "))
                };
            }
        }
    };
    let in_time = tokio::time::timeout(patience, wait).await.is_ok();
    if in_time {
        Ok(())
    } else {
        Err(NotReady {
            seconds: patience.as_secs(),
            last,
        })
    }
}

fn name(node: &Node) -> String {
    node.metadata.name.clone().unwrap_or_default()
}

/// Taints that the controller-manager keeps on a node until it has seen that the node is ready, a moment after its kubelet
/// has said so. What is placed in between goes where it would rather not, or all of it to whoever is first.
const UNTIL_SEEN: [&str; 2] = [
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
];

/// What the condition `Ready` says when it is not true, or the taint that is still there when it is.
fn why_not_ready(node: &Node) -> Option<String> {
    let ready = node
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .find(|condition| condition.type_ == "Ready");
    let Some(ready) = ready else {
        return Some("its kubelet has not reported yet".to_owned());
    };
    if ready.status == "True" {
        let mut taints = node
            .spec
            .iter()
            .flat_map(|spec| spec.taints.iter().flatten());
        let taint = taints.find(|taint| UNTIL_SEEN.contains(&taint.key.as_str()))?;
        return Some(format!("it is tainted {}:{}", taint.key, taint.effect));
    }
    let said = [&ready.reason, &ready.message];
    let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
    Some(format!("Ready is {}: {}", ready.status, said.join(": ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_node_that_is_not_ready_says_why() {
        let node = |conditions| -> Node {
            serde_json::from_value(json!({ "status": { "conditions": conditions } })).unwrap()
        };
        let pressure = json!({ "type": "MemoryPressure", "status": "False" });
        let ready = |status| {
            json!({
                "type": "Ready", "status": status, "reason": "KubeletNotReady",
                "message": "cni plugin not initialized",
            })
        };
        assert_eq!(why_not_ready(&node(json!([pressure, ready("True")]))), None);
        assert_eq!(
            why_not_ready(&node(json!([pressure, ready("False")]))).as_deref(),
            Some("Ready is False: KubeletNotReady: cni plugin not initialized")
        );
        assert_eq!(
            why_not_ready(&node(json!([pressure]))).as_deref(),
            Some("its kubelet has not reported yet")
        );
    }

    #[test]
    fn a_node_is_ready_once_who_places_pods_takes_it_for_that() {
        let node = |taint| -> Node {
            let taint = json!({ "key": taint, "effect": "NoSchedule" });
            let ready = json!({ "type": "Ready", "status": "True" });
            let node =
                json!({ "spec": { "taints": [taint] }, "status": { "conditions": [ready] } });
            serde_json::from_value(node).unwrap()
        };
        let why = |taint| why_not_ready(&node(taint));
        assert_eq!(
            why("node.kubernetes.io/not-ready").as_deref(),
            Some("it is tainted node.kubernetes.io/not-ready:NoSchedule")
        );
        assert!(why("node.kubernetes.io/unreachable").is_some());
        // Those it may have for good.
        assert_eq!(why("node-role.kubernetes.io/control-plane"), None);
        assert_eq!(why("node.kubernetes.io/unschedulable"), None);
    }
}
