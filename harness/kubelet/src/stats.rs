//! What the node and its containers have used, at `/stats/summary`, in the shape of Kubernetes' Summary API
//! (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`): the fields for which `/proc` has honest figures, and no others.
//!
//! Invariant: a container's processor time never becomes less while it runs.

use crate::node::Node;
use crate::processes::{Used, used_by_namespace};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// The processor time that was told last, by container ID: what was executed in a container and has ended is waited for
/// outside of it, and would be missing from then on.
#[derive(Debug, Default)]
pub(crate) struct Told(Mutex<BTreeMap<String, u64>>);

/// What the node's own time is kept under.
const NODE: &str = "";

impl Told {
    /// The time to tell for a container that has used this much now.
    fn at_least(&self, container: &str, cpu: u64) -> u64 {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.entry(container.to_owned()).or_default();
        *last = cpu.max(*last);
        *last
    }

    fn keep(&self, containers: &BTreeSet<String>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|container, _| container == NODE || containers.contains(container));
    }
}

/// A container that runs.
struct Running {
    name: String,
    id: String,
    started: Option<Timestamp>,
    namespace: PathBuf,
}

pub(crate) async fn summary(State(node): State<Arc<Node>>) -> Response {
    match tokio::task::spawn_blocking(move || read(&node)).await {
        Ok(summary) => axum::Json(summary).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn read(node: &Node) -> Value {
    let pods: Vec<(Arc<Pod>, Vec<Running>)> = {
        let known = node.pods.lock().expect("no panic while the pods are held");
        let running = known.values().map(|context| {
            let facts = context.facts.borrow();
            let containers = facts.containers.iter();
            let running = containers.filter_map(|(name, facts)| {
                let running = facts.state.running.as_ref();
                Some(Running {
                    name: name.clone(),
                    id: facts.container_id.clone()?,
                    started: running?.started_at.as_ref().map(|time| time.0),
                    namespace: crate::processes::namespace(facts.pid?)?,
                })
            });
            (context.pod(), running.collect())
        });
        running.collect()
    };
    let used = used_by_namespace();
    let now = Timestamp::now();
    let told = pods
        .iter()
        .map(|(pod, containers)| {
            let metadata = &pod.metadata;
            let containers = containers.iter().filter_map(|container| {
                let used = used.get(&container.namespace)?;
                let cpu = node.told.at_least(&container.id, used.cpu);
                let mut told = figures(&Used { cpu, ..*used }, now);
                told["name"] = json!(container.name);
                told["startTime"] = json!(container.started);
                Some(told)
            });
            json!({
                "podRef": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
                "startTime": pod.status.as_ref().and_then(|status| status.start_time.as_ref()),
                "containers": containers.collect::<Vec<Value>>(),
            })
        })
        .collect::<Vec<Value>>();
    let living = pods.iter().flat_map(|(_, containers)| containers);
    node.told
        .keep(&living.map(|container| container.id.clone()).collect());
    let all = Used::sum(used.into_values());
    let cpu = node.told.at_least(NODE, all.cpu);
    let mut whole = figures(&Used { cpu, ..all }, now);
    whole["nodeName"] = json!(node.config.name);
    whole["startTime"] = json!(node.since);
    json!({"node": whole, "pods": told})
}

/// Time and memory of a container or the node.
fn figures(used: &Used, now: Timestamp) -> Value {
    json!({
        "cpu": {"time": now, "usageCoreNanoSeconds": used.cpu},
        "memory": {"time": now, "workingSetBytes": used.resident, "rssBytes": used.anonymous},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_that_was_told_is_not_taken_back() {
        let told = Told::default();
        assert_eq!(told.at_least("a", 5), 5);
        assert_eq!(told.at_least("a", 3), 5);
        assert_eq!(told.at_least("b", 1), 1);
        assert_eq!(told.at_least(NODE, 9), 9);
        told.keep(&["b".to_owned()].into());
        assert_eq!(told.at_least("a", 2), 2);
        assert_eq!(told.at_least("b", 0), 1);
        assert_eq!(told.at_least(NODE, 1), 9);
    }
}
