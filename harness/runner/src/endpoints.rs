//! Whether every sidecar knows where the workloads are.
//!
//! A pod is Ready before the sidecars of others have heard of it: until then requests go elsewhere, and a scenario about
//! traffic would judge the start of the environment instead of its own claim.

use harness_mesh::Workload;
use probe_api::state::{SidecarReading, SidecarState};
use std::collections::BTreeSet;
use std::sync::Arc;

/// The sidecars that lack an endpoint of a ready workload, or have one of nobody beside them, and which: in words.
///
/// Clusters without any workload (the control plane's, the pod's own) are not looked at. A sidecar that cannot be read is
/// not in sync; a pod without sidecar always is.
pub(crate) fn out_of_sync(
    workloads: &[Workload],
    latest: &dyn Fn(&str) -> Option<Arc<SidecarState>>,
) -> Vec<String> {
    let ready_in = |cluster: &str| -> BTreeSet<&str> {
        workloads
            .iter()
            .filter(|workload| workload.ready && !workload.canary)
            .filter(|workload| workload.sidecar.cluster == cluster)
            .map(|workload| workload.sidecar.ip.as_str())
            .collect()
    };
    workloads
        .iter()
        .filter_map(|workload| {
            let name = &workload.sidecar.name;
            let ready = ready_in(&workload.sidecar.cluster);
            let Some(state) = latest(name) else {
                return Some(format!("{name}: not read yet"));
            };
            match &state.sidecar {
                SidecarReading::None => None,
                SidecarReading::Unreachable(why) => Some(format!("{name}: {why}")),
                SidecarReading::Read(held) => {
                    let of_workloads: BTreeSet<&str> = held
                        .endpoints
                        .values()
                        .map(|cluster| cluster.iter().map(|endpoint| ip(&endpoint.address)))
                        .filter(|cluster| cluster.clone().any(|ip| ready.contains(ip)))
                        .flatten()
                        .collect();
                    let lacking: Vec<&str> = ready.difference(&of_workloads).copied().collect();
                    let stale: Vec<&str> = of_workloads.difference(&ready).copied().collect();
                    match (lacking.is_empty(), stale.is_empty()) {
                        (true, true) => None,
                        (false, _) => Some(format!("{name}: no endpoint {}", lacking.join(", "))),
                        (true, false) => {
                            Some(format!("{name}: still the endpoint {}", stale.join(", ")))
                        }
                    }
                }
            }
        })
        .collect()
}

fn ip(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(ip, _)| ip)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_cluster::PodAddress;
    use harness_model::directory::Sidecar;
    use probe_api::state;
    use std::collections::BTreeMap;

    fn workload(name: &str, ip: &str) -> Workload {
        Workload {
            sidecar: Sidecar {
                name: name.to_owned(),
                pod: name.to_owned(),
                pod_uid: name.to_owned(),
                cluster: "one".to_owned(),
                data_center: "alpha".to_owned(),
                node: "node".to_owned(),
                application: name.to_owned(),
                ip: ip.to_owned(),
                identity: None,
            },
            address: PodAddress {
                cluster: "one".to_owned(),
                namespace: "mesh".to_owned(),
                name: name.to_owned(),
                node: "node".to_owned(),
                ip: ip.to_owned(),
            },
            ready: true,
            canary: false,
        }
    }

    fn holding(clusters: &[(&str, &[&str])]) -> Arc<SidecarState> {
        let endpoint = |address: &&str| state::Endpoint {
            address: (*address).to_owned(),
            zone: "alpha".to_owned(),
            priority: 0,
            health: "HEALTHY".to_owned(),
        };
        let endpoints: BTreeMap<String, Vec<state::Endpoint>> = clusters
            .iter()
            .map(|(name, addresses)| ((*name).to_owned(), addresses.iter().map(endpoint).collect()))
            .collect();
        read(SidecarReading::Read(Box::new(state::Sidecar {
            endpoints,
            ..state::Sidecar::default()
        })))
    }

    fn read(sidecar: SidecarReading) -> Arc<SidecarState> {
        Arc::new(SidecarState {
            hash: String::new(),
            observed_at_ns: 0,
            resolution_ms: 1,
            identity: state::Identity::default(),
            sidecar,
        })
    }

    fn pair() -> Vec<Workload> {
        vec![workload("a", "10.0.0.1"), workload("b", "10.0.0.2")]
    }

    #[test]
    fn who_has_every_endpoint_and_no_other_is_in_sync() {
        let whole = holding(&[
            ("a", &["10.0.0.1:80"]),
            ("b", &["10.0.0.2:80"]),
            ("inbound", &["127.0.0.1:80"]),
            ("control-plane", &["10.9.9.9:15012"]),
        ]);
        assert!(out_of_sync(&pair(), &|_| Some(Arc::clone(&whole))).is_empty());
    }

    #[test]
    fn who_lacks_an_endpoint_is_named_with_it() {
        let part = holding(&[("a", &["10.0.0.1:80"]), ("b", &[])]);
        let missing = out_of_sync(&pair(), &|_| Some(Arc::clone(&part)));
        assert_eq!(
            missing,
            ["a: no endpoint 10.0.0.2", "b: no endpoint 10.0.0.2"]
        );
    }

    #[test]
    fn an_endpoint_of_a_pod_that_is_gone_is_named() {
        let stale = holding(&[
            ("a", &["10.0.0.1:80", "10.0.0.7:80"]),
            ("b", &["10.0.0.2:80"]),
        ]);
        let missing = out_of_sync(&pair()[..], &|_| Some(Arc::clone(&stale)));
        assert_eq!(
            missing,
            [
                "a: still the endpoint 10.0.0.7",
                "b: still the endpoint 10.0.0.7"
            ]
        );
    }

    #[test]
    fn canaries_and_workloads_that_are_not_ready_are_nobodys_to_know() {
        let mut workloads = pair();
        workloads[1].ready = false;
        workloads.push(Workload {
            canary: true,
            ..workload("canary", "10.0.0.3")
        });
        let first = holding(&[("a", &["10.0.0.1:80"])]);
        assert!(out_of_sync(&workloads, &|_| Some(Arc::clone(&first))).is_empty());
    }

    #[test]
    fn who_was_not_read_is_not_in_sync_and_who_has_no_sidecar_is() {
        assert_eq!(
            out_of_sync(&pair(), &|_| None),
            ["a: not read yet", "b: not read yet"]
        );
        let none = read(SidecarReading::None);
        assert!(out_of_sync(&pair(), &|_| Some(Arc::clone(&none))).is_empty());
    }
}
