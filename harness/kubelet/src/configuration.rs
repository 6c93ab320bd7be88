//! What a node is told when it starts.

use harness_kernel::control_group::Home;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

/// Everything a node needs to know; nothing is read from the environment.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Name of the Node object.
    pub name: String,
    /// Address of the node, on which its kubelet port listens.
    pub internal_ip: Ipv4Addr,
    /// Addresses for pods, as `10.101.1.0/24`.
    pub pod_cidr: String,
    /// Address of the bridge `pods0`: the pods' router and name server.
    pub pod_gateway: Ipv4Addr,
    /// Labels of the Node object.
    pub labels: BTreeMap<String, String>,
    /// URL of the API server.
    pub api_server: String,
    /// The cluster's certificate authority.
    pub ca_pem: String,
    /// Certificate for `system:node:NAME` in the group `system:nodes`.
    pub client_cert_pem: String,
    /// Its key.
    pub client_key_pem: String,
    /// Certificate for the kubelet port.
    pub serving_cert_pem: String,
    /// Its key.
    pub serving_key_pem: String,
    /// Folder of the image store.
    pub image_store: PathBuf,
    /// The node's own disk: an existing folder on a file system in memory, empty at the start.
    pub state_dir: PathBuf,
    /// Where the socket for connections to pods is made.
    pub connect_socket: PathBuf,
    /// The program that runs `harness_kernel::container::shim` when its first argument is `__container`.
    pub executable: PathBuf,
    /// `cluster.local`.
    pub cluster_domain: String,
    /// File that the process's own log goes to; shown at `/logs/kubelet.log`.
    pub log: PathBuf,
    /// Where control groups for containers with limits are made, or why they cannot be.
    pub control_groups: Result<Home, String>,
    /// Whether bytes hold a private key: what folders of the node's disk are searched for.
    pub holds_key: fn(&[u8]) -> bool,
    /// How long the Lease is valid; it is renewed every second.
    pub lease_duration: Duration,
    /// Wait before the first restart of a container that failed; doubles up to thirty times itself (Kubernetes: 10 s
    /// up to 5 min).
    pub restart_backoff: Duration,
}
