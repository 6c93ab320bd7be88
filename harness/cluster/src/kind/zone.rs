//! Cutting a data center off: a table in the packet filter of each of its nodes, which lets through what comes from
//! the nodes and pods of the same data center and, so that the harness can still reach the pods, what the API server
//! asks of the kubelet.
//!
//! Invariant: the rules bite only while an element with a timeout is in a set, so the kernel heals by itself.

use super::engine::Engine;
use crate::api::discovery::ZONE_LABEL;
use crate::{ClusterError, failed};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt as _;
use kube::api::{Api, ListParams};
use std::net::Ipv4Addr;
use std::time::Duration;

const TABLE: &str = "meshproof";
/// The network device of a node that leads to the other nodes.
pub(super) const LINK: &str = "eth0";
/// The kubelet's port, through which the API server forwards connections to pods.
pub(super) const KUBELET_PORT: u16 = 10250;

/// A node in a data center.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Worker {
    pub(super) name: String,
    pub(super) data_center: String,
    /// Its own address and the addresses of its pods.
    pub(super) addresses: Vec<String>,
}

impl Worker {
    /// Its own address, before those of its pods; none when Kubernetes has not told it.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        self.addresses
            .iter()
            .find_map(|address| address.parse().ok())
    }

    /// Whether an address is its own or one of its pods.
    pub(super) fn holds(&self, address: Ipv4Addr) -> bool {
        self.addresses.iter().any(|block| {
            let (first, length) = block.split_once('/').unwrap_or((block, "32"));
            let (Ok(first), Ok(length)) = (first.parse::<Ipv4Addr>(), length.parse::<u32>()) else {
                return false;
            };
            let different = first.to_bits() ^ address.to_bits();
            different.leading_zeros() >= length
        })
    }

    /// Whether its own address is among these.
    pub(super) fn is_at(&self, addresses: &str) -> bool {
        let own = self.address();
        addresses
            .split_whitespace()
            .any(|address| address.parse().ok() == own && own.is_some())
    }
}

/// The nodes that are in a data center.
pub(super) async fn workers(client: &kube::Client) -> Result<Vec<Worker>, ClusterError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .map_err(failed("read the nodes"))?;
    Ok(nodes.items.iter().filter_map(worker).collect())
}

fn worker(node: &Node) -> Option<Worker> {
    let data_center = node.labels().get(ZONE_LABEL)?.clone();
    let own = node
        .status
        .iter()
        .flat_map(|status| status.addresses.iter().flatten())
        .filter(|address| address.type_ == "InternalIP")
        .map(|address| address.address.clone());
    let pods = node.spec.iter().filter_map(|spec| spec.pod_cidr.clone());
    Some(Worker {
        name: node.name_any(),
        data_center,
        addresses: own
            .chain(pods)
            .filter(|found| !found.contains("::"))
            .collect(),
    })
}

/// Puts the table into every node; it does nothing yet.
pub(super) async fn prepare(engine: &Engine, workers: &[Worker]) -> Result<(), ClusterError> {
    let prepared = workers
        .iter()
        .map(|worker| prepare_one(engine, worker, workers));
    try_join_all(prepared).await.map(drop)
}

/// Puts the table into one of them.
pub(super) async fn prepare_one(
    engine: &Engine,
    worker: &Worker,
    workers: &[Worker],
) -> Result<(), ClusterError> {
    let rules = rules(worker, workers);
    engine.apply_rules(&worker.name, &rules).await
}

fn rules(worker: &Worker, all: &[Worker]) -> String {
    let peers: Vec<&str> = all
        .iter()
        .filter(|other| other.data_center == worker.data_center)
        .flat_map(|other| other.addresses.iter().map(String::as_str))
        .collect();
    // Declared and deleted first, so that applying it again replaces it.
    format!(
        "table inet {TABLE}
delete table inet {TABLE}
table inet {TABLE} {{
  set cut {{ type ifname; flags timeout; }}
  set peers {{ type ipv4_addr; flags interval; elements = {{ {} }} }}
  chain arriving {{
    type filter hook prerouting priority -300; policy accept;
    ip saddr @peers accept
    tcp dport {KUBELET_PORT} accept
    iifname @cut drop
  }}
  chain passing {{
    type filter hook forward priority -300; policy accept;
    ip daddr @peers accept
    oifname @cut drop
  }}
}}
",
        peers.join(", ")
    )
}

/// Cuts a data center off for `duration`.
pub(super) async fn cut(
    engine: &Engine,
    workers: &[Worker],
    data_center: &str,
    duration: Duration,
) -> Result<(), ClusterError> {
    let millis = duration.as_millis().max(1);
    // Flushed first in the same transaction: adding an element that is there would not change its timeout.
    let rules = format!(
        "flush set inet {TABLE} cut\nadd element inet {TABLE} cut {{ \"{LINK}\" timeout {millis}ms }}\n"
    );
    in_data_center(engine, workers, data_center, &rules).await
}

/// Drops the cut of a data center early.
pub(super) async fn heal(
    engine: &Engine,
    workers: &[Worker],
    data_center: &str,
) -> Result<(), ClusterError> {
    let rules = format!("flush set inet {TABLE} cut\n");
    in_data_center(engine, workers, data_center, &rules).await
}

/// The rules of every node, for people.
pub(super) async fn dump(engine: &Engine, workers: &[Worker]) -> String {
    let mut text = String::new();
    for worker in workers {
        let listed = engine
            .in_node(&worker.name, &["nft", "list", "table", "inet", TABLE], None)
            .await;
        let rules = listed.unwrap_or_else(|error| format!("not there: {error}\n"));
        text += &format!("# {} in {}\n{rules}", worker.name, worker.data_center);
    }
    text
}

async fn in_data_center(
    engine: &Engine,
    workers: &[Worker],
    data_center: &str,
    rules: &str,
) -> Result<(), ClusterError> {
    let applied = inside(workers, data_center)?
        .into_iter()
        .map(|worker| engine.apply_rules(&worker.name, rules));
    try_join_all(applied).await.map(drop)
}

/// The nodes of one data center, at least one.
pub(super) fn inside<'a>(
    workers: &'a [Worker],
    data_center: &str,
) -> Result<Vec<&'a Worker>, ClusterError> {
    let inside: Vec<&Worker> = workers
        .iter()
        .filter(|worker| worker.data_center == data_center)
        .collect();
    if inside.is_empty() {
        let act = format!("find a node in data center `{data_center}`");
        return Err(ClusterError::because(act, "there is none"));
    }
    Ok(inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_of_the_same_data_center_stay_reachable() {
        let node = |name: &str, zone: Option<&str>, last: u8| -> Node {
            let labels = zone.map_or(json!({}), |zone| json!({ ZONE_LABEL: zone }));
            serde_json::from_value(json!({
                "metadata": { "name": name, "labels": labels },
                "spec": { "podCIDR": format!("10.244.{last}.0/24") },
                "status": { "addresses": [
                    { "type": "InternalIP", "address": format!("172.18.0.{last}") },
                    { "type": "Hostname", "address": name },
                ] },
            }))
            .unwrap()
        };
        let nodes = [
            node("control-plane", None, 1),
            node("w1", Some("a"), 2),
            node("w2", Some("b"), 3),
            node("w3", Some("a"), 4),
        ];
        let workers: Vec<Worker> = nodes.iter().filter_map(worker).collect();
        let names: Vec<_> = workers.iter().map(|worker| worker.name.as_str()).collect();
        assert_eq!(names, ["w1", "w2", "w3"]);
        let holds = |last| workers[1].holds(Ipv4Addr::new(10, 244, last, 200));
        assert_eq!([2, 3].map(holds), [false, true]);
        assert!(workers[1].is_at("172.19.0.1 172.18.0.3 ") && !workers[1].is_at(""));
        let rules = rules(&workers[0], &workers);
        assert!(
            rules.contains("elements = { 172.18.0.2, 10.244.2.0/24, 172.18.0.4, 10.244.4.0/24 }"),
            "{rules}"
        );
    }
}
