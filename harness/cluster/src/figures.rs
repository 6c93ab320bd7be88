//! What the containers of a node have used, as its kubelet tells it through the API server: Kubernetes' Summary API
//! (`/stats/summary`), which kubelets everywhere serve, ours among them.

use crate::rights::Right;
use crate::{ClusterError, failed};
use jiff::Timestamp;
use kube::Client;
use serde::Deserialize;
use std::time::Duration;

/// How long a node may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What one container has used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFigures {
    /// UID of its pod.
    pub pod_uid: String,
    /// Its name.
    pub name: String,
    /// When it was started.
    pub started: Option<Timestamp>,
    /// When this was so.
    pub at: Timestamp,
    /// Processor time since its start, nanoseconds.
    pub cpu_nanos: u64,
    /// The memory that it cannot do without ("working set"), bytes.
    pub memory_bytes: u64,
}

/// The right that asking takes. No run needs it: without it there are no figures.
#[must_use]
pub fn right() -> Right {
    Right::new("get", "", "nodes/proxy")
}

/// The figures of every container on a node that has any.
///
/// # Errors
///
/// When the API server or the node does not answer in time, or not so.
pub async fn of_node(client: &Client, node: &str) -> Result<Vec<ContainerFigures>, ClusterError> {
    let act = || format!("ask the node {node} what its containers have used");
    let request = http::Request::get(format!("/api/v1/nodes/{node}/proxy/stats/summary"))
        .body(Vec::new())
        .map_err(failed(act()))?;
    match tokio::time::timeout(PATIENCE, client.request::<Summary>(request)).await {
        Ok(Ok(summary)) => Ok(containers(summary)),
        Ok(Err(error)) => Err(failed(act())(error)),
        Err(_) => Err(ClusterError::because(
            act(),
            format!("no answer within {} s", PATIENCE.as_secs()),
        )),
    }
}

/// The part of the Summary API that is read here (`k8s.io/kubelet/pkg/apis/stats/v1alpha1`).
#[derive(Deserialize)]
struct Summary {
    #[serde(default)]
    pods: Vec<PodStats>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PodStats {
    pod_ref: PodReference,
    #[serde(default)]
    containers: Option<Vec<ContainerStats>>,
}

#[derive(Deserialize)]
struct PodReference {
    uid: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ContainerStats {
    name: String,
    start_time: Option<Timestamp>,
    cpu: Option<Processor>,
    memory: Option<Memory>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Processor {
    time: Timestamp,
    usage_core_nano_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Memory {
    working_set_bytes: Option<u64>,
}

/// A container that has just begun, or has ended, may have no figures yet or any more.
fn containers(summary: Summary) -> Vec<ContainerFigures> {
    let mut all = Vec::new();
    for pod in summary.pods {
        for container in pod.containers.unwrap_or_default() {
            let (Some(cpu), Some(memory)) = (container.cpu, container.memory) else {
                continue;
            };
            let (Some(cpu_nanos), Some(memory_bytes)) =
                (cpu.usage_core_nano_seconds, memory.working_set_bytes)
            else {
                continue;
            };
            all.push(ContainerFigures {
                pod_uid: pod.pod_ref.uid.clone(),
                name: container.name,
                started: container.start_time,
                at: cpu.time,
                cpu_nanos,
                memory_bytes,
            });
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a kubelet of Kubernetes 1.34 answers, shortened: fields we do not read, a container without figures, a pod
    /// without containers.
    const ANSWER: &str = r#"{
      "node": {"nodeName": "n", "startTime": "2026-11-26T10:00:00Z",
        "cpu": {"time": "2026-11-26T10:05:00Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 2}},
      "pods": [
        {"podRef": {"name": "a", "namespace": "x", "uid": "u1"}, "startTime": "2026-11-26T10:00:01Z",
         "containers": [
           {"name": "main", "startTime": "2026-11-26T10:00:02Z",
            "cpu": {"time": "2026-11-26T10:05:01Z", "psi": {"full": {}}, "usageNanoCores": 3, "usageCoreNanoSeconds": 123456789},
            "memory": {"time": "2026-11-26T10:05:01Z", "usageBytes": 9, "workingSetBytes": 4096, "rssBytes": 5},
            "rootfs": {"time": "2026-11-26T10:05:01Z"}, "swap": {"time": "2026-11-26T10:05:01Z"}},
           {"name": "new", "startTime": "2026-11-26T10:05:00Z",
            "cpu": {"time": "2026-11-26T10:05:01Z"}, "memory": {"time": "2026-11-26T10:05:01Z"}}],
         "cpu": {"time": "2026-11-26T10:05:01Z", "usageNanoCores": 3}},
        {"podRef": {"name": "b", "namespace": "x", "uid": "u2"}, "startTime": "2026-11-26T10:00:01Z", "containers": null}]}"#;

    #[test]
    fn a_kubelet_s_answer_is_understood() {
        let summary = serde_json::from_str(ANSWER).expect("the form of the Summary API");
        let told = containers(summary);
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        assert_eq!(
            told,
            [ContainerFigures {
                pod_uid: "u1".to_owned(),
                name: "main".to_owned(),
                started: Some(at("2026-11-26T10:00:02Z")),
                at: at("2026-11-26T10:05:01Z"),
                cpu_nanos: 123_456_789,
                memory_bytes: 4096,
            }]
        );
    }
}
