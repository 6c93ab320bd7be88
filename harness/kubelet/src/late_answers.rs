//! Having what a pod is asked arrive late for a while: it is as it was, and answers late.
//!
//! Invariant: what is late here is prompt again here, after the time that was asked for, whoever asked.

use crate::freeze::PodName;
use crate::leases::Undo;
use crate::node::Node;
use harness_kernel::KernelError;
use harness_kernel::late_port::{self, LatePort};
use harness_kernel::netns::NetNs;
use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Has what arrives at a port of the pod wait for `delay`, for this time, and says what was measured.
pub(crate) async fn begin(
    node: &Arc<Node>,
    pod: PodName,
    port: u16,
    delay: Duration,
    time: Duration,
) -> Result<String, String> {
    let begun = Instant::now();
    // One at a time: a pod has one queue. What it was for has to drain first, for which `late_port` waits.
    node.late.end(&pod);
    let (namespace, to) = find(node, &pod, port)?;
    let lock = node.config.state_dir.join("iptables.lock");
    let striking =
        tokio::task::spawn_blocking(move || late_port::begin(namespace, to, delay, &lock));
    let struck = striking.await.map_err(|error| error.to_string())?;
    let (late, measured) = struck.map_err(|error| words(&error))?;
    tracing::info!(pod = pod.pod, port, ?delay, ?time, measured, "late");
    node.late
        .begin(pod, late, time.saturating_sub(begun.elapsed()));
    Ok(measured)
}

/// The network of a pod, and the address of its port.
fn find(node: &Node, name: &PodName, port: u16) -> Result<(NetNs, SocketAddrV4), String> {
    let pod = node
        .find_pod(&name.namespace, &name.pod)
        .ok_or_else(|| format!("the pod {}/{} is not here", name.namespace, name.pod))?;
    let sandbox = pod
        .sandbox
        .get()
        .ok_or_else(|| format!("the pod {} has no network yet", name.pod))?;
    let namespace = sandbox
        .namespace()
        .ok_or_else(|| format!("the pod {} has the network of its node", name.pod))?;
    let namespace = namespace.try_clone().map_err(|error| words(&error))?;
    Ok((namespace, SocketAddrV4::new(sandbox.address, port)))
}

fn words(error: &KernelError) -> String {
    format!("{error}: {}", error.source)
}

impl Undo<PodName> for LatePort {
    fn undo(self, pod: &PodName) {
        match self.end() {
            Ok(()) => tracing::info!(pod = pod.pod, "prompt again"),
            Err(error) => {
                tracing::warn!(pod = pod.pod, error = words(&error), "a rule stays");
            }
        }
    }
}
