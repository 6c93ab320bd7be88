//! Waiting until Kubernetes says that the nodes of a cluster are ready.

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
    /// Which nodes are not ready.
    pub last: String,
}

/// Waits until there are at least `count` nodes and every node is ready.
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
        let mut ready: BTreeMap<String, bool> = BTreeMap::new();
        let mut listed = false;
        let mut changes = watcher(nodes, watcher::Config::default())
            .default_backoff()
            .boxed();
        while let Some(change) = changes.next().await {
            match change {
                Ok(watcher::Event::Init) => ready.clear(),
                Ok(watcher::Event::InitDone) => listed = true,
                Ok(watcher::Event::InitApply(node) | watcher::Event::Apply(node)) => {
                    ready.insert(name(&node), is_ready(&node));
                }
                Ok(watcher::Event::Delete(node)) => {
                    ready.remove(&name(&node));
                }
                Err(error) => last = error.to_string(),
            }
            if listed {
                let missing: Vec<&str> = ready
                    .iter()
                    .filter(|(_, ready)| !**ready)
                    .map(|(name, _)| name.as_str())
                    .collect();
                if missing.is_empty() && ready.len() >= count {
                    return;
                }
                last = if missing.is_empty() {
                    format!("{} of {count} nodes are there", ready.len())
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

fn is_ready(node: &Node) -> bool {
    node.status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten())
        .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
