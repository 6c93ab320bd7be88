//! From Kubernetes objects to what matters of them.

use crate::world::{MEMBER_CONTAINER, Policy, Replica, Scope};
use k8s_openapi::api::core::v1::{Node, Pod, Service, ServicePort};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use mesh_api::{PolicyConfig, ScopeConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub(super) struct ServiceFacts {
    pub(super) address: Option<IpAddr>,
    /// Port number → port name (empty where it has none).
    pub(super) ports: BTreeMap<u16, String>,
    /// The ports that do not carry HTTP.
    pub(super) bytes: BTreeSet<u16>,
    /// The service accounts that it is said to be answered by; none where it does not say.
    pub(super) accounts: Option<BTreeSet<String>>,
    /// The labels of its pods; empty where it selects none.
    pub(super) selector: BTreeMap<String, String>,
}

pub(super) struct Slice {
    pub(super) service: String,
    /// Port name → port number of the pods.
    pub(super) ports: BTreeMap<String, u16>,
    pub(super) endpoints: Vec<SliceEndpoint>,
}

pub(super) struct SliceEndpoint {
    pub(super) ip: IpAddr,
    pub(super) node: String,
    pub(super) zone: Option<String>,
}

pub(super) struct PodFacts {
    pub(super) uid: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) account: String,
    pub(super) node: String,
    pub(super) application: String,
    pub(super) ip: IpAddr,
    pub(super) member: bool,
}

#[derive(Default)]
pub(super) struct Place {
    pub(super) region: String,
    pub(super) zone: String,
}

pub(super) fn policy(policy: PolicyConfig) -> Policy {
    Policy {
        name: policy.name_any(),
        uid: policy.uid().unwrap_or_default(),
        generation: policy.metadata.generation.unwrap_or_default(),
        created: policy
            .creation_timestamp()
            .map_or(0, |time| time.0.as_second()),
        spec: policy.spec,
    }
}

pub(super) fn scope(scope: ScopeConfig) -> Scope {
    Scope {
        name: scope.name_any(),
        uid: scope.uid().unwrap_or_default(),
        generation: scope.metadata.generation.unwrap_or_default(),
        spec: scope.spec,
    }
}

/// On a service: the service accounts that may answer for it, separated by commas. Without it those of the pods that it
/// selects.
const ANSWERED_BY: &str = "mesh.meshproof.io/answered-by";

pub(super) fn service(service: Service) -> ServiceFacts {
    let accounts = service.annotations().get(ANSWERED_BY).map(|names| {
        let names = names.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    });
    let spec = service.spec.unwrap_or_default();
    let mut ports = BTreeMap::new();
    let mut bytes = BTreeSet::new();
    let of_tcp = spec.ports.into_iter().flatten();
    for port in of_tcp.filter(|port| is_tcp(port.protocol.as_deref())) {
        let Ok(number) = u16::try_from(port.port) else {
            continue;
        };
        if carries_bytes(&port) {
            bytes.insert(number);
        }
        ports.insert(number, port.name.unwrap_or_default());
    }
    ServiceFacts {
        // `None` for a service without an address of its own.
        address: spec.cluster_ip.and_then(|ip| ip.parse().ok()),
        ports,
        bytes,
        accounts,
        selector: spec.selector.unwrap_or_default(),
    }
}

/// Whether a port is said to carry something else than HTTP: by its `appProtocol`, else by the beginning of its name, as in
/// `tcp-orders`. What is not said is told by the first bytes of a connection, so it may be HTTP.
fn carries_bytes(port: &ServicePort) -> bool {
    let name = port.name.as_deref().unwrap_or_default();
    let by_name = name.split('-').next().unwrap_or_default();
    port.app_protocol.as_deref().unwrap_or(by_name) == "tcp"
}

impl ServiceFacts {
    /// Whether the service is made of pods like this one.
    pub(super) fn selects(&self, pod: &PodFacts) -> bool {
        !self.selector.is_empty()
            && self
                .selector
                .iter()
                .all(|(name, value)| pod.labels.get(name) == Some(value))
    }
}

pub(super) fn slice(slice: EndpointSlice) -> Option<Slice> {
    let service = slice.labels().get("kubernetes.io/service-name")?.clone();
    let ports = slice
        .ports
        .unwrap_or_default()
        .into_iter()
        .filter(|port| is_tcp(port.protocol.as_deref()))
        .filter_map(|port| {
            Some((
                port.name.unwrap_or_default(),
                u16::try_from(port.port?).ok()?,
            ))
        })
        .collect();
    let endpoints = slice
        .endpoints
        .into_iter()
        // Unknown counts as ready, as the API says.
        .filter(|endpoint| endpoint.conditions.as_ref().and_then(|c| c.ready) != Some(false))
        .filter_map(|endpoint| {
            Some(SliceEndpoint {
                ip: endpoint.addresses.first()?.parse().ok()?,
                node: endpoint.node_name.unwrap_or_default(),
                zone: endpoint.zone,
            })
        })
        .collect();
    Some(Slice {
        service,
        ports,
        endpoints,
    })
}

/// A pod without address or node, or one that has ended, receives nothing.
pub(super) fn pod(pod: Pod) -> Option<PodFacts> {
    let uid = pod.uid()?;
    let labels = pod.labels().clone();
    let spec = pod.spec?;
    let status = pod.status?;
    if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let mut containers = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    Some(PodFacts {
        uid,
        node: spec.node_name.clone()?,
        account: spec
            .service_account_name
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        application: labels.get("app").cloned().unwrap_or_default(),
        labels,
        ip: status.pod_ip?.parse().ok()?,
        member: containers.any(|container| container.name == MEMBER_CONTAINER)
            && pod.metadata.deletion_timestamp.is_none(),
    })
}

pub(super) fn node(node: &PartialObjectMeta<Node>) -> Place {
    let label = |name: &str| node.labels().get(name).cloned().unwrap_or_default();
    Place {
        region: label("topology.kubernetes.io/region"),
        zone: label("topology.kubernetes.io/zone"),
    }
}

pub(super) fn replica(pod: Pod) -> Option<Replica> {
    let status = pod.status.clone().unwrap_or_default();
    let is_ready = status
        .conditions
        .iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Some(Replica {
        uid: pod.uid()?,
        ip: status.pod_ip.and_then(|ip| ip.parse().ok()),
        ready: is_ready,
        restarts: status
            .container_statuses
            .iter()
            .flatten()
            .map(|c| c.restart_count)
            .sum(),
    })
}

fn is_tcp(protocol: Option<&str>) -> bool {
    protocol.is_none_or(|protocol| protocol == "TCP")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> T {
        serde_json::from_value(value).expect("well-formed")
    }

    #[test]
    fn endpoints_that_are_not_ready_are_left_out() {
        let slice = slice(from(serde_json::json!({
            "metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}},
            "addressType": "IPv4",
            "ports": [{"name": "http", "port": 8080}, {"name": "udp", "port": 1, "protocol": "UDP"}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "zone": "east"},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"], "nodeName": "n"}
            ]
        })))
        .expect("of a service");
        let ips: Vec<_> = slice.endpoints.iter().map(|e| e.ip.to_string()).collect();
        assert_eq!(ips, vec!["10.0.0.1", "10.0.0.3"]);
        assert_eq!(slice.ports, [("http".to_owned(), 8080)].into());
    }

    #[test]
    fn ports_carry_bytes_where_they_are_said_to() {
        let facts = service(from(serde_json::json!({
            "metadata": {"name": "s", "annotations": {(ANSWERED_BY): "a, b"}},
            "spec": {"clusterIP": "10.96.0.9", "ports": [
                {"name": "http", "port": 1, "appProtocol": "http"},
                {"name": "grpc", "port": 2, "appProtocol": "kubernetes.io/h2c"},
                {"name": "orders", "port": 3, "appProtocol": "tcp"},
                {"name": "tcp-orders", "port": 4},
                {"name": "tcp-no", "port": 5, "appProtocol": "http"},
                {"port": 6}
            ]}
        })));
        assert_eq!(facts.bytes, [3, 4].into());
        assert_eq!(facts.ports.len(), 6);
        assert_eq!(facts.address, "10.96.0.9".parse().ok());
        assert_eq!(facts.accounts, Some(["a", "b"].map(str::to_owned).into()));
        let headless = service(from(serde_json::json!({
            "metadata": {"name": "s"}, "spec": {"clusterIP": "None"}
        })));
        assert_eq!(headless.address, None);
    }

    #[test]
    fn a_pod_counts_once_it_has_address_and_node() {
        let mut value = serde_json::json!({
            "metadata": {"name": "p", "uid": "u", "labels": {"app": "checkout"}},
            "spec": {"containers": [{"name": "app"}], "initContainers": [{"name": "sidecar"}], "nodeName": "n"},
            "status": {"phase": "Pending"}
        });
        assert!(pod(from(value.clone())).is_none());
        value["status"]["podIP"] = "10.0.0.1".into();
        let facts = pod(from(value.clone())).expect("counts");
        assert!(facts.member);
        assert_eq!(facts.application, "checkout");
        value["status"]["phase"] = "Failed".into();
        assert!(pod(from(value)).is_none());
    }
}
