//! LDS: where captured connections arrive. HTTP is routed, everything else goes where it wanted to go.

use super::cluster::{PASSTHROUGH, inbound_name};
use super::message::{any, filter, milliseconds, number, over_ads, socket, yes};
use super::{INBOUND_PORT, OUTBOUND_PORT, OUTBOUND_ROUTES, inbound_ports, resources, tls};
use crate::behaviour::Security;
use crate::snapshot::{Kind, Resources};
use crate::world::World;
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLogFilter, ComparisonFilter, StatusCodeFilter, access_log_filter, comparison_filter,
};
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{
    HeaderMutation as Mutation, header_mutation::Action,
};
use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, RuntimeUInt32, TrafficDirection,
    header_value_option::HeaderAppendAction,
};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, listener_filter,
};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action as RouteTo,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, LocalReplyConfig, Rds, ResponseMapper,
    http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier as TcpCluster,
};
use envoy_types::pb::google::protobuf::Any;
use mesh_api::{InboundTls, TlsPolicy};
use prost::Message as _;

/// Says at the callee which sidecar sent the request. Added here and not in the routes, so that sidecars
/// with equal rules share their routes.
const OUTBOUND_HEADER: &str = "x-mesh-outbound";
/// Says at the callee which sidecar took the request in.
const INBOUND_HEADER: &str = "x-mesh-inbound";

/// Says at the callee how the request came to its sidecar: TLS version, cipher, the caller's SPIFFE ID and the serial
/// number of its certificate, each empty where there is none.
const INBOUND_TLS_HEADER: &str = "x-mesh-inbound-tls";
const INBOUND_TLS: &str = "version=%DOWNSTREAM_TLS_VERSION%;cipher=%DOWNSTREAM_TLS_CIPHER%;peer=%DOWNSTREAM_PEER_URI_SAN%;serial=%DOWNSTREAM_PEER_SERIAL%";
/// Says at the caller why a sidecar answered in the callee's place.
const FAILURE_HEADER: &str = "x-mesh-failure";
const FAILURE: &str = "%RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%";

pub(super) fn listeners(
    world: &World,
    pod: &str,
    tls: &TlsPolicy,
    security: Security,
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
        security,
    };
    let all = [outbound(pod), inbound.listener()];
    resources(
        Kind::Listeners,
        all.map(|listener| (listener.name.clone(), listener.encode_to_vec())),
    )
}

fn outbound(pod: &str) -> Listener {
    let routes = RouteSpecifier::Rds(Rds {
        config_source: over_ads(),
        route_config_name: OUTBOUND_ROUTES.into(),
    });
    Listener {
        filter_chains: vec![FilterChain {
            name: "http".into(),
            filter_chain_match: Some(FilterChainMatch {
                application_protocols: ["http/1.0", "http/1.1", "h2c"].map(str::to_owned).into(),
                ..FilterChainMatch::default()
            }),
            filters: vec![http("outbound", routes, &[(OUTBOUND_HEADER, pod)], None)],
            ..FilterChain::default()
        }],
        listener_filters: vec![original_destination(), http_inspector()],
        ..listener("outbound", OUTBOUND_PORT, TrafficDirection::Outbound)
    }
}

/// What comes in to one sidecar.
struct Inbound<'a> {
    world: &'a World,
    pod: &'a str,
    mode: InboundTls,
    /// The callers that are let in; none: everybody.
    allow: Option<Vec<String>>,
    security: Security,
}

impl Inbound<'_> {
    fn listener(&self) -> Listener {
        // Without TLS nothing is inspected: who waits for the server's first word is not kept waiting.
        let inspector = (self.mode != InboundTls::Plaintext).then(tls_inspector);
        Listener {
            filter_chains: inbound_ports(&self.world.services)
                .into_iter()
                .flat_map(|port| self.chains(port))
                .collect(),
            listener_filters: [original_destination()]
                .into_iter()
                .chain(inspector)
                .collect(),
            ..listener("inbound", INBOUND_PORT, TrafficDirection::Inbound)
        }
    }

    /// The most specific chain takes a connection.
    fn chains(&self, port: u16) -> Vec<FilterChain> {
        let name = inbound_name(port);
        let chain = |suffix: &str, filters| FilterChain {
            name: format!("{name}{suffix}"),
            filter_chain_match: Some(on_port(port)),
            filters,
            ..FilterChain::default()
        };
        let plain = || chain("", vec![self.requests(port)]);
        let of_mesh = || FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                application_protocols: vec![tls::ALPN.to_owned()],
                ..on_port(port)
            }),
            transport_socket: Some(tls::downstream(&self.world.trust_domain)),
            ..chain(":mesh", vec![self.requests(port)])
        };
        // Applications may speak TLS themselves.
        let of_application = || FilterChain {
            filter_chain_match: Some(FilterChainMatch {
                transport_protocol: "tls".to_owned(),
                ..on_port(port)
            }),
            ..chain(":tls", vec![bytes(&name)])
        };
        match self.mode {
            InboundTls::Plaintext => vec![plain()],
            InboundTls::Permissive => vec![of_mesh(), of_application(), plain()],
            InboundTls::Strict if self.security.plaintext_is_refused => {
                vec![
                    of_mesh(),
                    chain(
                        ":refused",
                        // The last filter of a chain must be one that goes on.
                        vec![tls::refuse("strict"), bytes(&name)],
                    ),
                ]
            }
            InboundTls::Strict => vec![of_mesh(), plain()],
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
}

fn on_port(port: u16) -> FilterChainMatch {
    FilterChainMatch {
        destination_port: number(u32::from(port)),
        ..FilterChainMatch::default()
    }
}

/// All requests to the application behind the sidecar.
fn to_application(port: u16) -> RouteSpecifier {
    let name = inbound_name(port);
    RouteSpecifier::RouteConfig(RouteConfiguration {
        name: name.clone(),
        virtual_hosts: vec![VirtualHost {
            name: name.clone(),
            domains: vec!["*".into()],
            routes: vec![Route {
                name: "default".into(),
                r#match: Some(RouteMatch {
                    path_specifier: Some(PathSpecifier::Prefix("/".into())),
                    ..RouteMatch::default()
                }),
                action: Some(RouteTo::Route(RouteAction {
                    cluster_specifier: Some(ClusterSpecifier::Cluster(name)),
                    // The caller decides how long it waits.
                    timeout: milliseconds(0),
                    ..RouteAction::default()
                })),
                ..Route::default()
            }],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    })
}

fn listener(name: &str, port: u16, direction: TrafficDirection) -> Listener {
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
        listener_filters_timeout: milliseconds(1000),
        continue_on_listener_filters_timeout: true,
        ..Listener::default()
    }
}

/// Passes bytes on to a cluster.
fn bytes(cluster: &str) -> Filter {
    filter(
        "envoy.filters.network.tcp_proxy",
        any(&TcpProxy {
            stat_prefix: cluster.into(),
            cluster_specifier: Some(TcpCluster::Cluster(cluster.into())),
            ..TcpProxy::default()
        }),
    )
}

fn http(
    prefix: &str,
    routes: RouteSpecifier,
    headers: &[(&str, &str)],
    access: Option<HttpRbac>,
) -> Filter {
    let access = access.map(|rules| http_filter("envoy.filters.http.rbac", any(&rules)));
    let evidence = http_filter(
        "envoy.filters.http.header_mutation",
        any(&set_headers(headers)),
    );
    let router = http_filter("envoy.filters.http.router", any(&Router::default()));
    let manager = HttpConnectionManager {
        stat_prefix: prefix.into(),
        route_specifier: Some(routes),
        http_filters: access.into_iter().chain([evidence, router]).collect(),
        normalize_path: yes(),
        local_reply_config: Some(tell_why()),
        ..HttpConnectionManager::default()
    };
    filter(
        "envoy.filters.network.http_connection_manager",
        any(&manager),
    )
}

/// Every answer that a sidecar gives in the callee's place says why.
fn tell_why() -> LocalReplyConfig {
    let failed = AccessLogFilter {
        filter_specifier: Some(access_log_filter::FilterSpecifier::StatusCodeFilter(
            StatusCodeFilter {
                comparison: Some(ComparisonFilter {
                    op: comparison_filter::Op::Ge.into(),
                    value: Some(RuntimeUInt32 {
                        default_value: 400,
                        runtime_key: "mesh.told_from".to_owned(),
                    }),
                }),
            },
        )),
    };
    LocalReplyConfig {
        mappers: vec![ResponseMapper {
            filter: Some(failed),
            headers_to_add: vec![header(FAILURE_HEADER, FAILURE)],
            ..ResponseMapper::default()
        }],
        ..LocalReplyConfig::default()
    }
}

fn header(name: &str, value: &str) -> HeaderValueOption {
    HeaderValueOption {
        header: Some(HeaderValue {
            key: name.into(),
            value: value.into(),
            ..HeaderValue::default()
        }),
        // What an application sent under this name is no testimony.
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    }
}

fn set_headers(headers: &[(&str, &str)]) -> HeaderMutation {
    HeaderMutation {
        mutations: Some(Mutations {
            request_mutations: headers
                .iter()
                .map(|(name, value)| Mutation {
                    action: Some(Action::Append(header(name, value))),
                })
                .collect(),
            ..Mutations::default()
        }),
        ..HeaderMutation::default()
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

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}
