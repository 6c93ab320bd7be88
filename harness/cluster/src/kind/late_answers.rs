//! Having what a pod is asked arrive late for a while: in the pod's node a process of ours, this very program, holds it back in
//! the pod's network.
//!
//! Invariant: it is a unit of the node's systemd that ends after the time, whatever becomes of us; when it ends before, packets
//! pass at once.

use super::brought::{Brought, PROGRAM};
use super::engine::Engine;
use super::pods;
use super::unit::{self, Unit};
use crate::{ClusterError, PodAddress, failed};
use harness_kernel::late_port;
use harness_kernel::netns::NetNs;
use serde::{Deserialize, Serialize};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the program is started as in a node; the argument after it is an [`Order`] in JSON.
pub(super) const ROLE: &str = "__late-answers";
/// What programs lock that change the packet filter of a pod. Not the node's own, which others hold for their time.
const LOCK: &str = "/run/meshproof-late.lock";

/// What is to be late.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    /// A process of the pod, as a number of the node.
    process: u32,
    /// The pod's address, and the port.
    to: SocketAddrV4,
    delay: Duration,
    /// For how long.
    time: Duration,
}

/// Has what arrives at a port of the pod wait; what was measured, in words.
pub(super) async fn begin(
    engine: &Engine,
    brought: &Brought,
    pod: &PodAddress,
    port: u16,
    delay: Duration,
    time: Duration,
) -> Result<String, ClusterError> {
    let act = format!("have the pod {} answer late", pod.name);
    // One at a time: a pod has one queue, and one unit of this name.
    end(engine, pod).await?;
    brought.bring(engine, &pod.node).await?;
    let first = pods::first_processes(engine, pod.into()).await;
    let first = first.map_err(failed(act.clone()))?;
    let process = first.split_whitespace().next().unwrap_or_default();
    let order = Order {
        process: process.parse().map_err(failed(act.clone()))?,
        to: SocketAddrV4::new(pod.ip.parse().map_err(failed(act.clone()))?, port),
        delay,
        time,
    };
    let measured = start(&unit_of(engine, pod), &order).await;
    let measured = measured.map_err(failed(act))?;
    Ok(format!("{}: {}", pod.name, measured.trim()))
}

/// Lets it pass at once; fine when nothing was late.
pub(super) async fn end(engine: &Engine, pod: &PodAddress) -> Result<(), ClusterError> {
    let act = format!("let the pod {} answer at once", pod.name);
    unit_of(engine, pod).stop().await.map_err(failed(act))
}

fn unit_of<'a>(engine: &'a Engine, pod: &'a PodAddress) -> Unit<'a> {
    let name = format!("meshproof-late-{}-{}", pod.namespace, pod.name);
    Unit::of(engine, &pod.node, name)
}

/// Starts the process, and says what it has measured.
async fn start(unit: &Unit<'_>, order: &Order) -> Result<String, ClusterError> {
    let order = serde_json::to_string(order).map_err(failed("say what is to be late"))?;
    let command = [PROGRAM, ROLE, &order];
    unit.start("hold back what arrives", &command).await?;
    unit.measured().await
}

/// The process in a node: holds back what arrives at the port until the time is over.
pub(super) fn run() -> Result<(), ClusterError> {
    let order: Order = unit::told("read what is to be late")?;
    let ends = Instant::now() + order.time;
    let namespace = network_of(order.process)?;
    let act = || failed(format!("hold back what arrives at {}", order.to));
    let (late, measured) =
        late_port::begin(namespace, order.to, order.delay, Path::new(LOCK)).map_err(act())?;
    unit::ready(Some(&measured))
        .map_err(failed("tell systemd that packets are late from now on"))?;
    wait(ends.saturating_duration_since(Instant::now()));
    late.end().map_err(act())?;
    // What waits still passes in its time.
    wait(order.delay);
    Ok(())
}

/// The network of a pod, by one of its processes. A pod may have that of its node, where others would be hit.
fn network_of(process: u32) -> Result<NetNs, ClusterError> {
    let act = "find the network of the pod";
    let path = format!("/proc/{process}/ns/net");
    let namespace = NetNs::open(Path::new(&path)).map_err(failed(act))?;
    let own = NetNs::current().and_then(|own| own.inode());
    if namespace.inode().map_err(failed(act))? == own.map_err(failed(act))? {
        return Err(ClusterError::because(act, "it has the network of its node"));
    }
    Ok(namespace)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time is what was asked for, and nothing else is done here"
)]
fn wait(time: Duration) {
    std::thread::sleep(time);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_node_is_told_is_read_again() {
        let order = Order {
            process: 4711,
            to: SocketAddrV4::new([10, 244, 1, 7].into(), 15013),
            delay: Duration::from_millis(1500),
            time: Duration::from_secs(6),
        };
        let text = serde_json::to_string(&order).unwrap();
        assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
        assert!(!text.contains(['%', '$']), "systemd would replace them");
    }

    #[test]
    fn a_process_with_our_own_network_is_no_pods() {
        let refused = network_of(std::process::id()).unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert_eq!(cause, "it has the network of its node");
    }
}
