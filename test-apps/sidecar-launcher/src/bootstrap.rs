//! The sidecar's bootstrap configuration: who it is, where the control plane is, and nothing that the control
//! plane can say itself.

use crate::settings::{Settings, XdsForm};
use serde_json::{Value, json};
use std::path::Path;

/// The cluster whose stats and connections are those of the control plane.
const CONTROL_PLANE_CLUSTER: &str = "xds";

/// The cluster that leads to the node agent: resources of the control plane refer to it by this name.
const NODE_AGENT_CLUSTER: &str = "node-agent";

/// The runtime layer that the control plane fills over RTDS.
const RUNTIME_LAYER: &str = "mesh";

/// Counts the connections that the control plane's configuration leads nowhere: those that a strict sidecar refuses. Its filter
/// for access counts none of them: the next one, which leads nowhere, closes them before they have said anything. The probe goes
/// by it where it stands here.
const TURNED_AWAY: &str = "tcp.nowhere.downstream_cx_no_route";

/// Counts the connections of bytes whose caller is not on the list of those who may call. The probe goes by it, too, where it
/// stands here. Requests are in none of these: they are answered, and that says why.
const NOT_ALLOWED: &str = "allow.rbac.denied";

/// The files with the generic secrets that name the token files; the sidecar watches them and the tokens.
const TOKEN_SECRET_FILE: &str = "token-secret.json";
const NODE_AGENT_TOKEN_SECRET_FILE: &str = "node-agent-token-secret.json";

/// The secrets that the bootstrap refers to, by the names of their files.
pub(crate) fn token_secrets(settings: &Settings) -> [(&'static str, Value); 2] {
    [
        (TOKEN_SECRET_FILE, token_secret(&settings.token_file)),
        (
            NODE_AGENT_TOKEN_SECRET_FILE,
            token_secret(&settings.sds_token_file),
        ),
    ]
}

/// The bootstrap as JSON. `folder` holds [`token_secrets`].
pub(crate) fn bootstrap(settings: &Settings, folder: &Path) -> Value {
    json!({
        "node": {
            // Only for people: the control plane decides by the token, never by what a client claims.
            "id": format!("{}.{}", settings.pod_name, settings.pod_namespace),
            "cluster": settings.application,
            "locality": { "region": settings.region, "zone": settings.zone },
        },
        "admin": {
            "address": { "socket_address": { "address": "127.0.0.1", "port_value": settings.admin_port } },
            // The probe asks often; none of it is worth a log line.
            "access_log": [],
        },
        "dynamic_resources": {
            "ads_config": {
                "api_type": match settings.form {
                    XdsForm::StateOfTheWorld => "GRPC",
                    XdsForm::Delta => "DELTA_GRPC",
                },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{
                    "envoy_grpc": {
                        "cluster_name": CONTROL_PLANE_CLUSTER,
                        // How soon a lost stream is made again. The defaults (500 ms, up to 30 s) would hide
                        // a control plane that is back behind the sidecar's own patience.
                        "retry_policy": {
                            "retry_back_off": { "base_interval": "0.03s", "max_interval": "1s" },
                        },
                    },
                }],
            },
            "lds_config": ads(),
            "cds_config": ads(),
        },
        "static_resources": { "clusters": clusters(settings, folder) },
        "layered_runtime": {
            "layers": [
                { "name": RUNTIME_LAYER, "rtds_layer": { "name": RUNTIME_LAYER, "rtds_config": ads() } },
                { "name": "admin", "admin_layer": {} },
            ],
        },
        "stats_config": { "stats_matcher": { "inclusion_list": { "patterns": stats() } } },
    })
}

/// The clusters that no control plane can tell of.
fn clusters(settings: &Settings, folder: &Path) -> Vec<Value> {
    let node_agent = settings
        .sds_socket
        .as_deref()
        .map(|socket| node_agent_cluster(socket, folder));
    [control_plane_cluster(settings, folder)]
        .into_iter()
        .chain(node_agent)
        .collect()
}

/// Without a configuration there is nothing to serve with: by itself a sidecar counts as live after fifteen seconds without one.
fn ads() -> Value {
    json!({ "ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s" })
}

/// The launcher's relay as a cluster. TLS goes through the relay to the control plane itself.
fn control_plane_cluster(settings: &Settings, folder: &Path) -> Value {
    json!({
        "name": CONTROL_PLANE_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": CONTROL_PLANE_CLUSTER,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": { "socket_address": {
                "address": "127.0.0.1", "port_value": settings.relay_port,
            } } } }] }],
        },
        "transport_socket": {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
                "sni": settings.control_plane_name,
                "common_tls_context": {
                    "alpn_protocols": ["h2"],
                    "validation_context": {
                        "trusted_ca": { "filename": settings.root_file },
                        "match_typed_subject_alt_names": [
                            { "san_type": "DNS", "matcher": { "exact": settings.control_plane_name } },
                        ],
                    },
                },
            },
        },
        "typed_extension_protocol_options": http2_with_token(&folder.join(TOKEN_SECRET_FILE), &json!({
            // A control plane behind a cut link does not answer and does not close: pings find out.
            "connection_keepalive": { "interval": "2s", "timeout": "2s" },
        })),
    })
}

/// The node agent behind its Unix socket. Whoever can open the socket still has to say which pod it is.
fn node_agent_cluster(socket: &Path, folder: &Path) -> Value {
    json!({
        "name": NODE_AGENT_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": NODE_AGENT_CLUSTER,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": { "pipe": { "path": socket } } } }] }],
        },
        "typed_extension_protocol_options":
            http2_with_token(&folder.join(NODE_AGENT_TOKEN_SECRET_FILE), &json!({})),
    })
}

/// gRPC with a bearer token in each request, read from where the secret in `file` says.
fn http2_with_token(file: &Path, http2: &Value) -> Value {
    json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": { "http2_protocol_options": http2 },
            "http_filters": [
                {
                    "name": "envoy.filters.http.credential_injector",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
                        "overwrite": true,
                        "credential": {
                            "name": "envoy.http.injected_credentials.generic",
                            "typed_config": {
                                "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                                "credential": {
                                    "name": "token",
                                    "sds_config": { "path_config_source": { "path": file } },
                                },
                                "header": "authorization",
                                "header_value_prefix": "Bearer ",
                            },
                        },
                    },
                },
                {
                    "name": "envoy.filters.http.upstream_codec",
                    "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
                    },
                },
            ],
        },
    })
}

/// The token as a secret that the sidecar reads from its file, again whenever the folder's content is moved
/// into place, as a kubelet does when it renews a projected token.
fn token_secret(token: &Path) -> Value {
    let folder = token.parent().unwrap_or(Path::new("/"));
    json!({
        "resources": [{
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": "token",
            "generic_secret": { "secret": {
                "filename": token,
                "watched_directory": { "path": folder },
            } },
        }],
    })
}

/// Patterns of the stats that somebody reads, and few others: whether it is live, the connection to the control plane,
/// updates of each xDS type, the streams of secrets and whom it turns away or does not let in, which the probe goes by
/// (`reading/stats.rs` there), and the requests under way, which are waited for when it drains. Envoy has a hundred more for each
/// cluster, makes them anew with each update of it, and walks through all whenever it is asked for some: as much work as all its
/// configuration is.
fn stats() -> Value {
    json!([
        { "exact": "server.state" },
        { "prefix": "control_plane." },
        { "prefix": "listener_manager." },
        { "prefix": "cluster_manager." },
        { "prefix": "runtime." },
        { "prefix": "sds." },
        { "suffix": ".update_success" },
        { "suffix": ".update_rejected" },
        { "suffix": ".update_time" },
        { "suffix": ".version_text" },
        { "suffix": ".config_reload" },
        { "suffix": ".downstream_rq_active" },
        { "exact": TURNED_AWAY },
        { "exact": NOT_ALLOWED },
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stats_are_there_that_somebody_reads() {
        let patterns = stats();
        let is_made = |name: &str| {
            patterns.as_array().unwrap().iter().any(|pattern| {
                let has = |kind: &str, matches: fn(&str, &str) -> bool| {
                    pattern[kind]
                        .as_str()
                        .is_some_and(|text| matches(name, text))
                };
                has("exact", |name, text| name == text)
                    || has("prefix", |name, text| name.starts_with(text))
                    || has("suffix", |name, text| name.ends_with(text))
            })
        };
        let read = [
            // By the probe.
            "allow.rbac.denied",
            "cluster.checkout.ns_8080.update_rejected",
            "cluster.checkout.ns_8080.update_success",
            "cluster.checkout.ns_8080.update_time",
            "cluster.checkout.ns_8080.version_text",
            "cluster_manager.cds.update_success",
            "cluster_manager.warming_clusters",
            "control_plane.connected_state",
            "control_plane.identifier",
            "http.outbound.rds.outbound.config_reload",
            "http.outbound.rds.outbound.update_rejected",
            "http.outbound.rds.outbound.update_success",
            "http.outbound.rds.outbound.update_time",
            "listener_manager.lds.update_time",
            "listener_manager.total_filter_chains_draining",
            "listener_manager.total_listeners_active",
            "listener_manager.total_listeners_draining",
            "listener_manager.total_listeners_warming",
            "runtime.load_success",
            "runtime.update_time",
            "runtime.version_text",
            "sds.default.update_attempt",
            "sds.default.update_failure",
            "sds.default.update_success",
            "server.state",
            "tcp.nowhere.downstream_cx_no_route",
            // By us, when it drains (`admin.rs`).
            "http.inbound.downstream_rq_active",
        ];
        let lacking: Vec<&str> = read.into_iter().filter(|name| !is_made(name)).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
        assert!(!is_made("cluster.checkout.ns_8080.upstream_rq_total"));
        // Of requests, which are no connections of bytes.
        assert!(!is_made("http.inbound.rbac.denied"));
    }

    #[test]
    fn the_control_plane_is_only_trusted_by_name_and_root() {
        let settings = Settings::from_variables(|name| match name {
            "XDS_ADDRESS" => Some("control-plane.mesh-system.svc:15012".to_owned()),
            _ => None,
        })
        .unwrap();
        let bootstrap = bootstrap(&settings, Path::new("/run/sidecar"));
        let context = bootstrap
            .pointer("/static_resources/clusters/0/transport_socket/typed_config")
            .unwrap();
        assert_eq!(context["sni"], "control-plane.mesh-system.svc");
        let names =
            &context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"];
        assert_eq!(
            names[0]["matcher"]["exact"],
            "control-plane.mesh-system.svc"
        );
    }

    #[test]
    fn the_form_is_what_the_pod_says() {
        let read = |form: Option<&str>| {
            Settings::from_variables(|name| match name {
                "XDS_ADDRESS" => Some("c:1".to_owned()),
                "XDS_FORM" => form.map(str::to_owned),
                _ => None,
            })
        };
        let path = "/dynamic_resources/ads_config/api_type";
        for (form, expected) in [
            (None, "GRPC"),
            (Some("sotw"), "GRPC"),
            (Some("delta"), "DELTA_GRPC"),
        ] {
            let bootstrap = bootstrap(&read(form).unwrap(), Path::new("/run/sidecar"));
            assert_eq!(bootstrap.pointer(path), Some(&json!(expected)));
        }
        let refused = read(Some("mixed")).unwrap_err().to_string();
        assert!(refused.contains("`mixed`"), "{refused}");
    }

    #[test]
    fn the_token_itself_is_nowhere_in_the_configuration() {
        let settings = Settings::from_variables(|name| match name {
            "XDS_ADDRESS" => Some("c:1".to_owned()),
            "TOKEN_FILE" => Some("/tokens/token".to_owned()),
            _ => None,
        })
        .unwrap();
        let [(_, secret), _] = token_secrets(&settings);
        assert_eq!(
            secret.pointer("/resources/0/generic_secret/secret/filename"),
            Some(&json!("/tokens/token"))
        );
    }

    #[test]
    fn the_node_agent_is_known_where_there_is_one() {
        let with = |socket: Option<&str>| {
            let settings = Settings::from_variables(|name| match name {
                "XDS_ADDRESS" => Some("c:1".to_owned()),
                "SDS_SOCKET" => socket.map(str::to_owned),
                _ => None,
            })
            .unwrap();
            bootstrap(&settings, Path::new("/run/sidecar"))
        };
        let path = "/static_resources/clusters/1/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/pipe/path";
        assert_eq!(
            with(Some("/run/agent/sds.sock")).pointer(path),
            Some(&json!("/run/agent/sds.sock"))
        );
        assert_eq!(with(None).pointer("/static_resources/clusters/1"), None);
    }
}
