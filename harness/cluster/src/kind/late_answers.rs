//! Having what a pod is asked arrive late for a while: in the pod's node a process of ours, this very program, holds it back in
//! the pod's network.
//!
//! Invariant: it is a unit of the node's systemd that ends after the time, whatever becomes of us; when it ends before, packets
//! pass at once.

use super::brought::{Brought, PROGRAM};
use super::engine::Engine;
use super::latency::tell_systemd;
use super::pods::{self, PodOn};
use crate::{ClusterError, PodAddress, failed};
use harness_kernel::late_port;
use harness_kernel::netns::NetNs;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::{Duration, Instant};

/// What the program is started as in a node; the argument after it is an [`Order`] in JSON.
pub(super) const ROLE: &str = "__late-answers";
/// What programs lock that change the packet filter of a pod. Not the node's own, which others hold for their time.
const LOCK: &str = "/run/meshproof-late.lock";

/// Takes a unit, and ends it; fine when it is not there.
const STOP: &str = r#"systemctl stop "$1" 2> /dev/null && exit 0
[ "$(systemctl show --property=LoadState --value "$1")" = not-found ]
"#;

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
    let measured = start(engine, pod.into(), &order).await;
    let measured = measured.map_err(failed(act))?;
    Ok(format!("{}: {}", pod.name, measured.trim()))
}

/// Lets it pass at once; fine when nothing was late.
pub(super) async fn end(engine: &Engine, pod: &PodAddress) -> Result<(), ClusterError> {
    let unit = unit(pod.into());
    let stop = ["sh", "-c", STOP, "stop", &unit];
    let stopped = engine.in_node(&pod.node, &stop, None).await;
    let act = format!("let the pod {} answer at once", pod.name);
    stopped.map(drop).map_err(failed(act))
}

fn unit(pod: PodOn<'_>) -> String {
    format!("meshproof-late-{}-{}", pod.namespace, pod.name)
}

/// Starts the process, and says what it has measured.
async fn start(engine: &Engine, pod: PodOn<'_>, order: &Order) -> Result<String, ClusterError> {
    let order = serde_json::to_string(order).map_err(failed("say what is to be late"))?;
    let name = unit(pod);
    let unit = format!("--unit={name}");
    // Returns when the process has said that it is ready.
    let command = [
        "systemd-run",
        "--quiet",
        "--collect",
        "--service-type=notify",
        &unit,
        "--",
        PROGRAM,
        ROLE,
        &order,
    ];
    let Err(error) = engine.in_node(pod.node, &command, None).await else {
        let status = [
            "systemctl",
            "show",
            "--property=StatusText",
            "--value",
            &name,
        ];
        return engine.in_node(pod.node, &status, None).await;
    };
    let journal = ["journalctl", "--unit", &name, "--lines=5", "--output=cat"];
    match engine.in_node(pod.node, &journal, None).await {
        Ok(said) => Err(ClusterError::because(
            "hold back what arrives",
            said.trim().to_owned(),
        )),
        Err(_) => Err(error),
    }
}

/// The process in a node: holds back what arrives at the port until the time is over.
pub(super) fn run() -> Result<(), ClusterError> {
    // To the node's journal.
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(io::stderr)
        .try_init();
    let act = "read what is to be late";
    let text = std::env::args()
        .nth(2)
        .ok_or_else(|| ClusterError::because(act, "it is not said"))?;
    let order: Order = serde_json::from_str(&text).map_err(failed(act))?;
    let ends = Instant::now() + order.time;
    let namespace = network_of(order.process)?;
    let act = || failed(format!("hold back what arrives at {}", order.to));
    let (late, measured) =
        late_port::begin(namespace, order.to, order.delay, Path::new(LOCK)).map_err(act())?;
    tell_systemd(&format!("READY=1\nSTATUS={measured}"))
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
