//! CDS: one cluster per service port, one per inbound port, and the original destination for the rest.

use super::message::{any, milliseconds, number, over_ads, socket};
use super::{cluster_name, inbound_ports, resources, tls};
use crate::behaviour::{Security, Traffic};
use crate::snapshot::{Kind, Resources};
use crate::stream::Form;
use crate::world::{Service, World};
use envoy_types::pb::envoy::config::cluster::v3::{
    CircuitBreakers, Cluster, OutlierDetection, circuit_breakers,
    cluster::{ClusterDiscoveryType, CommonLbConfig, DiscoveryType, EdsClusterConfig, LbPolicy},
};
use envoy_types::pb::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions};
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier,
};
use envoy_types::pb::envoy::extensions::upstreams::http::v3::{
    HttpProtocolOptions,
    http_protocol_options::{UpstreamProtocolOptions, UseDownstreamHttpConfig},
};
use envoy_types::pb::envoy::r#type::v3::Percent;
use mesh_api::OutboundTls;
use prost::Message as _;

/// The cluster that leads to wherever a connection wanted to go.
pub(super) const PASSTHROUGH: &str = "passthrough";

/// An endpoint that cannot be reached is found out within this time. The handshake of TLS is part of it, so a machine that
/// is busy needs more of it than a network does.
const CONNECT_MILLISECONDS: u32 = 500;

/// A day, in milliseconds: longer than any run.
const FOR_GOOD: u32 = 24 * 60 * 60 * 1000;

pub(super) fn clusters(
    world: &World,
    outbound: OutboundTls,
    traffic: Traffic,
    security: Security,
    form: Form,
) -> Resources {
    let of_services = world.services.by_name.iter().flat_map(|(name, service)| {
        let callees = identities(world, service);
        let (socket, where_taken) = match outbound {
            OutboundTls::Plaintext => (None, None),
            OutboundTls::Permissive => (
                None,
                Some(tls::upstream_where_taken(&callees, security, form)),
            ),
            OutboundTls::Strict => (Some(tls::upstream(&callees, security, form)), None),
        };
        service.ports.keys().map(move |port| {
            let offers_tls = security.bytes_over_tls || !service.bytes.contains(port);
            let where_taken = where_taken.clone().filter(|_| offers_tls);
            Cluster {
                transport_socket: socket.clone().filter(|_| offers_tls),
                transport_socket_matches: where_taken.into_iter().collect(),
                ..service_cluster(cluster_name(name, &world.namespace, *port), traffic)
            }
        })
    });
    let inbound = inbound_ports(&world.services)
        .into_keys()
        .map(inbound_cluster);
    let all = of_services.chain(inbound).chain([passthrough()]);
    resources(
        Kind::Clusters,
        all.map(|cluster| (cluster.name.clone(), cluster.encode_to_vec())),
    )
}

/// Who may answer for a service.
fn identities(world: &World, service: &Service) -> Vec<String> {
    let (trust_domain, namespace) = (&world.trust_domain, &world.namespace);
    service
        .accounts
        .iter()
        .map(|account| format!("spiffe://{trust_domain}/ns/{namespace}/sa/{account}"))
        .collect()
}

pub(super) fn inbound_name(port: u16) -> String {
    format!("inbound:{port}")
}

fn service_cluster(name: String, traffic: Traffic) -> Cluster {
    Cluster {
        name,
        cluster_discovery_type: discovery(DiscoveryType::Eds),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: over_ads(),
            ..EdsClusterConfig::default()
        }),
        connect_timeout: milliseconds(CONNECT_MILLISECONDS),
        // Another zone takes over when a zone is down, not when most of everything is.
        common_lb_config: Some(CommonLbConfig {
            healthy_panic_threshold: Some(Percent { value: 0.0 }),
            ..CommonLbConfig::default()
        }),
        outlier_detection: traffic.failover.then(|| outlier_detection(traffic)),
        // The default of three retries at once is used up by the first moment of a zone outage.
        circuit_breakers: Some(CircuitBreakers {
            thresholds: vec![circuit_breakers::Thresholds {
                max_retries: number(1024),
                ..circuit_breakers::Thresholds::default()
            }],
            ..CircuitBreakers::default()
        }),
        ignore_health_on_host_removal: true,
        typed_extension_protocol_options: if traffic.http_as_it_came {
            same_protocol()
        } else {
            // HTTP/1.1 is what goes out without them.
            std::collections::HashMap::new()
        },
        ..Cluster::default()
    }
}

/// Two failures in a row put an endpoint aside for two seconds, longer each time, at most ten.
fn outlier_detection(traffic: Traffic) -> OutlierDetection {
    let (shortest, longest, percent) = if traffic.failed_return {
        // Endpoints that all fail in one way, because they refuse this caller, say so until the end: one of them always stays.
        (2000, 10_000, 50)
    } else {
        (FOR_GOOD, FOR_GOOD, 100)
    };
    OutlierDetection {
        interval: milliseconds(500),
        base_ejection_time: milliseconds(shortest),
        max_ejection_time: milliseconds(longest),
        max_ejection_percent: number(percent),
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: number(2),
        enforcing_consecutive_local_origin_failure: number(100),
        consecutive_gateway_failure: number(2),
        enforcing_consecutive_gateway_failure: number(100),
        // What an application answers by itself says nothing about its endpoint.
        enforcing_consecutive_5xx: number(0),
        enforcing_success_rate: number(0),
        enforcing_local_origin_success_rate: number(0),
        ..OutlierDetection::default()
    }
}

fn inbound_cluster(port: u16) -> Cluster {
    let name = inbound_name(port);
    Cluster {
        name: name.clone(),
        cluster_discovery_type: discovery(DiscoveryType::Static),
        connect_timeout: milliseconds(CONNECT_MILLISECONDS),
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: name,
            endpoints: vec![LocalityLbEndpoints {
                lb_endpoints: vec![LbEndpoint {
                    host_identifier: Some(HostIdentifier::Endpoint(Endpoint {
                        address: socket("127.0.0.1", port),
                        ..Endpoint::default()
                    })),
                    ..LbEndpoint::default()
                }],
                ..LocalityLbEndpoints::default()
            }],
            ..ClusterLoadAssignment::default()
        }),
        typed_extension_protocol_options: same_protocol(),
        ..Cluster::default()
    }
}

fn passthrough() -> Cluster {
    Cluster {
        name: PASSTHROUGH.into(),
        cluster_discovery_type: discovery(DiscoveryType::OriginalDst),
        lb_policy: LbPolicy::ClusterProvided.into(),
        connect_timeout: milliseconds(5000),
        typed_extension_protocol_options: same_protocol(),
        ..Cluster::default()
    }
}

fn discovery(discovery: DiscoveryType) -> Option<ClusterDiscoveryType> {
    Some(ClusterDiscoveryType::Type(discovery.into()))
}

/// HTTP/1.1 and HTTP/2 go on as they came.
fn same_protocol() -> std::collections::HashMap<String, envoy_types::pb::google::protobuf::Any> {
    let options = HttpProtocolOptions {
        upstream_protocol_options: Some(UpstreamProtocolOptions::UseDownstreamProtocolConfig(
            UseDownstreamHttpConfig {
                http_protocol_options: Some(Http1ProtocolOptions::default()),
                http2_protocol_options: Some(Http2ProtocolOptions::default()),
                ..UseDownstreamHttpConfig::default()
            },
        )),
        ..HttpProtocolOptions::default()
    };
    // One entry only: a map with more would be encoded in a random order.
    [(
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned(),
        any(&options),
    )]
    .into()
}
