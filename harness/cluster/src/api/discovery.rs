//! What a cluster tells of itself: the addresses of its services and the zones of its nodes.

use crate::rights::Right;
use crate::{ClusterError, failed};
use harness_model::topology::{ClusterShape, DataCenter, Latency, Topology};
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::networking::v1::ServiceCIDR;
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::json;

/// The label of a node that names its zone.
pub(crate) const ZONE_LABEL: &str = "topology.kubernetes.io/zone";
/// The label of a node that names its region.
pub(crate) const REGION_LABEL: &str = "topology.kubernetes.io/region";
/// Our label of a node that names its data center.
pub(crate) const DATA_CENTER_LABEL: &str = "meshproof.io/data-center";

/// The addresses that services are given: the API server's ServiceCIDR where it has them (1.33), else what it says
/// when it refuses an address that cannot be one of them.
pub(crate) async fn service_cidr(client: &Client) -> Result<String, ClusterError> {
    let ranges: Api<ServiceCIDR> = Api::all(client.clone());
    if let Ok(range) = ranges.get("kubernetes").await
        && let Some(first) = range
            .spec
            .and_then(|spec| spec.cidrs.into_iter().flatten().next())
    {
        return Ok(first);
    }
    let services: Api<Service> = Api::namespaced(client.clone(), "default");
    let service: Service = serde_json::from_value(json!({
        "metadata": { "generateName": "meshproof-" },
        // Belongs to documentation, so that no cluster can have it.
        "spec": { "clusterIP": "192.0.2.1", "ports": [{ "port": 1 }] },
    }))
    .map_err(failed("ask for the addresses of services"))?;
    let parameters = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    match services.create(&parameters, &service).await {
        Err(error) => range_in(&error.to_string()).ok_or_else(|| {
            failed("find out which addresses services are given")(error)
                .hint("grant `get` on `servicecidrs`, or `create` on `services` in `default`")
        }),
        Ok(_) => Err(ClusterError::because(
            "find out which addresses services are given",
            "the API server accepts 192.0.2.1 as the address of a service",
        )),
    }
}

/// What reading the ServiceCIDR takes.
pub(crate) fn to_read_service_cidr() -> Right {
    Right::new("get", "networking.k8s.io", "servicecidrs")
}

/// What takes its place where it may not be read, or is not there: trying to create a service.
pub(crate) fn to_find_service_cidr() -> Right {
    Right::new("create", "", "services").within("default")
}

/// The range in "... The range of valid IPs is 10.96.0.0/16".
fn range_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("range of valid IPs is ")?;
    let end = rest
        .find(|c: char| !(c.is_ascii_hexdigit() || matches!(c, '.' | ':' | '/')))
        .unwrap_or(rest.len());
    let range = rest[..end].trim_end_matches(['.', ':']);
    range.contains('/').then(|| range.to_owned())
}

/// The topology that the labels of the nodes tell: a data center for each zone, with the nodes that take pods.
pub(crate) async fn topology(client: &Client, name: &str) -> Result<Topology, ClusterError> {
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .map_err(failed("read the nodes"))?;
    let topology = of_nodes(name, &nodes.items);
    if topology.clusters[0].data_centers.is_empty() {
        return Err(ClusterError::because(
            "find the zones of the cluster",
            format!("no node that takes pods has the label {ZONE_LABEL}"),
        )
        .hint(format!(
            "label the nodes: kubectl label node NODE {ZONE_LABEL}=ZONE {REGION_LABEL}=REGION"
        )));
    }
    Ok(topology)
}

fn of_nodes(name: &str, nodes: &[Node]) -> Topology {
    let mut data_centers: Vec<DataCenter> = Vec::new();
    for node in nodes.iter().filter(|node| takes_pods(node)) {
        let Some(zone) = node.labels().get(ZONE_LABEL) else {
            continue;
        };
        match data_centers.iter_mut().find(|found| found.name == *zone) {
            Some(found) => found.nodes += 1,
            None => data_centers.push(DataCenter {
                name: zone.clone(),
                region: node.labels().get(REGION_LABEL).cloned().unwrap_or_default(),
                nodes: 1,
            }),
        }
    }
    data_centers.sort_by(|a, b| a.name.cmp(&b.name));
    Topology {
        name: name.to_owned(),
        clusters: vec![ClusterShape {
            name: name.to_owned(),
            data_centers,
        }],
        latency: Latency::default(),
    }
}

fn takes_pods(node: &Node) -> bool {
    let Some(spec) = &node.spec else {
        return true;
    };
    let tainted = spec.taints.iter().flatten().any(|taint| {
        (taint.effect == "NoSchedule" || taint.effect == "NoExecute") && !passes(&taint.key)
    });
    spec.unschedulable != Some(true) && !tainted
}

/// The taint tells of a state that passes, such as a node that is new: its zone is there.
fn passes(key: &str) -> bool {
    matches!(
        key.strip_prefix("node.kubernetes.io/"),
        Some("not-ready" | "unreachable" | "network-unavailable")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_read_from_the_refusal() {
        let message = "ApiError: Service \"x\" is invalid: spec.clusterIPs: Invalid value: [\"192.0.2.1\"]: failed to allocate IP 192.0.2.1: the provided IP (192.0.2.1) is not in the valid range. The range of valid IPs is 10.96.0.0/16: Invalid (ErrorResponse)";
        assert_eq!(range_in(message).as_deref(), Some("10.96.0.0/16"));
        assert_eq!(
            range_in("The range of valid IPs is fd00:10:96::/112").as_deref(),
            Some("fd00:10:96::/112")
        );
        assert_eq!(range_in("forbidden"), None);
    }

    #[test]
    fn only_nodes_with_a_zone_that_take_pods_count() {
        let node = |name: &str, zone: Option<&str>, spec: serde_json::Value| -> Node {
            let mut labels = json!({ REGION_LABEL: "r" });
            if let Some(zone) = zone {
                labels[ZONE_LABEL] = json!(zone);
            }
            serde_json::from_value(
                json!({ "metadata": { "name": name, "labels": labels }, "spec": spec }),
            )
            .unwrap()
        };
        let taint = |key: &str| json!({ "taints": [{ "key": key, "effect": "NoSchedule" }] });
        let topology = of_nodes(
            "c",
            &[
                node("n1", Some("b"), json!({})),
                node("n2", Some("a"), taint("node.kubernetes.io/not-ready")),
                node("n3", Some("b"), json!({})),
                node(
                    "n4",
                    Some("c"),
                    taint("node-role.kubernetes.io/control-plane"),
                ),
                node("n5", Some("d"), json!({ "unschedulable": true })),
                node("n6", None, json!({})),
            ],
        );
        let found: Vec<_> = topology.clusters[0]
            .data_centers
            .iter()
            .map(|found| (found.name.as_str(), found.region.as_str(), found.nodes))
            .collect();
        assert_eq!(found, [("a", "r", 1), ("b", "r", 2)]);
    }
}
