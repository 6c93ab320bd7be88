//! Which rights the acts of a scenario take in the cluster, beyond those without which no run can be.
//!
//! Invariant: what an act does with the API server stands here; a cluster in which it may not be done skips the scenario.

use harness_cluster::rights::{Right, to_connect, verbs};
use harness_mesh::MeshDefinition;
use harness_model::fault::{Fault, PodSelector};
use harness_model::scenario::{Act, Scenario};
use std::collections::BTreeSet;

/// The rights that a scenario takes with this mesh.
pub(crate) fn of(scenario: &Scenario, mesh: &MeshDefinition) -> BTreeSet<Right> {
    scenario
        .when
        .iter()
        .flat_map(|act| of_act(act, mesh))
        .collect()
}

fn of_act(act: &Act, mesh: &MeshDefinition) -> Vec<Right> {
    let workloads = mesh.workloads.namespace.as_str();
    let control_plane = mesh.control_plane.as_ref();
    let on_pods = |verb: &str, namespace| Right::new(verb, "", "pods").within(namespace);
    let scaling = || Right::new("patch", "apps", "deployments").within(workloads);
    match act {
        // The pod that joined is marked as the first to go.
        Act::Join { .. } => vec![scaling(), on_pods("patch", workloads)],
        Act::Leave { .. } => {
            let group = "discovery.k8s.io";
            let mut rights = verbs(&["list", "watch"], group, "endpointslices", Some(workloads));
            rights.push(scaling());
            rights
        }
        Act::Inject(Fault::PodKill { selector }) => {
            let namespace = match selector {
                PodSelector::Workload(_) => workloads,
                PodSelector::ControlPlaneReplica => {
                    control_plane.map_or(workloads, |home| home.namespace.as_str())
                }
                PodSelector::Component(name) => mesh
                    .components
                    .iter()
                    .find(|component| component.name == *name)
                    .map_or(workloads, |component| component.namespace.as_str()),
            };
            let mut rights = to_connect(namespace);
            rights.extend(["get", "list", "delete"].map(|verb| on_pods(verb, namespace)));
            rights
        }
        // That a zone is cut off is measured on the connections to what runs in it.
        Act::Inject(Fault::ZoneOutage { .. }) => control_plane
            .map(|home| to_connect(&home.namespace))
            .unwrap_or_default(),
        // The nodes are waited for.
        Act::Recover => verbs(&["list", "watch"], "", "nodes", None),
        Act::Apply(_)
        | Act::Delete(_)
        | Act::Reconnect
        | Act::Hold(_)
        | Act::Request(_)
        | Act::Load(_)
        | Act::Stop(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(act: Act) -> Vec<String> {
        let mesh = MeshDefinition::load("reference").unwrap();
        let rights = of_act(&act, &mesh);
        rights.iter().map(Right::to_string).collect()
    }

    #[test]
    fn a_kill_takes_the_deletion_of_pods_where_its_victim_is() {
        let kill = |selector| Act::Inject(Fault::PodKill { selector });
        let replica = words(kill(PodSelector::ControlPlaneReplica));
        assert!(replica.contains(&"delete pods in the namespace mesh-system".to_owned()));
        let component = words(kill(PodSelector::Component("node-agent".to_owned())));
        assert!(component.contains(&"list pods in the namespace mesh-system".to_owned()));
        let workload = words(kill(PodSelector::Workload("a@b".to_owned())));
        assert!(workload.contains(&"delete pods in the namespace mesh-workloads".to_owned()));
    }

    #[test]
    fn who_leaves_is_waited_for_in_the_endpoints_and_who_joins_is_marked() {
        let (application, data_center) = ("a".to_owned(), "b".to_owned());
        let leave = Act::Leave {
            application: application.clone(),
            data_center: data_center.clone(),
        };
        let watch = "watch endpointslices.discovery.k8s.io in the namespace mesh-workloads";
        assert!(words(leave).contains(&watch.to_owned()));
        let join = Act::Join {
            application,
            data_center,
        };
        assert!(words(join).contains(&"patch pods in the namespace mesh-workloads".to_owned()));
    }
}
