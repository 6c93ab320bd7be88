//! LDS: where captured connections arrive. HTTP is routed, bytes to services are shared among their endpoints, and everything
//! else goes where it wanted to go.

mod filters;

use super::cluster::{PASSTHROUGH, inbound_name};
use super::message::{any, milliseconds, number, over_ads, socket};
use super::{
    Carries, INBOUND_PORT, OUTBOUND_PORT, OUTBOUND_ROUTES, cluster_name, inbound_ports, resources,
    tls,
};
use crate::behaviour::{Security, Traffic};
use crate::snapshot::{Kind, Resources};
use crate::stream::Form;
use crate::world::World;
use envoy_types::pb::envoy::config::core::v3::{CidrRange, TrafficDirection};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter,
    ListenerFilterChainMatchPredicate, listener_filter,
    listener_filter_chain_match_predicate::{MatchSet, Rule},
};
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    Rds, http_connection_manager::RouteSpecifier,
};
use envoy_types::pb::envoy::r#type::v3::Int32Range;
use envoy_types::pb::google::protobuf::Any;
use filters::{
    CONNECTION_FAILURE, FAILURE_HEADER, INBOUND_HEADER, INBOUND_TLS, INBOUND_TLS_HEADER, KnownBy,
    OUTBOUND_HEADER, bytes, http, to_application, told_bytes,
};
use mesh_api::{InboundTls, OutboundTls, TlsPolicy};
use prost::Message as _;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// A connection of bytes is tried at so many endpoints; each is found out within the clusters' time for connecting.
const CONNECT_ATTEMPTS: u32 = 8;

/// No cluster has this name: a connection that is led there is closed, and counted in a stat with this name in its own, which the
/// launcher has sidecars make (`TURNED_AWAY` there).
const NOWHERE: &str = "nowhere";

pub(super) fn listeners(
    world: &World,
    pod: &str,
    tls: &TlsPolicy,
    traffic: Traffic,
    security: Security,
    form: Form,
) -> Resources {
    let inbound = Inbound {
        world,
        pod,
        mode: tls.inbound.unwrap_or_default(),
        allow: tls
            .allow
            .as_ref()
            .filter(|_| security.callers_are_restricted)
            .map(|ids| ids.iter().map(|id| id.0.clone()).collect()),
        traffic,
        security,
        form,
    };
    let offered = tls.outbound.unwrap_or_default();
    let all = [outbound(world, pod, offered, traffic), inbound.listener()];
    resources(
        Kind::Listeners,
        all.map(|listener| (listener.name.clone(), listener.encode_to_vec())),
    )
}

fn outbound(world: &World, pod: &str, offered: OutboundTls, traffic: Traffic) -> Listener {
    let ports = BytePorts::of(world, traffic);
    let requests = |name: String, spoken: &[&str], port: Option<u16>| {
        let routes = RouteSpecifier::Rds(Rds {
            config_source: over_ads(),
            route_config_name: OUTBOUND_ROUTES.into(),
        });
        FilterChain {
            name,
            filter_chain_match: Some(FilterChainMatch {
                application_protocols: spoken.iter().map(|name| (*name).to_owned()).collect(),
                ..port.map(on_port).unwrap_or_default()
            }),
            filters: vec![http("outbound", routes, &[(OUTBOUND_HEADER, pod)], None)],
            ..FilterChain::default()
        }
    };
    // The port decides first: where some services take requests on it and others bytes, each needs chains with it.
    let mixed = ports
        .mixed
        .iter()
        .map(|port| (format!(":{port}"), Some(*port)));
    let ports_of_requests = [(String::new(), None)].into_iter().chain(mixed);
    let all_requests = ports_of_requests.flat_map(|(suffix, port)| {
        [
            requests(format!("http{suffix}"), &["http/1.0", "http/1.1"], port),
            until_changed(requests(format!("http2{suffix}"), &["h2c"], port), offered),
        ]
    });
    let bytes = ports.services.iter();
    Listener {
        filter_chains: all_requests
            .chain(bytes.map(|service| until_changed(service.chain(pod), offered)))
            .collect(),
        listener_filters: vec![original_destination(), ports.unless_bytes(http_inspector())],
        ..listener(
            "outbound",
            OUTBOUND_PORT,
            TrafficDirection::Outbound,
            traffic,
        )
    }
}

/// A chain whose connections end when callers are to offer something else. Of a cluster that changes Envoy lets go on what is
/// under way on its connections, which has an end where it is an answer, and may have none where it is bytes or a stream.
/// Connections of a chain that is there no more it closes, a stated time later: so the chain is another one by its name.
fn until_changed(chain: FilterChain, offered: OutboundTls) -> FilterChain {
    let mark = match offered {
        OutboundTls::Plaintext => "",
        OutboundTls::Permissive => ":tls-where-taken",
        OutboundTls::Strict => ":tls",
    };
    FilterChain {
        name: format!("{}{mark}", chain.name),
        ..chain
    }
}

/// The service ports of which nothing is known but that they carry bytes.
struct BytePorts {
    services: Vec<ByteService>,
    /// Port numbers on which no service takes requests.
    only: BTreeSet<u16>,
    /// Port numbers on which other services take requests.
    mixed: BTreeSet<u16>,
}

/// One of them.
struct ByteService {
    address: IpAddr,
    port: u16,
    cluster: String,
}

impl BytePorts {
    fn of(world: &World, traffic: Traffic) -> Self {
        let all = &world.services.by_name;
        let services: Vec<_> = all
            .iter()
            .filter(|_| traffic.bytes_to_endpoints)
            .filter_map(|(name, service)| Some((name, service, service.address?)))
            .flat_map(|(name, service, address)| {
                service.bytes.iter().map(move |port| ByteService {
                    address,
                    port: *port,
                    cluster: cluster_name(name, &world.namespace, *port),
                })
            })
            .collect();
        let of_requests: BTreeSet<u16> = all
            .values()
            .flat_map(|service| {
                service
                    .ports
                    .keys()
                    .filter(|port| !service.bytes.contains(port))
            })
            .copied()
            .collect();
        let (mixed, only) = services
            .iter()
            .map(|service| service.port)
            .partition(|port| of_requests.contains(port));
        Self {
            services,
            only,
            mixed,
        }
    }

    /// A listener filter that leaves connections of bytes alone: the server may be the one who speaks first.
    fn unless_bytes(&self, filter: ListenerFilter) -> ListenerFilter {
        let is_port = |port: &u16| ListenerFilterChainMatchPredicate {
            rule: Some(Rule::DestinationPortRange(Int32Range {
                start: i32::from(*port),
                end: i32::from(*port) + 1,
            })),
        };
        let rules: Vec<_> = self.only.iter().map(is_port).collect();
        let disabled = match rules.len() {
            0 => None,
            1 => rules.into_iter().next(),
            _ => Some(ListenerFilterChainMatchPredicate {
                rule: Some(Rule::OrMatch(MatchSet { rules })),
            }),
        };
        ListenerFilter {
            filter_disabled: disabled,
            ..filter
        }
    }
}

impl ByteService {
    fn chain(&self, pod: &str) -> FilterChain {
        let says = [(OUTBOUND_HEADER, pod), (FAILURE_HEADER, CONNECTION_FAILURE)];
        FilterChain {
            name: self.cluster.clone(),
            filter_chain_match: Some(FilterChainMatch {
                prefix_ranges: vec![CidrRange {
                    address_prefix: self.address.to_string(),
                    prefix_len: number(if self.address.is_ipv4() { 32 } else { 128 }),
                }],
                ..on_port(self.port)
            }),
            filters: vec![told_bytes(
                &self.cluster,
                CONNECT_ATTEMPTS,
                KnownBy::Caller,
                &says,
            )],
            ..FilterChain::default()
        }
    }
}

/// What comes in to one sidecar.
struct Inbound<'a> {
    world: &'a World,
    pod: &'a str,
    mode: InboundTls,
    /// The callers that are let in; none: everybody.
    allow: Option<Vec<String>>,
    traffic: Traffic,
    security: Security,
    /// The form of xDS that the sidecar speaks.
    form: Form,
}

impl Inbound<'_> {
    fn listener(&self) -> Listener {
        // Without TLS nothing is inspected: who waits for the server's first word is not kept waiting.
        let inspector = (self.mode != InboundTls::Plaintext).then(tls_inspector);
        Listener {
            filter_chains: inbound_ports(&self.world.services)
                .into_iter()
                .flat_map(|(port, carries)| self.chains(port, carries))
                .collect(),
            listener_filters: [original_destination()]
                .into_iter()
                .chain(inspector)
                .collect(),
            ..listener(
                "inbound",
                INBOUND_PORT,
                TrafficDirection::Inbound,
                self.traffic,
            )
        }
    }

    /// The most specific chain takes a connection.
    fn chains(&self, port: u16, carries: Carries) -> Vec<FilterChain> {
        let name = inbound_name(port);
        let passed_on = || match carries {
            Carries::Requests if self.traffic.requests_are_looked_at => vec![self.requests(port)],
            Carries::Requests | Carries::Bytes => self.bytes(port),
        };
        let chain = |suffix: &str, filters| FilterChain {
            name: format!("{name}{suffix}"),
            filter_chain_match: Some(on_port(port)),
            filters,
            ..FilterChain::default()
        };
        let plain = || chain("", passed_on());
        let of_mesh = |names: &[&str]| FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                application_protocols: names.iter().map(|name| (*name).to_owned()).collect(),
                ..on_port(port)
            }),
            transport_socket: Some(tls::downstream(
                &self.world.trust_domain,
                self.security,
                self.form,
            )),
            ..chain(":mesh", passed_on())
        };
        // Applications may speak TLS themselves. Envoy does not come back from the chains for TLS to those without: what none
        // of the former takes would be left to the default chain, which leads to the application.
        let of_application = |suffix, filters| FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                ..on_port(port)
            }),
            ..chain(suffix, filters)
        };
        // The last filter of a chain must be one that goes on. It leads nowhere: an application that speaks first would have
        // spoken before anything is refused.
        let refused = || vec![tls::refuse("strict"), bytes(NOWHERE)];
        let of_mesh_alone = || of_mesh(&[tls::ALPN]);
        let security = self.security;
        match self.mode {
            InboundTls::Plaintext => vec![plain()],
            // Who shows the sidecar no certificate is on nobody's list.
            InboundTls::Permissive if security.applications_may_speak_tls => vec![
                of_mesh_alone(),
                of_application(":tls", self.bytes(port)),
                plain(),
            ],
            InboundTls::Permissive => vec![of_mesh(&[]), plain()],
            // No chain refuses here: TLS of applications goes by the default chain.
            InboundTls::Strict if !security.plaintext_is_refused => vec![of_mesh_alone(), plain()],
            InboundTls::Strict => [of_mesh_alone()]
                .into_iter()
                .chain(
                    security
                        .other_tls_is_refused
                        .then(|| of_application(":tls-refused", refused())),
                )
                .chain([chain(":refused", refused())])
                .collect(),
        }
    }

    fn requests(&self, port: u16) -> Filter {
        let headers = [
            (INBOUND_HEADER, self.pod),
            (INBOUND_TLS_HEADER, INBOUND_TLS),
        ];
        let access = self.allow.as_deref().map(tls::allow_only);
        http("inbound", to_application(port), &headers, access)
    }

    fn bytes(&self, port: u16) -> Vec<Filter> {
        let says = [
            (INBOUND_HEADER, self.pod),
            (INBOUND_TLS_HEADER, INBOUND_TLS),
        ];
        let to_application = told_bytes(&inbound_name(port), 1, KnownBy::Callee, &says);
        self.access().into_iter().chain([to_application]).collect()
    }

    /// Lets only those connections through whose certificate is on the list, where there is one.
    fn access(&self) -> Option<Filter> {
        self.allow.as_deref().map(tls::allow_only_connections)
    }
}

fn on_port(port: u16) -> FilterChainMatch {
    FilterChainMatch {
        destination_port: number(u32::from(port)),
        ..FilterChainMatch::default()
    }
}

fn listener(name: &str, port: u16, direction: TrafficDirection, traffic: Traffic) -> Listener {
    Listener {
        name: name.into(),
        address: socket("0.0.0.0", port),
        traffic_direction: direction.into(),
        default_filter_chain: Some(FilterChain {
            name: PASSTHROUGH.into(),
            filters: vec![bytes(PASSTHROUGH)],
            ..FilterChain::default()
        }),
        // A protocol in which the server speaks first says nothing by which it could be known.
        listener_filters_timeout: milliseconds(if traffic.silence_is_borne { 1000 } else { 0 }),
        continue_on_listener_filters_timeout: true,
        ..Listener::default()
    }
}

fn original_destination() -> ListenerFilter {
    listener_filter("original_dst", any(&OriginalDst::default()))
}

fn http_inspector() -> ListenerFilter {
    listener_filter("http_inspector", any(&HttpInspector::default()))
}

fn tls_inspector() -> ListenerFilter {
    listener_filter("tls_inspector", any(&TlsInspector::default()))
}

fn listener_filter(name: &str, config: Any) -> ListenerFilter {
    ListenerFilter {
        name: format!("envoy.filters.listener.{name}"),
        config_type: Some(listener_filter::ConfigType::TypedConfig(config)),
        ..ListenerFilter::default()
    }
}
