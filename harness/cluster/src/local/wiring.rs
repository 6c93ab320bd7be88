//! The network: one backbone in the fabric's namespace, a router namespace for each zone on it, node namespaces
//! behind the routers. Everything is made here in a few milliseconds; processes join the namespaces later.

use super::plan::{API_SERVER, PREFIX, Plan, ZONE_PREFIX, Zone};
use harness_kernel::KernelError;
use harness_kernel::link::{Links, VethEnd, Via};
use harness_kernel::netns::{NetNs, write_sysctl};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

/// The bridge that zones are connected by.
const BACKBONE: &str = "backbone0";
/// A router's link to the backbone.
pub(super) const UPLINK_OF_ZONE: &str = "backbone0";
/// A router's bridge to its nodes.
const NODES: &str = "nodes0";
/// A node's link to its router.
const UPLINK_OF_NODE: &str = "uplink0";
/// A node's bridge to its pods.
const PODS: &str = "pods0";

/// The namespaces behind the fabric's own.
#[derive(Debug, Default)]
pub(super) struct Network {
    /// By data center.
    pub(super) zones: BTreeMap<String, NetNs>,
    /// By node name.
    pub(super) nodes: BTreeMap<String, NetNs>,
}

/// Sets up the fabric's own namespace, which is ours: what etcd and the API server need to start.
pub(super) fn prepare_backbone(plan: &Plan) -> Result<(), KernelError> {
    let links = Links::open()?;
    quiet();
    links.set_up("lo")?;
    links.add_bridge(BACKBONE)?;
    links.add_address(BACKBONE, API_SERVER, PREFIX)?;
    // The API server wants a default route to choose its own address by.
    links.add_route(Ipv4Addr::UNSPECIFIED, 0, Via::Link(BACKBONE))?;
    for zone in &plan.zones {
        links.add_route(zone.network, ZONE_PREFIX, Via::Gateway(zone.backbone))?;
    }
    Ok(())
}

/// Makes every zone's and node's namespace, wired to the backbone.
pub(super) fn connect_zones(plan: &Plan) -> Result<Network, KernelError> {
    let mut network = Network::default();
    let fabric = Links::open()?;
    for (number, zone) in plan.zones.iter().enumerate() {
        let router = NetNs::create()?;
        router.run_in(quiet)?;
        let port = format!("zone{number}");
        fabric.add_veth(
            &VethEnd {
                name: &port,
                namespace: None,
            },
            &VethEnd {
                name: UPLINK_OF_ZONE,
                namespace: Some(&router),
            },
        )?;
        fabric.set_bridge(&port, BACKBONE)?;
        fabric.set_up(&port)?;

        let links = Links::open_in(&router)?;
        links.set_up("lo")?;
        links.add_address(UPLINK_OF_ZONE, zone.backbone, PREFIX)?;
        links.set_up(UPLINK_OF_ZONE)?;
        for other in plan
            .zones
            .iter()
            .filter(|other| other.network != zone.network)
        {
            links.add_route(other.network, ZONE_PREFIX, Via::Gateway(other.backbone))?;
        }
        links.add_bridge(NODES)?;
        links.add_address(NODES, zone.router, PREFIX)?;
        for (number, node) in zone.nodes.iter().enumerate() {
            let port = port_of_node(number);
            let namespace = connect_node(&links, &port, zone, number)?;
            links.add_route(node.pod_network, PREFIX, Via::Gateway(node.internal_ip))?;
            network.nodes.insert(node.name.clone(), namespace);
        }
        network.zones.insert(zone.data_center.clone(), router);
    }
    Ok(network)
}

/// The port of a zone's router that leads to the node with this number.
pub(super) fn port_of_node(number: usize) -> String {
    format!("node{number}")
}

fn connect_node(
    router: &Links,
    port: &str,
    zone: &Zone,
    number: usize,
) -> Result<NetNs, KernelError> {
    let node = &zone.nodes[number];
    let namespace = NetNs::create()?;
    namespace.run_in(quiet)?;
    router.add_veth(
        &VethEnd {
            name: port,
            namespace: None,
        },
        &VethEnd {
            name: UPLINK_OF_NODE,
            namespace: Some(&namespace),
        },
    )?;
    router.set_bridge(port, NODES)?;
    router.set_up(port)?;

    let links = Links::open_in(&namespace)?;
    links.set_up("lo")?;
    links.add_address(UPLINK_OF_NODE, node.internal_ip, PREFIX)?;
    links.set_up(UPLINK_OF_NODE)?;
    links.add_route(Ipv4Addr::UNSPECIFIED, 0, Via::Gateway(zone.router))?;
    for sibling in zone
        .nodes
        .iter()
        .filter(|sibling| sibling.name != node.name)
    {
        links.add_route(
            sibling.pod_network,
            PREFIX,
            Via::Gateway(sibling.internal_ip),
        )?;
    }
    links.add_bridge(PODS)?;
    links.add_address(PODS, node.pod_gateway, PREFIX)?;
    Ok(namespace)
}

/// Makes the calling thread's namespace forward, and keep silent where only noise would come of it. Before links
/// are added, since they inherit the defaults.
fn quiet() {
    let settings = [
        ("ipv4/ip_forward", "1"),
        ("ipv4/conf/default/send_redirects", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/default/rp_filter", "0"),
        ("ipv4/conf/all/rp_filter", "0"),
        // Router solicitation and address detection of IPv6 would delay links and fill the queues.
        ("ipv6/conf/default/disable_ipv6", "1"),
        ("ipv6/conf/all/disable_ipv6", "1"),
    ];
    for (name, value) in settings {
        // A kernel without IPv6 has no such setting; without forwarding the bring-up fails and says so.
        if let Err(error) = write_sysctl(name, value) {
            tracing::debug!(name, error = %error.source, "setting not there");
        }
    }
}
