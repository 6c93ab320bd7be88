//! Who has which address: the plan that fabric, zones, nodes and certificates share.

use harness_model::topology::{DataCenter, Topology};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Prefix length of the backbone, node and pod networks.
pub(super) const PREFIX: u8 = 24;
/// The fabric's address on the backbone: API server, etcd and the rest.
pub(super) const API_SERVER: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 1);
/// The API server's port.
pub(super) const API_PORT: u16 = 6443;
/// The addresses services are given.
pub(super) const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The `kubernetes` service: the first address of the range.
pub(super) const KUBERNETES_SERVICE: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 1);
/// The domain of service names.
pub(super) const CLUSTER_DOMAIN: &str = "cluster.local";
/// Data centers at most: their networks are 10.101 to 10.200, clear of backbone and services.
pub(crate) const MOST_DATA_CENTERS: usize = 100;
/// Nodes in a data center at most: 10.x.1 to 10.x.250, clear of the node network 10.x.255.
pub(crate) const MOST_NODES: u32 = 250;

/// The zones of a cluster, in the topology's order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Plan {
    pub(super) zones: Vec<Zone>,
}

/// A data center: a router with a network of its own behind it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Zone {
    pub(super) data_center: String,
    /// The router's address on the backbone.
    pub(super) backbone: Ipv4Addr,
    /// The router's address towards its nodes.
    pub(super) router: Ipv4Addr,
    /// Everything behind the router, a /16.
    pub(super) network: Ipv4Addr,
    pub(super) nodes: Vec<Node>,
    /// Networks of other zones whose packets arrive late, and how late.
    pub(super) delays: Vec<(Ipv4Addr, Duration)>,
}

/// A node with the network of its pods.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) internal_ip: Ipv4Addr,
    pub(super) pod_network: Ipv4Addr,
    pub(super) pod_gateway: Ipv4Addr,
    pub(super) labels: BTreeMap<String, String>,
}

/// Prefix length of a zone's network.
pub(super) const ZONE_PREFIX: u8 = 16;

impl Plan {
    /// Lays out the first cluster of a topology that `topology::check` accepts.
    pub(super) fn new(topology: &Topology) -> Self {
        let data_centers: &[DataCenter] = topology
            .clusters
            .first()
            .map_or(&[], |cluster| &cluster.data_centers);
        let network = |zone: usize| Ipv4Addr::new(10, 101 + zone as u8, 0, 0);
        let zones = data_centers
            .iter()
            .enumerate()
            .map(|(zone, data_center)| Zone {
                data_center: data_center.name.clone(),
                backbone: Ipv4Addr::new(10, 240, 0, 11 + zone as u8),
                router: Ipv4Addr::new(10, 101 + zone as u8, 255, 254),
                network: network(zone),
                nodes: (1..=data_center.nodes)
                    .map(|number| node(zone, data_center, number as u8))
                    .collect(),
                delays: data_centers
                    .iter()
                    .enumerate()
                    .filter(|(other, _)| *other != zone)
                    .filter_map(|(other, from)| {
                        let delay = topology.one_way(&from.name, &data_center.name)?;
                        Some((network(other), delay))
                    })
                    .collect(),
            })
            .collect();
        Self { zones }
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.zones.iter().flat_map(|zone| &zone.nodes)
    }

    /// Every node with its zone and its number there.
    pub(super) fn numbered_nodes(&self) -> impl Iterator<Item = (&Zone, usize, &Node)> {
        self.zones.iter().flat_map(|zone| {
            let nodes = zone.nodes.iter().enumerate();
            nodes.map(move |(number, node)| (zone, number, node))
        })
    }
}

fn node(zone: usize, data_center: &DataCenter, number: u8) -> Node {
    let second = 101 + zone as u8;
    let name = format!("{}-{number}", data_center.name);
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let labels = [
        ("kubernetes.io/hostname", name.as_str()),
        ("kubernetes.io/os", "linux"),
        ("kubernetes.io/arch", architecture),
        ("topology.kubernetes.io/region", &data_center.region),
        ("topology.kubernetes.io/zone", &data_center.name),
        ("meshproof.io/data-center", &data_center.name),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect();
    Node {
        internal_ip: Ipv4Addr::new(10, second, 255, number),
        pod_network: Ipv4Addr::new(10, second, number, 0),
        pod_gateway: Ipv4Addr::new(10, second, number, 1),
        labels,
        name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topology() -> Topology {
        crate::topology::load("three-zones").unwrap()
    }

    #[test]
    fn addresses_follow_the_order_of_the_topology() {
        let plan = Plan::new(&topology());
        let second = &plan.zones[1];
        assert_eq!(second.backbone, Ipv4Addr::new(10, 240, 0, 12));
        assert_eq!(second.router, Ipv4Addr::new(10, 102, 255, 254));
        assert_eq!(second.nodes[0].internal_ip, Ipv4Addr::new(10, 102, 255, 1));
        assert_eq!(second.nodes[0].pod_gateway, Ipv4Addr::new(10, 102, 1, 1));
    }
}
