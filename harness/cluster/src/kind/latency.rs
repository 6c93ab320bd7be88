//! Latency between data centers: in each node a process of ours, this very program, holds back what arrives from nodes
//! and pods of other data centers. What comes from the control plane's node, which is in no data center, is not late.
//!
//! Invariant: it is a unit of the node's systemd, so it ends with the node; when it ends before, packets pass at once.

use super::engine::Engine;
use super::zone::{LINK, Worker};
use crate::latency::{self, Late};
use crate::{ClusterError, failed};
use futures::future::try_join_all;
use harness_model::topology::Topology;
use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

/// What the program is started as in a node; the argument after it is a list of [`Late`] in JSON.
pub(super) const ROLE: &str = "__latency";
/// The unit of systemd.
const UNIT: &str = "meshproof-latency";
/// Where the program is in a node: not on a file system that its container mounts, so that every engine can write it.
const PROGRAM: &str = "/usr/local/bin/meshproof";
/// What programs of the node lock that change its packet filter.
const LOCK: &str = "/run/xtables.lock";

/// Makes packets late in every node, as the topology says; leaves alone what is in force already.
pub(super) async fn prepare(
    engine: &Engine,
    workers: &[Worker],
    topology: &Topology,
) -> Result<(), ClusterError> {
    let prepared = workers
        .iter()
        .map(|worker| prepare_one(engine, worker, workers, topology));
    try_join_all(prepared).await.map(drop)
}

/// The same in one of them.
pub(super) async fn prepare_one(
    engine: &Engine,
    worker: &Worker,
    workers: &[Worker],
    topology: &Topology,
) -> Result<(), ClusterError> {
    let late = late_at(worker, workers, topology);
    if late.is_empty() || is_active(engine, worker).await {
        return Ok(());
    }
    start(engine, worker, &late).await
}

/// What is late when it arrives at a node.
fn late_at(worker: &Worker, all: &[Worker], topology: &Topology) -> Vec<Late> {
    let mut sources: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for other in all
        .iter()
        .filter(|other| other.data_center != worker.data_center)
    {
        let addresses = other.addresses.iter().cloned();
        sources
            .entry(&other.data_center)
            .or_default()
            .extend(addresses);
    }
    sources
        .into_iter()
        .filter_map(|(from, sources)| {
            let delay = topology.one_way(from, &worker.data_center)?;
            Some(Late { sources, delay })
        })
        .collect()
}

async fn is_active(engine: &Engine, worker: &Worker) -> bool {
    let question = ["systemctl", "is-active", "--quiet", UNIT];
    engine.in_node(&worker.name, &question, None).await.is_ok()
}

async fn start(engine: &Engine, worker: &Worker, late: &[Late]) -> Result<(), ClusterError> {
    let act = format!("delay packets that arrive at node {}", worker.name);
    let late = serde_json::to_string(late).map_err(failed(act.clone()))?;
    // Not by its name, which may be another program's by now.
    engine
        .copy_into(&worker.name, Path::new("/proc/self/exe"), PROGRAM)
        .await?;
    let unit = format!("--unit={UNIT}");
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
        &late,
    ];
    let Err(error) = engine.in_node(&worker.name, &command, None).await else {
        return Ok(());
    };
    let journal = ["journalctl", "--unit", UNIT, "--lines=5", "--output=cat"];
    match engine.in_node(&worker.name, &journal, None).await {
        Ok(said) => Err(ClusterError::because(act, said.trim().to_owned())),
        Err(_) => Err(error),
    }
}

/// The process in a node: holds packets back until the node ends.
pub(super) fn run() -> Result<(), ClusterError> {
    // To the node's journal.
    let _ = tracing_subscriber::fmt()
        .with_ansi(false)
        .without_time()
        .with_writer(io::stderr)
        .try_init();
    let act = "read what is late";
    let text = std::env::args()
        .nth(2)
        .ok_or_else(|| ClusterError::because(act, "it is not said"))?;
    let late: Vec<Late> = serde_json::from_str(&text).map_err(failed(act))?;
    let queues = latency::start(LINK, &late, Path::new(LOCK))?;
    tell_systemd("READY=1").map_err(failed("tell systemd that packets are late from now on"))?;
    queues.serve()
}

/// Tells the systemd that has started this process something (sd_notify(3)); nothing where none has.
pub(super) fn tell_systemd(what: &str) -> io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return Ok(());
    };
    UnixDatagram::unbound()?
        .send_to(what.as_bytes(), socket)
        .map(drop)
}

/// What is late at every node and how many packets have been, for people.
pub(super) async fn dump(engine: &Engine, workers: &[Worker]) -> String {
    let rules = [
        "iptables",
        "--table=mangle",
        "--verbose",
        "--numeric",
        "--list",
        harness_kernel::nfqueue::CHAIN,
    ];
    let mut text = String::new();
    for worker in workers {
        let listed = engine.in_node(&worker.name, &rules, None).await;
        let listed = listed.unwrap_or_else(|error| format!("not there: {error}\n"));
        let state = match is_active(engine, worker).await {
            true => "in force",
            false => "not in force",
        };
        text += &format!(
            "# {} in {}: {state}\n{listed}",
            worker.name, worker.data_center
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_node_delays_what_comes_from_other_data_centers_each_as_the_topology_says() {
        let worker = |name: &str, data_center: &str, last: u8| Worker {
            name: name.to_owned(),
            data_center: data_center.to_owned(),
            addresses: vec![format!("172.18.0.{last}"), format!("10.244.{last}.0/24")],
        };
        let workers = [
            worker("w1", "zone-a", 2),
            worker("w2", "zone-b", 3),
            worker("w3", "zone-a", 4),
            worker("w4", "zone-c", 5),
        ];
        let topology = crate::topology::load("three-zones").unwrap();
        let from = |lasts: &[u8], millis| Late {
            sources: lasts
                .iter()
                .flat_map(|last| [format!("172.18.0.{last}"), format!("10.244.{last}.0/24")])
                .collect(),
            delay: Duration::from_millis(millis),
        };
        let at = |number: usize| late_at(&workers[number], &workers, &topology);
        assert_eq!(at(0), [from(&[3], 1), from(&[5], 5)]);
        assert_eq!(at(1), [from(&[2, 4], 1), from(&[5], 5)]);
        assert_eq!(at(2), at(0), "a neighbour is not late");
        assert_eq!(at(3), [from(&[2, 4], 5), from(&[3], 5)]);
        let not_late = Topology {
            latency: Default::default(),
            ..topology.clone()
        };
        assert_eq!(late_at(&workers[0], &workers, &not_late), Vec::new());
    }

    #[test]
    fn what_a_node_is_told_is_read_again() {
        let late = vec![Late {
            sources: vec!["10.244.1.0/24".to_owned()],
            delay: Duration::from_micros(1500),
        }];
        let text = serde_json::to_string(&late).unwrap();
        assert_eq!(serde_json::from_str::<Vec<Late>>(&text).unwrap(), late);
        assert!(!text.contains(['%', '$']), "systemd would replace them");
    }
}
