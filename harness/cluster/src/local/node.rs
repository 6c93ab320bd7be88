//! `__node`: the first process of a node, init of its own PID, mount, host name and IPC namespaces, in the network
//! namespace that the fabric made for it. It prepares what a machine would have and becomes the kubelet.

use super::components::NODE_GONE_AFTER;
use super::plan::{API_PORT, API_SERVER, CLUSTER_DOMAIN, PREFIX};
use super::protocol::{self, LIFELINE, NodeRole};
use super::{failed, log_to};
use crate::{ClusterError, key_marks};
use harness_kernel::{fd_passing, mount};
use harness_kubelet::NodeConfig;
use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs the node until the fabric ends.
pub(super) fn run() -> Result<(), ClusterError> {
    let lifeline = fd_passing::inherited(LIFELINE)
        .map(UnixStream::from)
        .map_err(failed("take over the connection to the fabric"))?;
    let mut from_fabric = BufReader::new(&lifeline);
    let role: NodeRole =
        protocol::receive(&mut from_fabric).map_err(failed("read the node's configuration"))?;
    log_to(&role.log)?;
    prepare(&role)?;
    let go: String =
        protocol::receive(&mut from_fabric).map_err(failed("wait for the API server"))?;
    tracing::debug!(go, "the API server is ready");

    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(failed("start the runtime"))?;
    runtime
        .block_on(harness_kubelet::run(configuration(role)))
        .map_err(failed("run the kubelet"))
}

fn prepare(role: &NodeRole) -> Result<(), ClusterError> {
    let name = &role.node.name;
    let act = || format!("prepare node `{name}`");
    let kernel = |result: Result<(), harness_kernel::KernelError>| result.map_err(failed(act()));
    kernel(mount::make_private())?;
    // The fabric's keys and its database are none of a node's business.
    kernel(mount::detach(&role.hide))?;
    kernel(mount::mount_proc(Path::new("/proc")))?;
    // As on a machine: in memory, gone with its power, and full by itself.
    let run = role.disk.join(harness_kubelet::HOST_FOLDER).join("run");
    std::fs::create_dir_all(&run).map_err(failed(format!("make {}", run.display())))?;
    kernel(mount::mount_tmpfs(&run, "mode=755"))?;
    nix::unistd::sethostname(name).map_err(|error| failed(act())(std::io::Error::from(error)))
}

fn configuration(role: NodeRole) -> NodeConfig {
    NodeConfig {
        name: role.node.name,
        internal_ip: role.node.internal_ip,
        pod_cidr: format!("{}/{PREFIX}", role.node.pod_network),
        pod_gateway: role.node.pod_gateway,
        labels: role.node.labels,
        api_server: format!("https://{API_SERVER}:{API_PORT}"),
        ca_pem: role.ca,
        client_cert_pem: role.client.certificate,
        client_key_pem: role.client.key,
        serving_cert_pem: role.serving.certificate,
        serving_key_pem: role.serving.key,
        image_store: role.image_store,
        state_dir: role.disk,
        control_groups: role.control_groups,
        connect_socket: role.connect_socket,
        executable: PathBuf::from("/proc/self/exe"),
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        log: role.log,
        holds_key: key_marks::are_in,
        lease_duration: Duration::from_secs(NODE_GONE_AFTER),
        restart_backoff: Duration::from_millis(500),
    }
}
