//! Topologies as kind configurations.

use crate::api::discovery::{DATA_CENTER_LABEL, REGION_LABEL, ZONE_LABEL};
use harness_model::topology::ClusterShape;
use std::fmt::Write as _;

/// The node image that the pinned version of kind was released with, for who names none: by digest, so that it is the same
/// whatever a registry makes of the tag.
pub(super) const NODE_IMAGE: &str =
    "kindest/node:v1.37.0@sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5";
/// The addresses that services are given.
pub(super) const SERVICE_CIDR: &str = "10.96.0.0/16";
/// The addresses that pods are given.
const POD_CIDR: &str = "10.244.0.0/16";

/// The kubelet asks the API server whether the API server may forward ports, and remembers the answer: longer than the
/// default of five minutes, so that no connection to a pod fails because the pod's data center is cut off.
const KUBELET: &str = "\
kubeadmConfigPatches:
  - |
    apiVersion: kubelet.config.k8s.io/v1beta1
    kind: KubeletConfiguration
    authorization:
      webhook:
        cacheAuthorizedTTL: 24h0m0s
";

/// The kind configuration of one cluster of a topology: a control-plane node that is in no data center, as the
/// control plane of the local cluster is, and the data centers' nodes as workers.
#[must_use]
pub fn render(cluster: &ClusterShape) -> String {
    let mut text = format!(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nnetworking:\n  serviceSubnet: {SERVICE_CIDR}\n  podSubnet: {POD_CIDR}\n{KUBELET}nodes:\n  - role: control-plane\n    image: {NODE_IMAGE}\n"
    );
    for data_center in &cluster.data_centers {
        for _ in 0..data_center.nodes {
            let region = &data_center.region;
            let name = &data_center.name;
            // Writing to a text cannot fail.
            let _ = write!(
                text,
                "  - role: worker\n    image: {NODE_IMAGE}\n    labels:\n      {REGION_LABEL}: {region}\n      {ZONE_LABEL}: {name}\n      {DATA_CENTER_LABEL}: {name}\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology;

    #[test]
    fn the_checked_in_configurations_are_those_of_the_built_in_topologies() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../kind-config/kind");
        for name in topology::built_in() {
            let clusters = topology::load(name).unwrap().clusters;
            for cluster in &clusters {
                let path = match clusters.len() {
                    1 => format!("{folder}/{name}.yaml"),
                    _ => format!("{folder}/{name}/{}.yaml", cluster.name),
                };
                let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
                let body: String = checked_in
                    .lines()
                    .filter(|line| !line.starts_with('#'))
                    .fold(String::new(), |text, line| text + line + "\n");
                assert_eq!(body, render(cluster), "{path}: run `cargo xtask codegen`");
            }
        }
    }

    #[test]
    fn every_data_center_has_its_nodes_and_the_control_plane_is_in_none() {
        let mut shape = topology::load("three-zones").unwrap().clusters.remove(0);
        shape.data_centers[1].nodes = 2;
        let config: serde_json::Value = serde_saphyr::from_str(&render(&shape)).unwrap();
        let zones: Vec<_> = config["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .map(|node| {
                (
                    node["role"].as_str().unwrap(),
                    node["image"].as_str() == Some(NODE_IMAGE),
                    node["labels"][ZONE_LABEL].as_str(),
                )
            })
            .collect();
        assert_eq!(
            zones,
            [
                ("control-plane", true, None),
                ("worker", true, Some("zone-a")),
                ("worker", true, Some("zone-b")),
                ("worker", true, Some("zone-b")),
                ("worker", true, Some("zone-c")),
            ]
        );
    }
}
