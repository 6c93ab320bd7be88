//! Latency between data centers: in each node a process of ours, this very program, holds back what arrives from nodes
//! and pods of other data centers. What comes from the control plane's node, which is in no data center, is not late.
//!
//! Invariant: it is a unit of the node's systemd, so it ends with the node; when it ends before, packets pass at once.

use super::engine::Engine;
use super::unit::{self, Unit};
use super::zone::{LINK, Worker};
use crate::latency::{self, Late};
use crate::{ClusterError, failed};
use futures::future::try_join_all;
use harness_model::topology::Topology;
use std::collections::BTreeMap;
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
    if late.is_empty() || unit_at(engine, worker).is_active().await {
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

fn unit_at<'a>(engine: &'a Engine, worker: &'a Worker) -> Unit<'a> {
    Unit::of(engine, &worker.name, UNIT)
}

async fn start(engine: &Engine, worker: &Worker, late: &[Late]) -> Result<(), ClusterError> {
    let act = format!("delay packets that arrive at node {}", worker.name);
    let late = serde_json::to_string(late).map_err(failed(act.clone()))?;
    engine.copy_self_into(&worker.name, PROGRAM).await?;
    let unit = unit_at(engine, worker);
    unit.start(&act, &[PROGRAM, ROLE, &late]).await
}

/// The process in a node: holds packets back until the node ends.
pub(super) fn run() -> Result<(), ClusterError> {
    let late: Vec<Late> = unit::told("read what is late")?;
    let queues = latency::start(LINK, &late, Path::new(LOCK))?;
    unit::ready(None).map_err(failed("tell systemd that packets are late from now on"))?;
    queues.serve()
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
        let state = match unit_at(engine, worker).is_active().await {
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
