//! Which rights the acts of a scenario, and what it expects, take in the cluster, beyond those without which no run can be.
//!
//! Invariant: what an act does with the API server stands here; a cluster in which it may not be done skips the scenario.

use harness_cluster::rights::{Right, to_connect, verbs};
use harness_mesh::MeshDefinition;
use harness_mesh::definition::PublishedForm;
use harness_model::asking::{Ask, Desk, Token};
use harness_model::expectation::Expectation;
use harness_model::fault::{Fault, PodSelector};
use harness_model::scenario::{Act, Rollout, Scenario};
use std::collections::BTreeSet;

/// The rights that a scenario takes with this mesh.
pub(crate) fn of(scenario: &Scenario, mesh: &MeshDefinition) -> BTreeSet<Right> {
    let of_acts = scenario.when.iter().flat_map(|act| of_act(act, mesh));
    let then = scenario.then.iter();
    let expected = then.flat_map(|expectation| of_expectation(expectation, mesh));
    of_acts.chain(expected).collect()
}

/// An audit log is read in the logs of pods.
fn of_expectation(expectation: &Expectation, mesh: &MeshDefinition) -> Vec<Right> {
    let Expectation::Audited { .. } = expectation else {
        return Vec::new();
    };
    let form = mesh.identity.as_ref();
    let keys = form.and_then(|form| form.key_service.as_ref());
    let Some(part) = keys.and_then(|keys| mesh.component(&keys.component)) else {
        return Vec::new();
    };
    let rights = [("list", "pods"), ("get", "pods/log")];
    let rights = rights.map(|(verb, what)| Right::new(verb, "", what).within(&part.namespace));
    rights.into()
}

fn of_act(act: &Act, mesh: &MeshDefinition) -> Vec<Right> {
    let workloads = mesh.workloads.namespace.as_str();
    let on_pods = |verb: &str, namespace| Right::new(verb, "", "pods").within(namespace);
    let scaling = || Right::new("patch", "apps", "deployments").within(workloads);
    match act {
        // The pod that joined is marked as the first to go.
        Act::Join { .. } => vec![scaling(), on_pods("patch", workloads)],
        Act::Leave { .. } | Act::Reschedule { .. } => {
            let group = "discovery.k8s.io";
            let mut rights = verbs(&["list", "watch"], group, "endpointslices", Some(workloads));
            rights.push(scaling());
            rights
        }
        // As everything that was applied it may be applied again.
        Act::Withdraw(service) => {
            let group = "discovery.k8s.io";
            let mut rights = verbs(&["list", "watch"], group, "endpointslices", Some(workloads));
            rights.push(Right {
                name: Some(service.clone()),
                ..Right::new("delete", "", "services").within(workloads)
            });
            rights
        }
        Act::Inject(fault) => of_fault(fault, mesh),
        Act::Restart(Rollout::Application(_)) => verbs(
            &["get", "list", "watch", "patch"],
            "apps",
            "deployments",
            Some(workloads),
        ),
        Act::Restart(Rollout::Component(name)) => {
            let Some(part) = mesh.component(name) else {
                return Vec::new();
            };
            let namespace = Some(part.namespace.as_str());
            let mut rights = verbs(&["patch"], "apps", part.kind.plural(), namespace);
            rights.push(on_pods("list", &part.namespace));
            rights
        }
        // The nodes are waited for.
        Act::Recover => verbs(&["list", "watch"], "", "nodes", None),
        Act::Rotate(_) => mesh
            .rotation
            .iter()
            .flat_map(|form| {
                let group = form
                    .api_version
                    .split_once('/')
                    .map_or("", |(group, _)| group);
                let namespace = Some(form.namespace.as_str());
                let mut rights = verbs(&["get", "patch"], group, &form.plural, namespace);
                rights.extend(form.published.iter().flat_map(reading));
                rights
            })
            .collect(),
        Act::Ask(ask) => asking(ask, mesh),
        // Roots are asked for at a node agent, and a certificate at the authority.
        Act::Handshake(handshake) => [Desk::NodeAgent, Desk::Authority]
            .into_iter()
            .flat_map(|at| asking(&Ask::rightly(&handshake.name, &handshake.from, at), mesh))
            .collect(),
        Act::Apply(_)
        | Act::Delete(_)
        | Act::Offer(_)
        | Act::Reconnect
        | Act::Hold(_)
        | Act::Request(_)
        | Act::Load(_)
        | Act::Stop(_) => Vec::new(),
    }
}

/// What is published is read, and watched until it is what sidecars trust.
fn reading(published: &PublishedForm) -> Vec<Right> {
    let read = |namespace: &String| {
        ["get", "list", "watch"].map(|verb| Right {
            name: Some(published.config_map.clone()),
            ..Right::new(verb, "", "configmaps").within(namespace)
        })
    };
    published.namespaces.iter().flat_map(read).collect()
}

fn of_fault(fault: &Fault, mesh: &MeshDefinition) -> Vec<Right> {
    let workloads = mesh.workloads.namespace.as_str();
    let control_plane = mesh
        .control_plane
        .as_ref()
        .map(|home| home.namespace.as_str());
    let on_pods = |verbs: &[&str], namespace: &str| {
        let mut rights = to_connect(namespace);
        let each = verbs.iter();
        rights.extend(each.map(|verb| Right::new(verb, "", "pods").within(namespace)));
        rights
    };
    match fault {
        Fault::PodKill { selector } | Fault::PodFreeze { selector, .. } => {
            let component = match selector {
                PodSelector::Component(name) | PodSelector::Replica(name) => mesh.component(name),
                _ => None,
            };
            let namespace = match selector {
                PodSelector::Workload(_) => workloads,
                PodSelector::ControlPlaneReplica => control_plane.unwrap_or(workloads),
                PodSelector::Component(_) | PodSelector::Replica(_) => component
                    .as_ref()
                    .map_or(workloads, |component| component.namespace.as_str()),
            };
            on_pods(&["get", "list", "delete"], namespace)
        }
        // Nodes do it; that it is over is measured on connections.
        Fault::LateAnswers { component, .. } => {
            let component = mesh.component(component);
            component
                .map(|part| on_pods(&["list"], &part.namespace))
                .unwrap_or_default()
        }
        Fault::ComponentOutage { component, .. } => {
            let Some(component) = mesh.component(component) else {
                return Vec::new();
            };
            let namespace = component.namespace.as_str();
            let mut rights = on_pods(&["get", "list", "delete"], namespace);
            let kind = Some(namespace);
            rights.extend(verbs(
                &["get", "patch"],
                "apps",
                component.kind.plural(),
                kind,
            ));
            rights
        }
        Fault::ClientDenial {
            component, client, ..
        } => {
            let Some(component) = mesh.component(component) else {
                return Vec::new();
            };
            let namespace = component.namespace.as_str();
            let mut rights = on_pods(&["list", "patch"], namespace);
            // Whom it hits.
            if let Some(client) = mesh.component(client) {
                rights.extend(on_pods(&["list"], &client.namespace));
            }
            for list in component.clients.iter() {
                rights.extend(["get", "patch"].map(|verb| Right {
                    name: Some(list.config_map.clone()),
                    ..Right::new(verb, "", "configmaps").within(namespace)
                }));
            }
            rights
        }
        // That these bite is measured on the connections to what runs there.
        Fault::ZoneOutage { without, .. } => {
            let mut rights = control_plane.map(to_connect).unwrap_or_default();
            let missing = without.as_ref().and_then(|part| mesh.component(part));
            rights
                .extend(missing.map(|part| Right::new("list", "", "pods").within(&part.namespace)));
            rights
        }
        Fault::NodeOutage { .. } => control_plane.map(to_connect).unwrap_or_default(),
        // Nodes do it, without the API server, which tells where the component runs.
        Fault::SocketFault { component, .. } | Fault::DiskFull { component, .. } => {
            let component = mesh.component(component);
            let on = component.map(|part| Right::new("list", "", "pods").within(&part.namespace));
            on.into_iter().collect()
        }
        Fault::ApiServerOutage { .. } | Fault::EtcdFreeze { .. } => {
            vec![Right {
                name: Some("kube-system".to_owned()),
                ..Right::new("get", "", "namespaces")
            }]
        }
    }
}

/// Tokens are asked for, and one is of a pod that is made for it. A key service takes none, but with an agent's the certificate
/// is obtained that is shown there.
fn asking(ask: &Ask, mesh: &MeshDefinition) -> Vec<Right> {
    let agent = mesh
        .identity
        .as_ref()
        .map(|form| &form.node_agent.component);
    let of_agents = mesh
        .components
        .iter()
        .find(|component| Some(&component.name) == agent)
        .map_or(&mesh.workloads.namespace, |component| &component.namespace);
    let namespace = match (ask.at, &ask.token) {
        (Desk::KeyService, Token::None) | (Desk::NodeAgent, Token::OtherUser) => return Vec::new(),
        (Desk::Authority, Token::Own) | (Desk::NodeAgent, _) => mesh.workloads.namespace.as_str(),
        (Desk::Authority | Desk::KeyService, _) => of_agents.as_str(),
    };
    let mut rights = vec![
        Right::new("create", "", "serviceaccounts/token").within(namespace),
        Right::new("get", "", "pods").within(namespace),
    ];
    if ask.token == Token::Gone {
        rights.extend(verbs(&["create", "delete"], "", "pods", Some(namespace)));
    }
    rights
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::asking::AuditOutcome;
    use harness_model::duration::Span;
    use harness_model::rotation::Rotation;

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
    fn to_hold_back_what_a_component_is_asked_takes_connections_to_it() {
        let late = words(Act::Inject(Fault::LateAnswers {
            component: "certificate-authority".to_owned(),
            delay: Span::secs(1),
            duration: Span::secs(5),
        }));
        assert!(late.contains(&"list pods in the namespace mesh-system".to_owned()));
        assert!(
            late.iter().any(|right| right.contains("pods/portforward")),
            "{late:?}"
        );
    }

    #[test]
    fn a_denial_takes_the_change_of_the_one_list_that_says_it() {
        let denial = words(Act::Inject(Fault::ClientDenial {
            component: "key-service".to_owned(),
            client: "certificate-authority".to_owned(),
            duration: Span::secs(5),
        }));
        let patched = |right: &&String| right.starts_with("patch configmaps");
        let patched: Vec<&String> = denial.iter().filter(patched).collect();
        assert_eq!(patched.len(), 1);
        assert!(patched[0].contains("key-service-clients"), "{patched:?}");
        assert!(denial.contains(&"patch pods in the namespace mesh-system".to_owned()));
    }

    #[test]
    fn who_comes_to_a_key_service_as_itself_takes_the_token_of_an_agent() {
        let come = |token| {
            words(Act::Ask(Ask {
                token,
                ..Ask::rightly("mine", "a@b", Desk::KeyService)
            }))
        };
        assert_eq!(come(Token::None), [""; 0]);
        let token = "create serviceaccounts/token in the namespace mesh-system";
        assert!(come(Token::Own).contains(&token.to_owned()));
    }

    #[test]
    fn who_comes_to_a_node_agent_as_another_user_shows_nobodys_token() {
        let come = |token| {
            words(Act::Ask(Ask {
                token,
                ..Ask::rightly("mine", "a@b", Desk::NodeAgent)
            }))
        };
        assert_eq!(come(Token::OtherUser), [""; 0]);
        assert!(!come(Token::Right).is_empty());
    }

    #[test]
    fn an_audit_log_takes_the_reading_of_logs_where_it_is_written() {
        let mesh = MeshDefinition::load("reference").unwrap();
        let audited = Expectation::Audited {
            ask: "mine".to_owned(),
            outcome: AuditOutcome::Served,
        };
        let rights = of_expectation(&audited, &mesh);
        let logs = "get pods/log in the namespace mesh-system";
        assert!(rights.iter().any(|right| right.to_string() == logs));
        assert!(of_expectation(&Expectation::Delivered, &mesh).is_empty());
    }

    #[test]
    fn a_rotation_takes_the_reading_of_what_is_published_in_each_namespace() {
        let rotation = words(Act::Rotate(Rotation::NewRoot));
        for namespace in ["mesh-system", "mesh-workloads"] {
            let right = format!("get configmaps `mesh-trust-bundle` in the namespace {namespace}");
            assert!(rotation.contains(&right), "{rotation:?}");
        }
    }

    #[test]
    fn of_services_only_the_one_that_is_taken_away_may_be_deleted() {
        let withdraw = words(Act::Withdraw("inventory".to_owned()));
        let deleted = "delete services `inventory` in the namespace mesh-workloads";
        assert!(withdraw.contains(&deleted.to_owned()), "{withdraw:?}");
        assert_eq!(withdraw.len(), 3, "{withdraw:?}");
        assert_eq!(words(Act::Offer("inventory".to_owned())), [""; 0]);
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
