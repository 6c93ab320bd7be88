//! Taking parts of a local cluster away, as the harness asks for it: of its fabric, of the node of a pod,
//! or of the nodes of a data center.

use super::cluster::LocalCluster;
use super::plan::Plan;
use super::protocol::{self, ClusterPart, Request};
use super::{connect_socket, failed};
use crate::{Cluster as _, ClusterError, Part, PodAddress};
use futures::future::{join_all, try_join_all};
use harness_model::fault::SocketHarm;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Takes a part away for this time; what was done, in words.
pub(super) async fn take_away(
    cluster: &LocalCluster,
    part: &Part,
    duration: Duration,
) -> Result<String, ClusterError> {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match place_of(part) {
        Place::Fabric(part) => cluster.ask(&Request::TakeAway { part, millis }).await,
        Place::NodeOf(pod) => freeze(cluster.folder(), pod, millis).await,
        Place::Nodes(data_center, socket) => {
            harm(
                cluster.folder(),
                &nodes(cluster, data_center)?,
                socket,
                millis,
            )
            .await
        }
    }
}

/// Gives a part back now.
pub(super) async fn give_back(cluster: &LocalCluster, part: &Part) -> Result<(), ClusterError> {
    match place_of(part) {
        Place::Fabric(part) => cluster.ask(&Request::GiveBack { part }).await.map(drop),
        Place::NodeOf(pod) => thaw(cluster.folder(), pod).await,
        Place::Nodes(data_center, socket) => {
            mend(cluster.folder(), &nodes(cluster, data_center)?, socket).await
        }
    }
}

/// Who takes a part away.
enum Place<'a> {
    /// The fabric, which knows it by these words.
    Fabric(ClusterPart),
    /// The node of a pod.
    NodeOf(&'a PodAddress),
    /// The nodes of a data center.
    Nodes(&'a str, Socket<'a>),
}

/// A socket on the disks of nodes, and what becomes of it.
#[derive(Clone, Copy)]
struct Socket<'a> {
    path: &'a Path,
    how: SocketHarm,
}

fn place_of(part: &Part) -> Place<'_> {
    match part {
        Part::PodProcesses(pod) => Place::NodeOf(pod),
        Part::Nodes { data_center } => Place::Fabric(ClusterPart::Nodes(data_center.clone())),
        Part::ApiServer => Place::Fabric(ClusterPart::Killed("kube-apiserver".to_owned())),
        Part::Etcd => Place::Fabric(ClusterPart::Stopped("etcd".to_owned())),
        Part::Socket {
            data_center,
            path,
            how,
        } => Place::Nodes(data_center, Socket { path, how: *how }),
    }
}

/// The names of the nodes of a data center.
fn nodes(cluster: &LocalCluster, data_center: &str) -> Result<Vec<String>, ClusterError> {
    let plan = Plan::new(cluster.topology());
    let nodes: Vec<String> = plan
        .numbered_nodes()
        .filter(|(zone, ..)| zone.data_center == data_center)
        .map(|(_, _, node)| node.name.clone())
        .collect();
    if nodes.is_empty() {
        let act = format!("find a node in data center `{data_center}`");
        return Err(ClusterError::because(act, "there is none"));
    }
    Ok(nodes)
}

/// Has nodes break a socket on their disks. What one of them did is undone by itself where another one could not.
async fn harm(
    folder: &Path,
    nodes: &[String],
    socket: Socket<'_>,
    millis: u64,
) -> Result<String, ClusterError> {
    let harmed = nodes.iter().map(|node| async move {
        let request = json!({ "socket": socket.path, "harm": socket.how, "millis": millis });
        let measured: String = ask(folder, node, &request)
            .await
            .map_err(failed(format!("break a socket on node {node}")))?;
        Ok::<_, ClusterError>(format!("{} on {node}: {measured}", socket.path.display()))
    });
    Ok(try_join_all(harmed).await?.join("; "))
}

/// Has nodes put a socket back that nobody made again.
async fn mend(folder: &Path, nodes: &[String], socket: Socket<'_>) -> Result<(), ClusterError> {
    let mended = nodes.iter().map(|node| async move {
        let request = json!({ "mend": socket.path });
        ask::<String>(folder, node, &request)
            .await
            .map(drop)
            .map_err(failed(format!("put a socket back on node {node}")))
    });
    join_all(mended).await.into_iter().collect()
}

/// Has the node of a pod stop its processes.
async fn freeze(folder: &Path, pod: &PodAddress, millis: u64) -> Result<String, ClusterError> {
    let request = json!({ "freeze": name(pod), "millis": millis });
    let count: usize = ask(folder, &pod.node, &request)
        .await
        .map_err(failed(format!("freeze the pod {}", pod.name)))?;
    Ok(format!("{count} processes of {} are stopped", pod.name))
}

/// Has them go on.
async fn thaw(folder: &Path, pod: &PodAddress) -> Result<(), ClusterError> {
    ask::<usize>(folder, &pod.node, &json!({ "thaw": name(pod) }))
        .await
        .map(drop)
        .map_err(failed(format!("let the pod {} go on", pod.name)))
}

fn name(pod: &PodAddress) -> serde_json::Value {
    json!({ "namespace": pod.namespace, "pod": pod.name })
}

async fn ask<T: DeserializeOwned>(
    folder: &Path,
    node: &str,
    request: &serde_json::Value,
) -> io::Result<T> {
    let mut node = BufReader::new(UnixStream::connect(connect_socket(folder, node)).await?);
    node.write_all(&protocol::line(request)?).await?;
    let mut line = String::new();
    node.read_line(&mut line).await?;
    serde_json::from_str::<Result<T, String>>(&line)?.map_err(io::Error::other)
}
