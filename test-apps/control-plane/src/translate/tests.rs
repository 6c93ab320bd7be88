//! What the resources of a sidecar say for a world and its policies.

use super::*;
use crate::world::{Endpoint, Service};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::service::discovery::v3::DiscoveryResponse;
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use mesh_api::{Destination, RetryRule, RuleMatch};
use prost::Message;

fn world() -> World {
    let endpoint = |ip: &str, zone: &str| Endpoint {
        ip: ip.parse().expect("an address"),
        port: 8080,
        region: "europe".into(),
        zone: zone.into(),
    };
    let service = |prefix: u8| Service {
        ports: [(
            8080,
            vec![
                endpoint(&format!("10.101.1.{prefix}"), "east"),
                endpoint(&format!("10.102.1.{prefix}"), "west"),
            ],
        )]
        .into(),
        accounts: [format!("account-{prefix}")].into(),
        ..Service::default()
    };
    World {
        namespace: "mesh-workloads".into(),
        trust_domain: "mesh.local".into(),
        services: Arc::new(Services::new(
            [
                ("checkout".to_owned(), service(1)),
                ("inventory".to_owned(), service(2)),
            ]
            .into(),
        )),
        ..World::default()
    }
}

fn sidecar(pod: &str, zone: &str) -> Sidecar {
    Sidecar {
        pod: pod.into(),
        data_center: zone.into(),
        ..Sidecar::default()
    }
}

fn effective() -> Effective {
    Effective {
        toggles: [
            ("b".to_owned(), "2".to_owned()),
            ("a".to_owned(), "true".to_owned()),
        ]
        .into(),
        rules: vec![
            RoutingRule {
                name: "split".into(),
                service: "checkout".into(),
                condition: RuleMatch::default(),
                to: ["checkout", "inventory"]
                    .map(|service| Destination {
                        service: service.into(),
                        weight: 1,
                    })
                    .into(),
                ..RoutingRule::default()
            },
            RoutingRule {
                name: "not-there-yet".into(),
                service: "billing".into(),
                condition: RuleMatch::default(),
                to: vec![Destination {
                    service: "inventory".into(),
                    weight: 1,
                }],
                ..RoutingRule::default()
            },
        ],
        tls: TlsPolicy::default(),
        basis: Default::default(),
    }
}

/// What a control plane without seeded bugs, in the usual form, makes for a sidecar.
fn made(
    translator: &Translator,
    world: &World,
    sidecar: &Sidecar,
    effective: &Effective,
) -> Snapshot {
    translator.snapshot(
        world,
        sidecar,
        effective,
        Traffic::default(),
        Security::default(),
        Form::default(),
    )
}

/// What a replica that has made nothing before makes for a sidecar in the west.
fn made_in_the_west(effective: &Effective) -> Snapshot {
    let west = sidecar("a", "west");
    made(&Translator::default(), &world(), &west, effective)
}

fn read<M: Message + Default>(snapshot: &Snapshot, kind: Kind, name: &str) -> M {
    let resource = &snapshot.resources[&kind][name];
    let response = DiscoveryResponse::decode(resource.field.clone()).expect("a response");
    M::decode(response.resources[0].value.as_slice()).expect("the message")
}

#[test]
fn destinations_get_the_weights_of_their_rule() {
    let mut effective = effective();
    for (destination, weight) in effective.rules[0].to.iter_mut().zip([80, 20]) {
        destination.weight = weight;
    }
    let snapshot = made_in_the_west(&effective);
    let routes: RouteConfiguration = read(&snapshot, Kind::Routes, OUTBOUND_ROUTES);
    let weights: Vec<(String, Option<u32>)> = routes
        .virtual_hosts
        .iter()
        .filter(|host| host.name == "checkout.mesh-workloads:8080")
        .flat_map(|host| &host.routes)
        .filter_map(|route| match route.action.as_ref()? {
            Action::Route(action) => action.cluster_specifier.as_ref(),
            _ => None,
        })
        .filter_map(|to| match to {
            ClusterSpecifier::WeightedClusters(weighted) => Some(&weighted.clusters),
            _ => None,
        })
        .flatten()
        .map(|cluster| {
            (
                cluster.name.clone(),
                cluster.weight.map(|weight| weight.value),
            )
        })
        .collect();
    let expected = [("checkout", 80), ("inventory", 20)]
        .map(|(name, weight)| (format!("{name}.mesh-workloads:8080"), Some(weight)));
    assert_eq!(weights, expected);
}

#[test]
fn a_rule_says_how_long_how_often_and_to_whom_besides() {
    let mut effective = effective();
    let rule = &mut effective.rules[0];
    rule.timeout_ms = Some(300);
    rule.mirror = Some("inventory".into());
    rule.retry = Some(RetryRule {
        times: 1,
        statuses: vec![500],
    });
    let snapshot = made_in_the_west(&effective);
    let routes: RouteConfiguration = read(&snapshot, Kind::Routes, OUTBOUND_ROUTES);
    let routes = routes.virtual_hosts.iter().flat_map(|host| &host.routes);
    let actions: Vec<_> = routes
        .filter(|route| route.name == "split")
        .filter_map(|route| match route.action.as_ref()? {
            Action::Route(action) => Some(action),
            _ => None,
        })
        .collect();
    assert_eq!(actions.len(), 1);
    let timeout = actions[0].timeout.expect("a timeout");
    assert_eq!((timeout.seconds, timeout.nanos), (0, 300_000_000));
    let retry = actions[0].retry_policy.as_ref().expect("retries");
    assert_eq!(retry.num_retries.expect("a number").value, 1);
    assert_eq!(retry.retriable_status_codes, [503, 500]);
    let mirrors = &actions[0].request_mirror_policies;
    assert_eq!(mirrors.len(), 1);
    assert_eq!(mirrors[0].cluster, "inventory.mesh-workloads:8080");
}

#[test]
fn the_own_zone_comes_first() {
    let snapshot = made_in_the_west(&effective());
    let assignment: ClusterLoadAssignment =
        read(&snapshot, Kind::Endpoints, "checkout.mesh-workloads:8080");
    let priorities: Vec<_> = assignment
        .endpoints
        .iter()
        .map(|locality| {
            (
                locality.locality.clone().unwrap_or_default().zone,
                locality.priority,
            )
        })
        .collect();
    assert_eq!(
        priorities,
        vec![("east".to_owned(), 1), ("west".to_owned(), 0)]
    );
}

#[test]
fn without_endpoints_in_the_own_zone_priorities_have_no_gap() {
    let north = sidecar("a", "north");
    let snapshot = made(&Translator::default(), &world(), &north, &effective());
    let assignment: ClusterLoadAssignment =
        read(&snapshot, Kind::Endpoints, "checkout.mesh-workloads:8080");
    assert!(
        assignment
            .endpoints
            .iter()
            .all(|locality| locality.priority == 0)
    );
}

#[test]
fn rules_stand_before_the_default_route_and_keep_their_names() {
    let snapshot = made_in_the_west(&effective());
    let routes: RouteConfiguration = read(&snapshot, Kind::Routes, OUTBOUND_ROUTES);
    let names = |host: &str| -> Vec<String> {
        let host = routes
            .virtual_hosts
            .iter()
            .find(|h| h.domains.iter().any(|d| d == host));
        host.expect("a virtual host")
            .routes
            .iter()
            .map(|route| route.name.clone())
            .collect()
    };
    assert_eq!(
        names("checkout.mesh-workloads.svc.cluster.local:8080"),
        vec!["split", "default"]
    );
    assert_eq!(names("inventory"), vec!["default"]);
    assert_eq!(names("billing:*"), vec!["not-there-yet", "default"]);
}

#[test]
fn toggles_are_text_in_one_layer() {
    let snapshot = made_in_the_west(&effective());
    let runtime: Runtime = read(&snapshot, Kind::Runtime, RUNTIME_LAYER);
    assert_eq!(runtime.name, RUNTIME_LAYER);
    let fields = runtime.layer.expect("a layer").fields;
    assert_eq!(fields.len(), 2);
    assert!(fields.values().all(|value| {
        matches!(
            value.kind,
            Some(envoy_types::pb::google::protobuf::value::Kind::StringValue(
                _
            ))
        )
    }));
}

#[test]
fn equal_content_is_one_set_of_bytes_for_all() {
    let translator = Translator::default();
    let [one, two] =
        ["a", "b"].map(|pod| made(&translator, &world(), &sidecar(pod, "west"), &effective()));
    for kind in [Kind::Clusters, Kind::Endpoints, Kind::Routes, Kind::Runtime] {
        assert!(
            Arc::ptr_eq(&one.resources[&kind], &two.resources[&kind]),
            "{}",
            kind.short()
        );
    }
    assert!(!Arc::ptr_eq(
        &one.resources[&Kind::Listeners],
        &two.resources[&Kind::Listeners]
    ));
}

#[test]
fn another_replica_makes_the_same_bytes() {
    let make = || made_in_the_west(&effective());
    let (one, two) = (make(), make());
    for kind in Kind::ALL {
        assert_eq!(
            one.resources[&kind],
            two.resources[&kind],
            "{}",
            kind.short()
        );
    }
}

mod bytes;
mod tls;
