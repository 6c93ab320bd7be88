//! Taking parts of a local cluster away, as the harness asks for it: of its fabric, or of the node of a pod.

use super::protocol::{self, ClusterPart};
use super::{connect_socket, failed};
use crate::{ClusterError, Part, PodAddress};
use serde_json::json;
use std::io;
use std::path::Path;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// The part in the fabric's words; a pod is its node's affair.
pub(super) fn of_fabric(part: &Part) -> Result<ClusterPart, &PodAddress> {
    match part {
        Part::PodProcesses(pod) => Err(pod),
        Part::Nodes { data_center } => Ok(ClusterPart::Nodes(data_center.clone())),
        Part::ApiServer => Ok(ClusterPart::Killed("kube-apiserver".to_owned())),
        Part::Etcd => Ok(ClusterPart::Stopped("etcd".to_owned())),
    }
}

/// Has the node of a pod stop its processes.
pub(super) async fn freeze(
    folder: &Path,
    pod: &PodAddress,
    millis: u64,
) -> Result<String, ClusterError> {
    let request = json!({ "freeze": name(pod), "millis": millis });
    let count = ask(folder, pod, &request)
        .await
        .map_err(failed(format!("freeze the pod {}", pod.name)))?;
    Ok(format!("{count} processes of {} are stopped", pod.name))
}

/// Has them go on.
pub(super) async fn thaw(folder: &Path, pod: &PodAddress) -> Result<(), ClusterError> {
    ask(folder, pod, &json!({ "thaw": name(pod) }))
        .await
        .map(drop)
        .map_err(failed(format!("let the pod {} go on", pod.name)))
}

fn name(pod: &PodAddress) -> serde_json::Value {
    json!({ "namespace": pod.namespace, "pod": pod.name })
}

async fn ask(folder: &Path, pod: &PodAddress, request: &serde_json::Value) -> io::Result<usize> {
    let mut node = BufReader::new(UnixStream::connect(connect_socket(folder, &pod.node)).await?);
    node.write_all(&protocol::line(request)?).await?;
    let mut line = String::new();
    node.read_line(&mut line).await?;
    serde_json::from_str::<Result<usize, String>>(&line)?.map_err(io::Error::other)
}
