//! What the control plane knows, as one value: everything that a sidecar's configuration is computed from.
//!
//! Invariant: plain data. A published world never changes; a newer one replaces it.

use mesh_api::{PolicyConfigSpec, ScopeConfigSpec};
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tokio::sync::watch;

/// One state of everything that is watched.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct World {
    /// The namespace of workloads, scopes and policies.
    pub namespace: String,
    /// The trust domain of the workloads' SPIFFE IDs.
    pub trust_domain: String,
    /// Policies by name.
    pub policies: BTreeMap<String, Arc<Policy>>,
    /// Scopes by name.
    pub scopes: BTreeMap<String, Arc<Scope>>,
    /// Services and their endpoints.
    pub services: Arc<Services>,
    /// Pods of the namespace that have an address and a node, by UID.
    pub sidecars: BTreeMap<String, Arc<Sidecar>>,
    /// The addresses of pods whose sidecars are to take TLS, as policies say.
    pub takes_tls: Arc<BTreeSet<IpAddr>>,
    /// The control plane's own pods, by name.
    pub replicas: BTreeMap<String, Replica>,
}

/// A `PolicyConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Name.
    pub name: String,
    /// UID: a policy that was deleted and made again is another one.
    pub uid: String,
    /// Generation of `spec`.
    pub generation: i64,
    /// When it was made, seconds since the Unix epoch.
    pub created: i64,
    /// What it says.
    pub spec: PolicyConfigSpec,
}

/// A `ScopeConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Name.
    pub name: String,
    /// UID: a scope that was deleted and made again is another one.
    pub uid: String,
    /// Generation of `spec`.
    pub generation: i64,
    /// Whom it covers.
    pub spec: ScopeConfigSpec,
}

/// A pod that may receive configuration, as the Kubernetes API tells it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sidecar {
    /// Pod name.
    pub pod: String,
    /// Pod UID.
    pub uid: String,
    /// Cluster, the control plane's own.
    pub cluster: String,
    /// Region label of the pod's node.
    pub region: String,
    /// Zone label of the pod's node.
    pub data_center: String,
    /// The pod's `app` label.
    pub application: String,
    /// Pod address.
    pub ip: IpAddr,
    /// The pod has a container named [`MEMBER_CONTAINER`]: it is expected to connect.
    pub member: bool,
}

/// The name of the container, or native sidecar, that makes a pod a member of the mesh.
pub const MEMBER_CONTAINER: &str = "sidecar";

impl Default for Sidecar {
    fn default() -> Self {
        Self {
            pod: String::new(),
            uid: String::new(),
            cluster: String::new(),
            region: String::new(),
            data_center: String::new(),
            application: String::new(),
            ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            member: true,
        }
    }
}

/// A pod of the control plane itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Pod UID.
    pub uid: String,
    /// Pod address, once it has one.
    pub ip: Option<IpAddr>,
    /// It takes requests.
    pub ready: bool,
    /// How often its containers were started again.
    pub restarts: i32,
}

/// Services by name, with a hash of all of it so that what is made of it can be looked up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Services {
    /// Hash of `by_name`.
    pub hash: [u8; 32],
    /// Service name → service.
    pub by_name: BTreeMap<String, Service>,
}

impl Services {
    /// Takes the services and computes their hash.
    #[must_use]
    pub fn new(by_name: BTreeMap<String, Service>) -> Self {
        // The debug form of plain ordered data is canonical, and this is computed once for each change.
        let hash = Sha256::digest(format!("{by_name:?}").as_bytes()).into();
        Self { hash, by_name }
    }
}

/// One service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// The address by which it is called; none where it has none of its own.
    pub address: Option<IpAddr>,
    /// Port number → its ready endpoints, in order of address.
    pub ports: BTreeMap<u16, Vec<Endpoint>>,
    /// The ports that carry bytes of which nothing is known. The others carry HTTP, gRPC among it.
    pub bytes: BTreeSet<u16>,
    /// The service accounts that may answer for it: those that it names, else those of the pods that it selects, ready or
    /// not.
    pub accounts: BTreeSet<String>,
}

/// One ready endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// Address.
    pub ip: IpAddr,
    /// Port of the pod.
    pub port: u16,
    /// Region label of its node.
    pub region: String,
    /// Zone.
    pub zone: String,
}

/// Where the newest world is published.
#[derive(Clone, Debug)]
pub struct WorldStore {
    sender: watch::Sender<Arc<World>>,
}

impl WorldStore {
    /// An empty world.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sender: watch::Sender::new(Arc::new(World::default())),
        }
    }

    /// Replaces the world and wakes everybody who computes from it.
    pub fn publish(&self, world: Arc<World>) {
        self.sender.send_replace(world);
    }

    /// Wakes everybody though nothing changed.
    pub fn refresh(&self) {
        self.sender.send_modify(|_| {});
    }

    /// The newest world.
    #[must_use]
    pub fn current(&self) -> Arc<World> {
        self.sender.borrow().clone()
    }

    /// Follows the world.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Arc<World>> {
        self.sender.subscribe()
    }
}

impl Default for WorldStore {
    fn default() -> Self {
        Self::new()
    }
}
