//! EDS: the endpoints of each service port by locality, the sidecar's own zone first.

use super::message::socket;
use super::{cluster_name, resources, tls};
use crate::behaviour::Traffic;
use crate::snapshot::{Kind, Resources};
use crate::world::{Endpoint, World};
use envoy_types::pb::envoy::config::core::v3::{Locality, Metadata};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint as Address, LbEndpoint, LocalityLbEndpoints,
    lb_endpoint::HostIdentifier,
};
use prost::Message as _;
use std::collections::BTreeMap;

pub(super) fn assignments(world: &World, own_zone: &str, traffic: Traffic) -> Resources {
    let all = world.services.by_name.iter().flat_map(|(name, service)| {
        service.ports.iter().map(move |(port, endpoints)| {
            let name = cluster_name(name, &world.namespace, *port);
            let assignment = ClusterLoadAssignment {
                cluster_name: name.clone(),
                endpoints: localities(world, endpoints, own_zone, traffic),
                ..ClusterLoadAssignment::default()
            };
            (name, assignment.encode_to_vec())
        })
    });
    resources(Kind::Endpoints, all)
}

fn localities(
    world: &World,
    endpoints: &[Endpoint],
    own_zone: &str,
    traffic: Traffic,
) -> Vec<LocalityLbEndpoints> {
    let mut by_locality: BTreeMap<(&str, &str), Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        by_locality
            .entry((&endpoint.region, &endpoint.zone))
            .or_default()
            .push(endpoint);
    }
    // Priorities must not have gaps: without endpoints in the own zone the others are first.
    let own_is_there = by_locality.keys().any(|(_, zone)| *zone == own_zone);
    by_locality
        .into_iter()
        .map(|((region, zone), endpoints)| LocalityLbEndpoints {
            locality: Some(Locality {
                region: region.to_owned(),
                zone: zone.to_owned(),
                ..Locality::default()
            }),
            priority: u32::from(traffic.own_zone_first && own_is_there && zone != own_zone),
            lb_endpoints: endpoints
                .into_iter()
                .map(|endpoint| lb_endpoint(endpoint, world.takes_tls.contains(&endpoint.ip)))
                .collect(),
            ..LocalityLbEndpoints::default()
        })
        .filter(|locality| traffic.failover || locality.priority == 0)
        .collect()
}

fn lb_endpoint(endpoint: &Endpoint, takes_tls: bool) -> LbEndpoint {
    LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Address {
            address: socket(endpoint.ip, endpoint.port),
            ..Address::default()
        })),
        metadata: takes_tls.then(|| Metadata {
            filter_metadata: [("envoy.transport_socket_match".to_owned(), tls::taken())].into(),
            ..Metadata::default()
        }),
        ..LbEndpoint::default()
    }
}
