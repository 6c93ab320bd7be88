//! Who is there: workloads with stable names, and control-plane replicas.

use crate::definition::Component;
use crate::error::MeshError;
use crate::site::Site;
use crate::template;
use crate::wait;
use harness_cluster::PodAddress;
use harness_model::directory::Sidecar;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Api, ListParams};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

/// A workload pod of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// Its name and what decides scope. `name` is `application@data-center`, plus `#n` from the second on.
    pub sidecar: Sidecar,
    /// Where to reach its probe.
    pub address: PodAddress,
    /// The pod is Ready.
    pub ready: bool,
    /// It only serves as an extra recipient: scenarios do not name it.
    pub canary: bool,
}

/// A control-plane pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Pod name: what sidecars report as [`harness_model::history::Stream::replica`].
    pub pod: String,
    /// Where the pod is.
    pub address: PodAddress,
    /// `ip:port` of its xDS server: what a sidecar dials when it is pinned to it.
    pub xds: String,
    /// Zone of its node.
    pub data_center: String,
    /// The pod is Ready.
    pub ready: bool,
}

impl Site {
    /// The workload pods that have an address and are not being deleted, ordered by stable name.
    ///
    /// # Errors
    ///
    /// When the API server cannot be read.
    pub(crate) async fn workloads(&self) -> Result<Vec<Workload>, MeshError> {
        let form = &self.definition.workloads;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &form.namespace);
        let selector = ListParams::default().labels(&form.application_label);
        let listed =
            async { tokio::try_join!(async { pods.list(&selector).await }, self.zones_of_nodes()) };
        let (pods, zones) = listed
            .await
            .map_err(|source| MeshError::api("list the workload pods", source))?;
        Ok(self.named(&pods.items, &zones))
    }

    /// The control-plane pods that have an address and are not being deleted, ordered by name; empty where
    /// the mesh has no control plane.
    ///
    /// # Errors
    ///
    /// When the API server cannot be read.
    pub(crate) async fn replicas(&self) -> Result<Vec<Replica>, MeshError> {
        let Some(control_plane) = &self.definition.control_plane else {
            return Ok(Vec::new());
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &control_plane.namespace);
        let selector = ListParams::default().labels(&labels(&control_plane.selector));
        let (pods, zones) =
            tokio::try_join!(async { pods.list(&selector).await }, self.zones_of_nodes())
                .map_err(|source| MeshError::api("list the control-plane pods", source))?;
        let mut replicas: Vec<Replica> = pods
            .items
            .iter()
            .filter_map(|pod| {
                let address = address(self.context.cluster(), pod)?;
                Some(Replica {
                    pod: address.name.clone(),
                    xds: format!("{}:{}", address.ip, control_plane.xds_port),
                    data_center: zones.get(&address.node).cloned().unwrap_or_default(),
                    ready: is_ready(pod),
                    address,
                })
            })
            .collect();
        replicas.sort_by(|a, b| a.pod.cmp(&b.pod));
        Ok(replicas)
    }

    /// The name and the data center of each pod of a further part of the mesh that has an address and is not being deleted.
    ///
    /// # Errors
    ///
    /// When the API server cannot be read.
    pub(crate) async fn places_of(
        &self,
        component: &Component,
    ) -> Result<Vec<(String, String)>, MeshError> {
        let pods = self.pods_of(component).await?;
        let zones = self.zones_of_nodes().await;
        let zones = zones.map_err(|source| MeshError::api("list the nodes", source))?;
        let placed = pods.into_iter().map(|pod| {
            let zone = zones.get(&pod.node).cloned().unwrap_or_default();
            (pod.name, zone)
        });
        Ok(placed.collect())
    }

    /// The pods of a further part of the mesh that have an address and are not being deleted, the oldest first.
    ///
    /// # Errors
    ///
    /// When the API server cannot be read.
    pub(crate) async fn pods_of(
        &self,
        component: &Component,
    ) -> Result<Vec<PodAddress>, MeshError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &component.namespace);
        let selector = ListParams::default().labels(&labels(&component.selector));
        let mut pods = pods
            .list(&selector)
            .await
            .map_err(|source| MeshError::api("list the pods of a component", source))?
            .items;
        pods.sort_by_cached_key(made);
        let cluster = self.context.cluster();
        let addresses = pods.iter().filter_map(|pod| address(cluster, pod));
        Ok(addresses.collect())
    }

    /// Waits until every workload and every control-plane replica that should be there is there and Ready, and
    /// nobody else is; returns the workloads.
    ///
    /// # Errors
    ///
    /// When that does not happen within `patience`, with what was last seen; or when the API server cannot
    /// be read.
    pub(crate) async fn wait_until_ready(
        &self,
        patience: Duration,
    ) -> Result<Vec<Workload>, MeshError> {
        wait::until_ready(self, patience).await?;
        self.workloads().await
    }

    async fn zones_of_nodes(&self) -> Result<BTreeMap<String, String>, kube::Error> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let nodes = nodes.list(&ListParams::default()).await?;
        Ok(nodes
            .items
            .into_iter()
            .filter_map(|node| {
                let zone = node
                    .metadata
                    .labels?
                    .remove("topology.kubernetes.io/zone")?;
                Some((node.metadata.name?, zone))
            })
            .collect())
    }

    fn named(&self, pods: &[Pod], zones: &BTreeMap<String, String>) -> Vec<Workload> {
        let form = &self.definition.workloads;
        let mut found: Vec<(&Pod, PodAddress)> = pods
            .iter()
            .filter_map(|pod| Some((pod, address(self.context.cluster(), pod)?)))
            .collect();
        // The oldest pod keeps the plain name when two appear at once.
        found.sort_by_cached_key(|(pod, _)| made(pod));
        let living: BTreeSet<&str> = found
            .iter()
            .filter_map(|(pod, _)| pod.metadata.uid.as_deref())
            .collect();
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.retain(|uid, _| living.contains(uid.as_str()));
        let mut workloads: Vec<Workload> = found
            .into_iter()
            .filter_map(|(pod, address)| {
                let uid = pod.metadata.uid.clone()?;
                let application = pod
                    .metadata
                    .labels
                    .as_ref()?
                    .get(&form.application_label)?
                    .clone();
                let data_center = zones.get(&address.node).cloned().unwrap_or_default();
                let name = stable_name(&mut names, &uid, &application, &data_center);
                Some(Workload {
                    canary: form
                        .canary
                        .as_ref()
                        .is_some_and(|canary| canary.application == application),
                    ready: is_ready(pod),
                    sidecar: Sidecar {
                        name,
                        pod: address.name.clone(),
                        pod_uid: uid,
                        cluster: self.context.cluster().to_owned(),
                        data_center,
                        node: address.node.clone(),
                        identity: form
                            .identity
                            .as_ref()
                            .map(|identity| template::of_application(identity, &application)),
                        application,
                        ip: address.ip.clone(),
                    },
                    address,
                })
            })
            .collect();
        workloads.sort_by(|a, b| a.sidecar.name.cmp(&b.sidecar.name));
        workloads
    }
}

/// Keeps the name of a pod that has one and gives the lowest free one to a new pod.
pub(crate) fn stable_name(
    names: &mut BTreeMap<String, String>,
    uid: &str,
    application: &str,
    data_center: &str,
) -> String {
    if let Some(name) = names.get(uid) {
        return name.clone();
    }
    let plain = format!("{application}@{data_center}");
    let taken: BTreeSet<&String> = names.values().collect();
    let mut name = plain.clone();
    let mut number = 1;
    while taken.contains(&name) {
        number += 1;
        name = format!("{plain}#{number}");
    }
    names.insert(uid.to_owned(), name.clone());
    name
}

/// A label selector in words.
pub(crate) fn labels(selector: &BTreeMap<String, String>) -> String {
    selector
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect::<Vec<_>>()
        .join(",")
}

/// Where a pod of this cluster is; none while it has no address, once it has ended, and from the moment it is being deleted.
pub(crate) fn address(cluster: &str, pod: &Pod) -> Option<PodAddress> {
    let status = pod.status.as_ref()?;
    let ended = matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"));
    if ended || pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    Some(PodAddress {
        cluster: cluster.to_owned(),
        namespace: pod.metadata.namespace.clone()?,
        name: pod.metadata.name.clone()?,
        node: pod.spec.as_ref()?.node_name.clone()?,
        ip: status.pod_ip.clone().filter(|ip| !ip.is_empty())?,
    })
}

/// What the oldest pod has the least of: when it was made, to the second, and then its name.
fn made(pod: &Pod) -> (Option<Time>, Option<String>) {
    (
        pod.metadata.creation_timestamp.clone(),
        pod.metadata.name.clone(),
    )
}

/// The pod has an address, has not ended and is not being deleted.
pub(crate) fn is_there(pod: &Pod) -> bool {
    address("", pod).is_some()
}

/// The pod's condition `Ready` is true.
pub(crate) fn is_ready(pod: &Pod) -> bool {
    pod.status
        .as_ref()
        .and_then(|status| status.conditions.as_ref())
        .is_some_and(|conditions| {
            conditions
                .iter()
                .any(|condition| condition.type_ == "Ready" && condition.status == "True")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_with_its_pod_and_a_new_pod_gets_the_lowest_free_one() {
        let mut names = BTreeMap::new();
        assert_eq!(
            stable_name(&mut names, "a", "checkout", "z1"),
            "checkout@z1"
        );
        assert_eq!(
            stable_name(&mut names, "b", "checkout", "z1"),
            "checkout@z1#2"
        );
        assert_eq!(
            stable_name(&mut names, "c", "checkout", "z2"),
            "checkout@z2"
        );
        names.remove("a");
        assert_eq!(
            stable_name(&mut names, "b", "checkout", "z1"),
            "checkout@z1#2"
        );
        assert_eq!(
            stable_name(&mut names, "d", "checkout", "z1"),
            "checkout@z1"
        );
    }
}
