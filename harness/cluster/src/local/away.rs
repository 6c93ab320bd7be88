//! Taking parts of a local cluster away, as the harness asks for it: of its fabric, of the node of a pod,
//! or of the nodes of a data center.

use super::cluster::LocalCluster;
use super::plan::Plan;
use super::protocol::{self, ClusterPart, Request};
use super::{connect_socket, failed};
use crate::nodes::wait_until_told;
use crate::{Cluster as _, ClusterError, DiskHarm, OnDisks, Part, PodAddress};
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

/// Data center → when its nodes lost power last.
#[derive(Debug, Default)]
pub(super) struct PowerCuts(Mutex<BTreeMap<String, Timestamp>>);

impl PowerCuts {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        // The map is whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a part away for this time; what was done, in words.
pub(super) async fn take_away(
    cluster: &LocalCluster,
    part: &Part,
    duration: Duration,
) -> Result<String, ClusterError> {
    if let Part::Nodes { data_center } = part {
        let mut cuts = cluster.power_cuts.all();
        cuts.insert(data_center.clone(), Timestamp::now());
    }
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    match place_of(part) {
        Place::Fabric(part) => cluster.ask(&Request::TakeAway { part, millis }).await,
        Place::NodeOf(pod) => freeze(cluster.folder(), pod, millis).await,
        Place::PortOf { pod, port, delay } => {
            slow_down(cluster.folder(), pod, port, delay, millis).await
        }
        Place::Disks(part) => {
            let nodes = nodes(cluster, part)?;
            harm(cluster.folder(), &nodes, part, millis).await
        }
    }
}

/// Gives a part back now.
pub(super) async fn give_back(cluster: &LocalCluster, part: &Part) -> Result<(), ClusterError> {
    match place_of(part) {
        Place::Fabric(part) => cluster.ask(&Request::GiveBack { part }).await.map(drop),
        Place::NodeOf(pod) => thaw(cluster.folder(), pod).await,
        Place::PortOf { pod, .. } => speed_up(cluster.folder(), pod).await,
        Place::Disks(part) => mend(cluster.folder(), &nodes(cluster, part)?, part).await,
    }
}

/// Waits until nodes that lost power tell of their pods again: until then Kubernetes says that these are ready, unless they were
/// away for so long that it takes them for gone. Of all other parts it is known when they are back.
pub(super) async fn wait_until_back(
    cluster: &LocalCluster,
    part: &Part,
) -> Result<(), ClusterError> {
    let Part::Nodes { data_center } = part else {
        return Ok(());
    };
    let since = cluster.power_cuts.all().get(data_center).copied();
    let Some(since) = since else {
        return Ok(());
    };
    let (client, plan) = (cluster.client(), Plan::new(cluster.topology()));
    let hit = plan
        .numbered_nodes()
        .filter(|(zone, _, _)| zone.data_center == *data_center);
    let told = hit.map(|(_, _, node)| wait_until_told(&client, &node.name, since));
    try_join_all(told).await.map(drop)
}

/// Who takes a part away.
enum Place<'a> {
    /// The fabric, which knows it by these words.
    Fabric(ClusterPart),
    /// The node of a pod.
    NodeOf(&'a PodAddress),
    /// The node of a pod, for one of its ports.
    PortOf {
        pod: &'a PodAddress,
        port: u16,
        delay: Duration,
    },
    /// The nodes themselves.
    Disks(&'a OnDisks),
}

fn place_of(part: &Part) -> Place<'_> {
    match part {
        Part::PodProcesses(pod) => Place::NodeOf(pod),
        Part::Promptness { pod, port, delay } => Place::PortOf {
            pod,
            port: *port,
            delay: *delay,
        },
        Part::Nodes { data_center } => Place::Fabric(ClusterPart::Nodes(data_center.clone())),
        Part::ApiServer => Place::Fabric(ClusterPart::Killed("kube-apiserver".to_owned())),
        Part::Etcd => Place::Fabric(ClusterPart::Stopped("etcd".to_owned())),
        Part::OnDisks(part) => Place::Disks(part),
    }
}

/// The names of the nodes that are meant.
fn nodes(cluster: &LocalCluster, part: &OnDisks) -> Result<Vec<String>, ClusterError> {
    let plan = Plan::new(cluster.topology());
    let all = plan
        .numbered_nodes()
        .map(|(zone, _, node)| (zone.data_center.as_str(), node.name.as_str()));
    Ok(part.among(all)?.into_iter().map(str::to_owned).collect())
}

/// Has nodes harm something on their disks. What one of them did is undone by itself where another one could not.
async fn harm(
    folder: &Path,
    nodes: &[String],
    part: &OnDisks,
    millis: u64,
) -> Result<String, ClusterError> {
    let path = &part.path;
    let request = &match part.harm {
        DiskHarm::Socket(how) => json!({ "socket": path, "harm": how, "millis": millis }),
        DiskHarm::Full => json!({ "fill": path, "millis": millis }),
    };
    let harmed = nodes.iter().map(|node| async move {
        let measured: String = ask(folder, node, request)
            .await
            .map_err(failed(format!("{}, on node {node}", part.act())))?;
        Ok::<_, ClusterError>(format!("{} on {node}: {measured}", path.display()))
    });
    Ok(try_join_all(harmed).await?.join("; "))
}

/// Has nodes undo what is left of it.
async fn mend(folder: &Path, nodes: &[String], part: &OnDisks) -> Result<(), ClusterError> {
    let path = &part.path;
    let request = &match part.harm {
        DiskHarm::Socket(_) => json!({ "mend": path }),
        DiskHarm::Full => json!({ "empty": path }),
    };
    let mended = nodes.iter().map(|node| async move {
        ask::<String>(folder, node, request)
            .await
            .map(drop)
            .map_err(failed(format!("{}, on node {node}", part.undo())))
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

/// Has the node of a pod hold back what arrives at a port of it.
async fn slow_down(
    folder: &Path,
    pod: &PodAddress,
    port: u16,
    delay: Duration,
    millis: u64,
) -> Result<String, ClusterError> {
    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    let request = json!({ "late": name(pod), "port": port, "delay": delay, "millis": millis });
    let measured: String = ask(folder, &pod.node, &request)
        .await
        .map_err(failed(format!("have the pod {} answer late", pod.name)))?;
    Ok(format!("{}: {measured}", pod.name))
}

/// Has it hold nothing back any more.
async fn speed_up(folder: &Path, pod: &PodAddress) -> Result<(), ClusterError> {
    ask::<String>(folder, &pod.node, &json!({ "prompt": name(pod) }))
        .await
        .map(drop)
        .map_err(failed(format!("let the pod {} answer at once", pod.name)))
}

fn name(pod: &PodAddress) -> serde_json::Value {
    json!({ "namespace": pod.namespace, "pod": pod.name })
}

/// Asks a node for something, in the words of our kubelet.
pub(super) async fn ask<T: DeserializeOwned>(
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
