//! What a chain of a listener does with a connection, and what it leaves behind of that for people and probes.

use super::super::cluster::inbound_name;
use super::super::message::{any, filter, milliseconds, number, yes};
use envoy_types::pb::envoy::config::accesslog::v3::{
    AccessLog, AccessLogFilter, ComparisonFilter, StatusCodeFilter, access_log, access_log_filter,
    comparison_filter,
};
use envoy_types::pb::envoy::config::common::mutation_rules::v3::{
    HeaderMutation as Mutation, header_mutation::Action,
};
use envoy_types::pb::envoy::config::core::v3::{
    DataSource, HeaderValue, HeaderValueOption, RuntimeUInt32, SubstitutionFormatString,
    data_source::Specifier, header_value_option::HeaderAppendAction,
    substitution_format_string::Format,
};
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::route::v3::{
    Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost, route::Action as RouteTo,
    route_action::ClusterSpecifier, route_match::PathSpecifier,
};
use envoy_types::pb::envoy::extensions::access_loggers::stream::v3::{
    StdoutAccessLog, stdout_access_log::AccessLogFormat,
};
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::{
    HeaderMutation, Mutations,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, HttpFilter, LocalReplyConfig, ResponseMapper,
    http_connection_manager::RouteSpecifier, http_filter,
};
use envoy_types::pb::envoy::extensions::filters::network::tcp_proxy::v3::{
    TcpProxy, UpstreamConnectMode, tcp_proxy::ClusterSpecifier as TcpCluster,
    tcp_proxy::TcpAccessLogOptions,
};
use envoy_types::pb::google::protobuf::Any;

/// Says at the callee which sidecar sent the request. Added here and not in the routes, so that sidecars
/// with equal rules share their routes.
pub(super) const OUTBOUND_HEADER: &str = "x-mesh-outbound";
/// Says at the callee which sidecar took the request in.
pub(super) const INBOUND_HEADER: &str = "x-mesh-inbound";

/// Says at the callee how the request came to its sidecar: TLS version, cipher, the caller's SPIFFE ID and the serial
/// number of its certificate, each empty where there is none.
pub(super) const INBOUND_TLS_HEADER: &str = "x-mesh-inbound-tls";
pub(super) const INBOUND_TLS: &str = "version=%DOWNSTREAM_TLS_VERSION%;cipher=%DOWNSTREAM_TLS_CIPHER%;peer=%DOWNSTREAM_PEER_URI_SAN%;serial=%DOWNSTREAM_PEER_SERIAL%";
/// Says at the caller why a sidecar answered in the callee's place.
pub(super) const FAILURE_HEADER: &str = "x-mesh-failure";
const FAILURE: &str = "%RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%";
/// Says at the caller how a connection of bytes ended: which TLS the callee spoke, and what was wrong with it.
pub(super) const CONNECTION_FAILURE: &str = "upstream-tls=%UPSTREAM_TLS_VERSION% flags=%RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%";

/// Which end of a connection between sidecar and application the other knows it by.
#[derive(Clone, Copy, Debug)]
pub(super) enum KnownBy {
    /// The application called.
    Caller,
    /// The sidecar called.
    Callee,
}

/// Passes bytes on to a cluster.
pub(super) fn bytes(cluster: &str) -> Filter {
    tcp_proxy(TcpProxy {
        stat_prefix: cluster.into(),
        cluster_specifier: Some(TcpCluster::Cluster(cluster.into())),
        ..TcpProxy::default()
    })
}

/// [`bytes()`], and tells the application in the same pod what `says` says of each connection: its own bytes have no
/// place for that.
pub(super) fn told_bytes(
    cluster: &str,
    attempts: u32,
    known_by: KnownBy,
    says: &[(&str, &str)],
) -> Filter {
    // An application is called for nobody whose certificate was not looked at yet, and then it can be told of it.
    let (connect, early) = match known_by {
        KnownBy::Caller => (UpstreamConnectMode::Immediate, None),
        KnownBy::Callee => (UpstreamConnectMode::OnDownstreamTlsHandshake, number(0)),
    };
    tcp_proxy(TcpProxy {
        upstream_connect_mode: connect.into(),
        max_early_data_bytes: early,
        stat_prefix: cluster.into(),
        cluster_specifier: Some(TcpCluster::Cluster(cluster.into())),
        max_connect_attempts: number(attempts),
        access_log: vec![tell(known_by, says)],
        access_log_options: Some(TcpAccessLogOptions {
            flush_access_log_on_connected: true,
            ..TcpAccessLogOptions::default()
        }),
        ..TcpProxy::default()
    })
}

fn tcp_proxy(proxy: TcpProxy) -> Filter {
    filter("envoy.filters.network.tcp_proxy", any(&proxy))
}

/// A line on standard output in the form of the launcher's `ConnectionTold`.
fn tell(known_by: KnownBy, says: &[(&str, &str)]) -> AccessLog {
    let application = match known_by {
        KnownBy::Caller => "%DOWNSTREAM_REMOTE_ADDRESS%",
        KnownBy::Callee => "%UPSTREAM_LOCAL_ADDRESS%",
    };
    let says: serde_json::Map<_, _> = says
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).into()))
        .collect();
    // As text: the fields of Envoy's own JSON would be encoded in a random order.
    let line = serde_json::json!({
        "application": application,
        "moment": "%ACCESS_LOG_TYPE%",
        "says": says,
    });
    AccessLog {
        name: "envoy.access_loggers.stdout".to_owned(),
        config_type: Some(access_log::ConfigType::TypedConfig(any(&StdoutAccessLog {
            access_log_format: Some(AccessLogFormat::LogFormat(SubstitutionFormatString {
                format: Some(Format::TextFormatSource(DataSource {
                    specifier: Some(Specifier::InlineString(format!("{line}\n"))),
                    ..DataSource::default()
                })),
                ..SubstitutionFormatString::default()
            })),
        }))),
        ..AccessLog::default()
    }
}

/// All requests to the application behind the sidecar.
pub(super) fn to_application(port: u16) -> RouteSpecifier {
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

/// Takes requests and says of each what `headers` say.
pub(super) fn http(
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

fn http_filter(name: &str, config: Any) -> HttpFilter {
    HttpFilter {
        name: name.into(),
        config_type: Some(http_filter::ConfigType::TypedConfig(config)),
        ..HttpFilter::default()
    }
}
