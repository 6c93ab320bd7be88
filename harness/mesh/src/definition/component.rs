//! The further parts of a mesh, and what faults can find of them.

use super::MeshDefinition;
use harness_model::capability::Capability;
use harness_model::names::Components;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A further part of a mesh.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Component {
    /// What kind of object runs it.
    pub kind: ComponentKind,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Selects its pods.
    pub selector: BTreeMap<String, String>,
    /// A TCP port that each pod listens on while it lives.
    pub port: u16,
    /// The TCP port on which each pod serves the rest of the mesh, which faults may make late. Absent: `port`.
    #[serde(default)]
    pub serves: Option<u16>,
    /// The path of the Unix socket that each pod listens on, on its node's disk. Absent: none that faults may break.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// The path of the folder that each pod has on its node's disk (`hostPath`), which is searched for private keys and whose
    /// file system faults may fill. Absent: none.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// The Secrets, in its namespace, that it keeps private keys in which nobody else may be able to read: sealed, or encrypted.
    /// They are searched for private keys. Absent: none.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// The list of the parts that it serves. Absent: none that can be denied.
    #[serde(default)]
    pub clients: Option<ClientList>,
    /// Where each pod shows how many requests it has refused. Absent: nobody tells.
    #[serde(default)]
    pub refusals: Option<Counter>,
}

/// Where a pod shows what it has counted since it was started.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counter {
    /// The path, over HTTP on the part's `port`.
    pub shown_at: String,
    /// The name of the counter: it stands in a line of its own, before a space and a whole number, as Prometheus' text form has
    /// one without labels.
    pub counter: String,
}

/// The list of those whom a part of a mesh serves: names, one a line, which an operator changes while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClientList {
    /// The ConfigMap that it is in, in the part's namespace. A change must count without a restart.
    pub config_map: String,
    /// Its key there.
    pub key: String,
    /// Client (in `components`) → its name in the list.
    pub names: BTreeMap<String, String>,
    /// The path at which each pod shows the list that it goes by, over HTTP on `port`: a node needs time to bring it a change.
    pub shown_at: String,
}

/// A kind of object that runs pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum ComponentKind {
    /// Some replicas, anywhere.
    Deployment,
    /// One on each node.
    DaemonSet,
}

impl Component {
    /// A Deployment that is looked at as a component is, though nothing is known of its port.
    pub(crate) fn deployment(ns: &str, name: String, selector: BTreeMap<String, String>) -> Self {
        Self {
            kind: ComponentKind::Deployment,
            namespace: ns.to_owned(),
            name,
            selector,
            port: 0,
            serves: None,
            socket: None,
            folder: None,
            secrets: Vec::new(),
            clients: None,
            refusals: None,
        }
    }

    /// The path of the object that runs it, at an API server.
    #[must_use]
    pub fn path(&self) -> String {
        format!(
            "/apis/apps/v1/namespaces/{}/{}/{}",
            self.namespace,
            self.kind.plural(),
            self.name
        )
    }
}

impl ComponentKind {
    /// As Kubernetes calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::DaemonSet => "DaemonSet",
        }
    }

    /// Its plural in URLs.
    #[must_use]
    pub fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::DaemonSet => "daemonsets",
        }
    }
}

impl MeshDefinition {
    /// The names of its parts: the Deployment of its control plane, and the further ones.
    #[must_use]
    pub fn component_names(&self) -> Components {
        let control_plane = self.control_plane.iter().map(|home| &home.deployment);
        let those = |have: fn(&Component) -> bool| {
            let found = self.components.iter().filter(move |part| have(part));
            found.map(|part| &part.name)
        };
        Components {
            all: control_plane.chain(those(|_| true)).cloned().collect(),
            with_socket: those(|part| part.socket.is_some()).cloned().collect(),
            with_folder: those(|part| part.folder.is_some()).cloned().collect(),
            clients: self.client_names(),
        }
    }

    fn client_names(&self) -> BTreeMap<String, Vec<String>> {
        let lists = self.components.iter().filter_map(|part| {
            let names = part.clients.as_ref()?.names.keys().cloned().collect();
            Some((part.name.clone(), names))
        });
        lists.collect()
    }

    /// The folders that its parts have on their nodes' disks, each once.
    pub(crate) fn folders(&self) -> Vec<PathBuf> {
        let folders: BTreeSet<_> = self
            .components
            .iter()
            .filter_map(|part| part.folder.clone())
            .collect();
        folders.into_iter().collect()
    }

    /// The Secrets that its parts keep private keys in, by namespace and name, each once.
    pub(crate) fn secrets(&self) -> Vec<(String, String)> {
        let secrets: BTreeSet<_> = self
            .components
            .iter()
            .flat_map(|part| {
                let of_part = move |name: &String| (part.namespace.clone(), name.clone());
                part.secrets.iter().map(of_part)
            })
            .collect();
        secrets.into_iter().collect()
    }

    /// The part with this name.
    #[must_use]
    pub fn component(&self, name: &str) -> Option<Component> {
        let control_plane = self.control_plane.as_ref().map(|home| Component {
            kind: ComponentKind::Deployment,
            namespace: home.namespace.clone(),
            name: home.deployment.clone(),
            selector: home.selector.clone(),
            port: home.xds_port,
            serves: None,
            socket: None,
            folder: None,
            secrets: Vec::new(),
            clients: None,
            refusals: None,
        });
        control_plane
            .into_iter()
            .chain(self.components.iter().cloned())
            .find(|component| component.name == name)
    }

    /// What scenarios find with this mesh on a cluster that can do this: what the mesh can, too, and of the cluster's faults
    /// not those that the mesh has nothing for.
    #[must_use]
    pub fn capabilities_on(&self, cluster: BTreeSet<Capability>) -> BTreeSet<Capability> {
        let mut has = cluster;
        has.extend(&self.capabilities);
        let components = self.component_names();
        for (has_none, capability) in [
            (components.with_socket.is_empty(), Capability::SocketFault),
            (components.with_folder.is_empty(), Capability::DiskFull),
            (components.clients.is_empty(), Capability::ClientDenial),
        ] {
            if has_none {
                has.remove(&capability);
            }
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_the_authority_comes_to_another_port_than_who_asks_whether_it_is_well() {
        let mesh = MeshDefinition::load("reference").unwrap();
        let serves = |name: &str| mesh.component(name).and_then(|part| part.serves);
        let authority = mesh.component("certificate-authority").unwrap();
        assert!(serves("certificate-authority").is_some_and(|port| port != authority.port));
        assert_eq!(serves("key-service"), None);
    }

    #[test]
    fn a_fault_that_the_mesh_has_nothing_for_is_none_that_it_can_have() {
        let denial = Capability::ClientDenial;
        let cluster = [Capability::SocketFault, Capability::DiskFull, denial];
        let cluster: BTreeSet<_> = cluster.into();
        let mut mesh = MeshDefinition::load("reference").unwrap();
        let has = mesh.capabilities_on(cluster.clone());
        assert!(has.is_superset(&cluster) && has.contains(&Capability::Tls));
        for component in &mut mesh.components {
            component.folder = None;
            component.clients = None;
        }
        let has = mesh.capabilities_on(cluster);
        assert!(has.contains(&Capability::SocketFault) && !has.contains(&Capability::DiskFull));
        assert!(!has.contains(&denial));
    }
}
