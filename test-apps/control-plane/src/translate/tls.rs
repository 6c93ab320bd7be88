//! TLS between sidecars: who shows what to whom. Certificates and roots are not here: both sides fetch them over SDS
//! from the node agent, under names that every mesh on Envoy uses, and in the form of xDS that the sidecar speaks anyway.

use super::message::{any, filter, milliseconds, seconds, yes};
use crate::behaviour::Security;
use crate::stream::Form;
use envoy_types::pb::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use envoy_types::pb::envoy::config::core::v3::{
    ApiConfigSource, ApiVersion, BackoffStrategy, ConfigSource, GrpcService, RetryPolicy,
    TransportSocket, api_config_source::ApiType, config_source::ConfigSourceSpecifier,
    grpc_service, transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::Filter;
use envoy_types::pb::envoy::config::rbac::v3::{
    Permission, Policy, Principal, Rbac, permission, principal, rbac::Action,
};
use envoy_types::pb::envoy::extensions::filters::http::rbac::v3::Rbac as HttpRbac;
use envoy_types::pb::envoy::extensions::filters::network::rbac::v3::Rbac as NetworkRbac;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig,
    SubjectAltNameMatcher, TlsParameters, UpstreamTlsContext,
    certificate_validation_context::TrustChainVerification,
    common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
    subject_alt_name_matcher::SanType,
    tls_parameters::TlsProtocol,
};
use envoy_types::pb::envoy::r#type::matcher::v3::{StringMatcher, string_matcher::MatchPattern};
use envoy_types::pb::google::protobuf::{Struct, Value, value};

/// The cluster in a sidecar's own bootstrap that leads to the node agent.
const NODE_AGENT_CLUSTER: &str = "node-agent";
/// The sidecar's own certificate and key.
const CERTIFICATE: &str = "default";
/// The roots that it trusts.
const ROOTS: &str = "ROOTCA";
/// Connections whose caller is not on the list are counted in a stat with this in its name, which the launcher has sidecars make
/// (`NOT_ALLOWED` there). Requests are not: what takes them counts those in a stat of its own.
const ALLOWED: &str = "allow";

/// What sidecars offer in ALPN (RFC 7301) so that a callee can tell them from applications that speak TLS themselves. The
/// callee chooses none: what is spoken inside is told by its first bytes, as without TLS.
pub(super) const ALPN: &str = "mesh";

/// What endpoints that take TLS carry, by which a permissive caller tells them.
pub(super) fn taken() -> Struct {
    let yes = Value {
        kind: Some(value::Kind::BoolValue(true)),
    };
    Struct {
        fields: [("takesTls".to_owned(), yes)].into(),
    }
}

/// [`upstream`] to endpoints that take it; to the others what the cluster has without.
pub(super) fn upstream_where_taken(
    callees: &[String],
    security: Security,
    form: Form,
) -> TransportSocketMatch {
    TransportSocketMatch {
        name: "takes-tls".to_owned(),
        r#match: Some(taken()),
        transport_socket: Some(upstream(callees, security, form)),
    }
}

/// What a caller's sidecar does: shows its certificate, and takes only callees that are one of `callees` (SPIFFE IDs).
pub(super) fn upstream(callees: &[String], security: Security, form: Form) -> TransportSocket {
    let checks = security.callees;
    let names = if checks.is_who_was_called {
        let exact = callees.iter().map(|id| MatchPattern::Exact(id.clone()));
        // An empty list would mean anybody.
        let nobody = callees
            .is_empty()
            .then(|| MatchPattern::Exact("spiffe://nobody".to_owned()));
        exact.chain(nobody).map(uri).collect()
    } else {
        Vec::new()
    };
    let accepted = CertificateValidationContext {
        trust_chain_verification: verification(checks.root_is_known).into(),
        allow_expired_certificate: !checks.end_is_to_come,
        ..of(names)
    };
    let oldest = oldest(security);
    socket(&UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            alpn_protocols: vec![ALPN.to_owned()],
            ..common(accepted, versions(oldest, oldest), form)
        }),
        ..UpstreamTlsContext::default()
    })
}

/// What a callee's sidecar does: shows its certificate, and takes callers of the trust domain only.
pub(super) fn downstream(trust_domain: &str, security: Security, form: Form) -> TransportSocket {
    let checks = security.callers;
    let of_the_domain = MatchPattern::Prefix(format!("spiffe://{trust_domain}/"));
    let accepted = CertificateValidationContext {
        trust_chain_verification: verification(checks.root_is_known).into(),
        allow_expired_certificate: !checks.end_is_to_come,
        // Who may come without a certificate may come without a name: Envoy takes a list of names for a demand of both.
        ..of((checks.one_is_required && checks.is_of_the_domain)
            .then(|| uri(of_the_domain))
            .into_iter()
            .collect())
    };
    let spoken = versions(oldest(security), TlsProtocol::TlSv13);
    socket(&DownstreamTlsContext {
        common_tls_context: Some(common(accepted, spoken, form)),
        require_client_certificate: checks.one_is_required.then(yes).flatten(),
        ..DownstreamTlsContext::default()
    })
}

/// Closes every connection that comes to it.
pub(super) fn refuse(stat_prefix: &str) -> Filter {
    filter(
        "envoy.filters.network.rbac",
        any(&NetworkRbac {
            rules: Some(Rbac {
                action: Action::Allow.into(),
                ..Rbac::default()
            }),
            stat_prefix: stat_prefix.to_owned(),
            ..NetworkRbac::default()
        }),
    )
}

/// Lets in requests whose caller's certificate carries one of these SPIFFE IDs.
pub(super) fn allow_only(callers: &[String]) -> HttpRbac {
    HttpRbac {
        rules: Some(of_callers(callers)),
        ..HttpRbac::default()
    }
}

/// As [`allow_only`], for connections of which nothing else is known.
pub(super) fn allow_only_connections(callers: &[String]) -> Filter {
    filter(
        "envoy.filters.network.rbac",
        any(&NetworkRbac {
            rules: Some(of_callers(callers)),
            stat_prefix: ALLOWED.to_owned(),
            ..NetworkRbac::default()
        }),
    )
}

fn of_callers(callers: &[String]) -> Rbac {
    let principals = callers
        .iter()
        .map(|id| Principal {
            identifier: Some(principal::Identifier::Authenticated(
                principal::Authenticated {
                    principal_name: Some(text(MatchPattern::Exact(id.clone()))),
                },
            )),
        })
        .collect();
    let policy = Policy {
        permissions: vec![Permission {
            rule: Some(permission::Rule::Any(true)),
        }],
        principals,
        ..Policy::default()
    };
    Rbac {
        action: Action::Allow.into(),
        // A policy without principals is invalid, and none at all lets nobody in. One entry only: a map with more
        // would be encoded in a random order.
        policies: (!callers.is_empty())
            .then(|| ("allow".to_owned(), policy))
            .into_iter()
            .collect(),
        ..Rbac::default()
    }
}

/// Certificates with one of these names.
fn of(names: Vec<SubjectAltNameMatcher>) -> CertificateValidationContext {
    CertificateValidationContext {
        match_typed_subject_alt_names: names,
        ..CertificateValidationContext::default()
    }
}

/// What becomes of a certificate that leads to no known root.
fn verification(root_is_known: bool) -> TrustChainVerification {
    if root_is_known {
        TrustChainVerification::VerifyTrustChain
    } else {
        TrustChainVerification::AcceptUntrusted
    }
}

/// The oldest version that is spoken.
fn oldest(security: Security) -> TlsProtocol {
    if security.newest_tls_alone {
        TlsProtocol::TlSv13
    } else {
        TlsProtocol::TlSv12
    }
}

/// From which version to which. A sidecar as a client would stop at 1.2 by itself.
fn versions(oldest: TlsProtocol, newest: TlsProtocol) -> TlsParameters {
    TlsParameters {
        tls_minimum_protocol_version: oldest.into(),
        tls_maximum_protocol_version: newest.into(),
        ..TlsParameters::default()
    }
}

fn common(
    accepted: CertificateValidationContext,
    spoken: TlsParameters,
    form: Form,
) -> CommonTlsContext {
    CommonTlsContext {
        tls_params: Some(spoken),
        tls_certificate_sds_secret_configs: vec![secret(CERTIFICATE, form)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(
            CombinedCertificateValidationContext {
                default_validation_context: Some(accepted),
                validation_context_sds_secret_config: Some(secret(ROOTS, form)),
                ..CombinedCertificateValidationContext::default()
            },
        )),
        ..CommonTlsContext::default()
    }
}

fn secret(name: &str, form: Form) -> SdsSecretConfig {
    let api_type = match form {
        Form::StateOfTheWorld => ApiType::Grpc,
        Form::Delta => ApiType::DeltaGrpc,
    };
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            resource_api_version: ApiVersion::V3.into(),
            // What was there before goes on until the certificate has come, however long that takes.
            initial_fetch_timeout: seconds(0),
            config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(
                ApiConfigSource {
                    api_type: api_type.into(),
                    transport_api_version: ApiVersion::V3.into(),
                    set_node_on_first_message_only: true,
                    grpc_services: vec![GrpcService {
                        target_specifier: Some(grpc_service::TargetSpecifier::EnvoyGrpc(
                            grpc_service::EnvoyGrpc {
                                cluster_name: NODE_AGENT_CLUSTER.to_owned(),
                                // How soon an agent that is back is found: the defaults go up to half a minute.
                                retry_policy: Some(RetryPolicy {
                                    retry_back_off: Some(BackoffStrategy {
                                        base_interval: milliseconds(30),
                                        max_interval: seconds(1),
                                    }),
                                    ..RetryPolicy::default()
                                }),
                                ..grpc_service::EnvoyGrpc::default()
                            },
                        )),
                        ..GrpcService::default()
                    }],
                    ..ApiConfigSource::default()
                },
            )),
            ..ConfigSource::default()
        }),
    }
}

fn uri(pattern: MatchPattern) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher {
        san_type: SanType::Uri.into(),
        matcher: Some(text(pattern)),
        ..SubjectAltNameMatcher::default()
    }
}

fn text(pattern: MatchPattern) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(pattern),
        ..StringMatcher::default()
    }
}

fn socket<M: prost::Message + prost::Name>(context: &M) -> TransportSocket {
    TransportSocket {
        name: "envoy.transport_sockets.tls".to_owned(),
        config_type: Some(transport_socket::ConfigType::TypedConfig(any(context))),
    }
}
