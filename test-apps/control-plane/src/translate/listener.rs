//! LDS: where captured connections arrive. HTTP is routed, everything else goes where it wanted to go.

use super::cluster::{PASSTHROUGH, inbound_name};
use super::message::{any, milliseconds, number, over_ads, socket, yes};
use super::{INBOUND_PORT, OUTBOUND_PORT, OUTBOUND_ROUTES, inbound_ports, resources};
use crate::snapshot::{Kind, Resources};
use crate::world::Services;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{
    HeaderMutation as Mutation, header_mutation::Action,
};
use envoy_types::pb::envoy::config::core::v3::{
    HeaderValue, HeaderValueOption, TrafficDirection, header_value_option::HeaderAppendAction,
};
use envoy_types::pb::envoy::config::listener::v3::{
    Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter, filter, listener_filter,
};
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action as RouteTo,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::listener::http_inspector::v3::HttpInspector;
use envoy_types::pb::envoy::extensions::filters::listener::original_dst::v3::OriginalDst;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, Rds, http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, tcp_proxy::ClusterSpecifier as TcpCluster,
};
use envoy_types::pb::google::protobuf::Any;
use prost::Message as _;

/// Says at the callee which sidecar sent the request. Added here and not in the routes, so that sidecars
/// with equal rules share their routes.
const OUTBOUND_HEADER: &str = "x-mesh-outbound";
/// Says at the callee which sidecar took the request in.
const INBOUND_HEADER: &str = "x-mesh-inbound";

pub(super) fn listeners(services: &Services, pod: &str) -> Resources {
    let all = [outbound(pod), inbound(services, pod)];
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
            filters: vec![http("outbound", routes, OUTBOUND_HEADER, pod)],
            ..FilterChain::default()
        }],
        listener_filters: vec![original_destination(), http_inspector()],
        ..listener("outbound", OUTBOUND_PORT, TrafficDirection::Outbound)
    }
}

fn inbound(services: &Services, pod: &str) -> Listener {
    Listener {
        filter_chains: inbound_ports(services)
            .into_iter()
            .map(|port| inbound_chain(port, pod))
            .collect(),
        listener_filters: vec![original_destination()],
        ..listener("inbound", INBOUND_PORT, TrafficDirection::Inbound)
    }
}

fn inbound_chain(port: u16, pod: &str) -> FilterChain {
    let name = inbound_name(port);
    let routes = RouteSpecifier::RouteConfig(RouteConfiguration {
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
                    cluster_specifier: Some(ClusterSpecifier::Cluster(name.clone())),
                    // The caller decides how long it waits.
                    timeout: milliseconds(0),
                    ..RouteAction::default()
                })),
                ..Route::default()
            }],
            ..VirtualHost::default()
        }],
        ..RouteConfiguration::default()
    });
    FilterChain {
        name: name.clone(),
        filter_chain_match: Some(FilterChainMatch {
            destination_port: number(u32::from(port)),
            ..FilterChainMatch::default()
        }),
        filters: vec![http("inbound", routes, INBOUND_HEADER, pod)],
        ..FilterChain::default()
    }
}

fn listener(name: &str, port: u16, direction: TrafficDirection) -> Listener {
    Listener {
        name: name.into(),
        address: socket("0.0.0.0", port),
        traffic_direction: direction.into(),
        default_filter_chain: Some(FilterChain {
            name: PASSTHROUGH.into(),
            filters: vec![filter(
                "envoy.filters.network.tcp_proxy",
                any(&TcpProxy {
                    stat_prefix: PASSTHROUGH.into(),
                    cluster_specifier: Some(TcpCluster::Cluster(PASSTHROUGH.into())),
                    ..TcpProxy::default()
                }),
            )],
            ..FilterChain::default()
        }),
        // A protocol in which the server speaks first says nothing by which it could be known.
        listener_filters_timeout: milliseconds(1000),
        continue_on_listener_filters_timeout: true,
        ..Listener::default()
    }
}

fn http(prefix: &str, routes: RouteSpecifier, header: &str, pod: &str) -> Filter {
    let manager = HttpConnectionManager {
        stat_prefix: prefix.into(),
        route_specifier: Some(routes),
        http_filters: vec![
            http_filter(
                "envoy.filters.http.header_mutation",
                any(&set_header(header, pod)),
            ),
            http_filter("envoy.filters.http.router", any(&Router::default())),
        ],
        normalize_path: yes(),
        ..HttpConnectionManager::default()
    };
    filter(
        "envoy.filters.network.http_connection_manager",
        any(&manager),
    )
}

fn set_header(name: &str, value: &str) -> HeaderMutation {
    HeaderMutation {
        mutations: Some(Mutations {
            request_mutations: vec![Mutation {
                action: Some(Action::Append(HeaderValueOption {
                    header: Some(HeaderValue {
                        key: name.into(),
                        value: value.into(),
                        ..HeaderValue::default()
                    }),
                    // What an application sent under this name is no testimony.
                    append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
                    ..HeaderValueOption::default()
                })),
            }],
            ..Mutations::default()
        }),
        ..HeaderMutation::default()
    }
}

fn original_destination() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.original_dst".into(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(
            &OriginalDst::default(),
        ))),
        ..ListenerFilter::default()
    }
}

fn http_inspector() -> ListenerFilter {
    ListenerFilter {
        name: "envoy.filters.listener.http_inspector".into(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any(
            &HttpInspector::default(),
        ))),
        ..ListenerFilter::default()
    }
}

fn filter(name: &str, config: Any) -> Filter {
    Filter {
        name: name.into(),
        config_type: Some(filter::ConfigType::TypedConfig(config)),
    }
}

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}
