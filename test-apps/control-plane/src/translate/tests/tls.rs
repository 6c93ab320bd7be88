//! What listeners and clusters say of TLS.

use super::*;
use crate::behaviour::{CalleeChecks, CallerChecks};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::core::v3::{
    TransportSocket, api_config_source::ApiType, config_source::ConfigSourceSpecifier,
    transport_socket,
};
use envoy_types::pb::envoy::config::listener::v3::Listener;
use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3::{
    CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, UpstreamTlsContext,
    certificate_validation_context::TrustChainVerification,
    common_tls_context::ValidationContextType, tls_parameters::TlsProtocol,
};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use mesh_api::{InboundTls, OutboundTls, SpiffeUri};

fn snapshot(tls: TlsPolicy, security: Security) -> Snapshot {
    snapshot_in(Form::default(), tls, security)
}

fn snapshot_in(form: Form, tls: TlsPolicy, security: Security) -> Snapshot {
    let effective = Effective {
        tls,
        ..Effective::default()
    };
    Translator::default().snapshot(
        &world(),
        &sidecar("a", "west"),
        &effective,
        Traffic::default(),
        security,
        form,
    )
}

fn inbound(mode: InboundTls) -> TlsPolicy {
    TlsPolicy {
        inbound: Some(mode),
        ..TlsPolicy::default()
    }
}

fn inbound_listener(tls: TlsPolicy, security: Security) -> Listener {
    read(&snapshot(tls, security), Kind::Listeners, "inbound")
}

fn chains(listener: &Listener) -> Vec<(&str, bool)> {
    listener
        .filter_chains
        .iter()
        .map(|chain| (chain.name.as_str(), chain.transport_socket.is_some()))
        .collect()
}

fn context<M: Message + Default>(socket: &TransportSocket) -> M {
    let Some(transport_socket::ConfigType::TypedConfig(any)) = &socket.config_type else {
        panic!("a typed configuration");
    };
    M::decode(any.value.as_slice()).expect("the message")
}

fn names(common: &CommonTlsContext) -> Vec<MatchPattern> {
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        &common.validation_context_type
    else {
        panic!("a combined validation context");
    };
    let own = combined.default_validation_context.as_ref().expect("names");
    own.match_typed_subject_alt_names
        .iter()
        .filter_map(|name| name.matcher.clone()?.match_pattern)
        .collect()
}

/// In which form each secret is fetched.
fn forms(common: &CommonTlsContext) -> Vec<ApiType> {
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        &common.validation_context_type
    else {
        panic!("a combined validation context");
    };
    let roots = combined.validation_context_sds_secret_config.iter();
    let secrets = common.tls_certificate_sds_secret_configs.iter();
    secrets
        .chain(roots)
        .map(|secret| {
            let source = secret.sds_config.as_ref().expect("a source");
            let Some(ConfigSourceSpecifier::ApiConfigSource(source)) =
                &source.config_source_specifier
            else {
                panic!("a source of its own: {source:?}");
            };
            source.api_type()
        })
        .collect()
}

#[test]
fn secrets_are_fetched_in_the_form_that_the_sidecar_speaks() {
    let name = "checkout.mesh-workloads:8080";
    for (form, expected) in [
        (Form::StateOfTheWorld, ApiType::Grpc),
        (Form::Delta, ApiType::DeltaGrpc),
    ] {
        let of = |outbound| {
            let tls = TlsPolicy {
                outbound: Some(outbound),
                ..inbound(InboundTls::Strict)
            };
            snapshot_in(form, tls, Security::default())
        };
        let strict = of(OutboundTls::Strict);
        let listener: Listener = read(&strict, Kind::Listeners, "inbound");
        let callee = listener.filter_chains[0].transport_socket.as_ref();
        let callee: DownstreamTlsContext = context(callee.expect("TLS"));
        let cluster: Cluster = read(&strict, Kind::Clusters, name);
        let caller: UpstreamTlsContext = context(cluster.transport_socket.as_ref().expect("TLS"));
        let cluster: Cluster = read(&of(OutboundTls::Permissive), Kind::Clusters, name);
        let where_taken = cluster.transport_socket_matches[0]
            .transport_socket
            .as_ref();
        let where_taken: UpstreamTlsContext = context(where_taken.expect("TLS"));
        for common in [
            callee.common_tls_context,
            caller.common_tls_context,
            where_taken.common_tls_context,
        ] {
            assert_eq!(forms(&common.expect("common")), [expected, expected]);
        }
    }
}

#[test]
fn one_translator_serves_both_forms() {
    let translator = Translator::default();
    let tls = TlsPolicy {
        outbound: Some(OutboundTls::Strict),
        ..inbound(InboundTls::Strict)
    };
    let effective = Effective {
        tls,
        ..Effective::default()
    };
    let [one, other] = Form::ALL.map(|form| {
        translator.snapshot(
            &world(),
            &sidecar("a", "west"),
            &effective,
            Traffic::default(),
            Security::default(),
            form,
        )
    });
    for kind in [Kind::Clusters, Kind::Listeners] {
        assert_ne!(
            one.resources[&kind],
            other.resources[&kind],
            "{}",
            kind.short()
        );
    }
    for kind in [Kind::Endpoints, Kind::Routes, Kind::Runtime] {
        assert!(
            Arc::ptr_eq(&one.resources[&kind], &other.resources[&kind]),
            "{}",
            kind.short()
        );
    }
}

#[test]
fn each_mode_has_its_chains() {
    let of = |mode| inbound_listener(inbound(mode), Security::default());
    let plaintext = of(InboundTls::Plaintext);
    assert_eq!(chains(&plaintext), [("inbound:8080", false)]);
    assert_eq!(plaintext.listener_filters.len(), 1, "nothing is inspected");
    let permissive = of(InboundTls::Permissive);
    assert_eq!(
        chains(&permissive),
        [
            ("inbound:8080:mesh", true),
            ("inbound:8080:tls", false),
            ("inbound:8080", false)
        ]
    );
    assert_eq!(permissive.listener_filters.len(), 2);
    let mistaken = Security {
        applications_may_speak_tls: false,
        ..Security::default()
    };
    assert_eq!(
        chains(&inbound_listener(inbound(InboundTls::Permissive), mistaken)),
        [("inbound:8080:mesh", true), ("inbound:8080", false)]
    );
    let strict = of(InboundTls::Strict);
    assert_eq!(
        chains(&strict),
        [
            ("inbound:8080:mesh", true),
            ("inbound:8080:tls-refused", false),
            ("inbound:8080:refused", false)
        ]
    );
    for refused in &strict.filter_chains[1..] {
        assert_eq!(refused.filters[0].name, "envoy.filters.network.rbac");
    }
    let passes = Security {
        other_tls_is_refused: false,
        ..Security::default()
    };
    assert_eq!(
        chains(&inbound_listener(inbound(InboundTls::Strict), passes)),
        [("inbound:8080:mesh", true), ("inbound:8080:refused", false)]
    );
    let lax = Security {
        plaintext_is_refused: false,
        ..Security::default()
    };
    assert_eq!(
        chains(&inbound_listener(inbound(InboundTls::Strict), lax))[1],
        ("inbound:8080", false)
    );
}

#[test]
fn a_callee_demands_a_certificate_of_the_trust_domain() {
    let strict = inbound_listener(inbound(InboundTls::Strict), Security::default());
    let socket = strict.filter_chains[0].transport_socket.as_ref();
    let context: DownstreamTlsContext = context(socket.expect("TLS"));
    assert!(context.require_client_certificate.expect("said").value);
    let common = context.common_tls_context.expect("common");
    assert_eq!(
        names(&common),
        [MatchPattern::Prefix("spiffe://mesh.local/".to_owned())]
    );
}

/// What is accepted of the other side's certificate.
fn accepted(common: CommonTlsContext) -> CertificateValidationContext {
    let Some(ValidationContextType::CombinedValidationContext(combined)) =
        common.validation_context_type
    else {
        panic!("a combined validation context");
    };
    combined.default_validation_context.expect("said")
}

fn must_lead_to_a_root(accepted: &CertificateValidationContext) -> bool {
    accepted.trust_chain_verification() == TrustChainVerification::VerifyTrustChain
}

#[test]
fn what_a_callee_asks_of_its_callers_is_asked_unless_it_is_left_out() {
    let asked = |callers| {
        let security = Security {
            callers,
            ..Security::default()
        };
        let strict = inbound_listener(inbound(InboundTls::Strict), security);
        let socket = strict.filter_chains[0].transport_socket.as_ref();
        let context: DownstreamTlsContext = context(socket.expect("TLS"));
        let common = context.common_tls_context.expect("common");
        let own = accepted(common);
        let one_is_required = context
            .require_client_certificate
            .is_some_and(|required| required.value);
        CallerChecks {
            one_is_required,
            // Nothing is asked of a name that need not be there.
            is_of_the_domain: !(one_is_required && own.match_typed_subject_alt_names.is_empty()),
            root_is_known: must_lead_to_a_root(&own),
            end_is_to_come: !own.allow_expired_certificate,
        }
    };
    let all = CallerChecks::default();
    for checks in [
        all,
        CallerChecks {
            one_is_required: false,
            ..all
        },
        CallerChecks {
            root_is_known: false,
            ..all
        },
        CallerChecks {
            is_of_the_domain: false,
            ..all
        },
        CallerChecks {
            end_is_to_come: false,
            ..all
        },
    ] {
        assert_eq!(asked(checks), checks);
    }
    assert!(all.one_is_required && all.root_is_known);
    assert!(all.is_of_the_domain && all.end_is_to_come);
}

#[test]
fn a_caller_takes_nobody_but_the_accounts_behind_the_service() {
    let outbound = TlsPolicy {
        outbound: Some(OutboundTls::Strict),
        ..TlsPolicy::default()
    };
    let cluster = |tls: TlsPolicy, security| -> Cluster {
        read(
            &snapshot(tls, security),
            Kind::Clusters,
            "checkout.mesh-workloads:8080",
        )
    };
    let plaintext = cluster(TlsPolicy::default(), Security::default());
    assert!(plaintext.transport_socket.is_none());
    let strict = cluster(outbound.clone(), Security::default());
    let upstream: UpstreamTlsContext = context(strict.transport_socket.as_ref().expect("TLS"));
    let common = upstream.common_tls_context.expect("common");
    assert_eq!(
        names(&common),
        [MatchPattern::Exact(
            "spiffe://mesh.local/ns/mesh-workloads/sa/account-1".to_owned()
        )]
    );
    assert_eq!(common.alpn_protocols, ["mesh"]);
    let asked = |callees| {
        let security = Security {
            callees,
            ..Security::default()
        };
        let strict = cluster(outbound.clone(), security);
        let upstream: UpstreamTlsContext = context(strict.transport_socket.as_ref().expect("TLS"));
        let common = upstream.common_tls_context.expect("common");
        let is_who_was_called = !names(&common).is_empty();
        let own = accepted(common);
        CalleeChecks {
            root_is_known: must_lead_to_a_root(&own),
            is_who_was_called,
            end_is_to_come: !own.allow_expired_certificate,
        }
    };
    let all = CalleeChecks::default();
    assert!(all.root_is_known && all.is_who_was_called && all.end_is_to_come);
    for checks in [
        all,
        CalleeChecks {
            root_is_known: false,
            ..all
        },
        CalleeChecks {
            is_who_was_called: false,
            ..all
        },
        CalleeChecks {
            end_is_to_come: false,
            ..all
        },
    ] {
        assert_eq!(asked(checks), checks);
    }
}

#[test]
fn nothing_older_than_tls_13_is_spoken_unless_that_is_left_out() {
    let spoken = |security| {
        let strict = inbound_listener(inbound(InboundTls::Strict), security);
        let socket = strict.filter_chains[0].transport_socket.as_ref();
        let callee: DownstreamTlsContext = context(socket.expect("TLS"));
        let outbound = TlsPolicy {
            outbound: Some(OutboundTls::Strict),
            ..TlsPolicy::default()
        };
        let cluster: Cluster = read(
            &snapshot(outbound, security),
            Kind::Clusters,
            "checkout.mesh-workloads:8080",
        );
        let socket = cluster.transport_socket.as_ref();
        let caller: UpstreamTlsContext = context(socket.expect("TLS"));
        [callee.common_tls_context, caller.common_tls_context].map(|common| {
            let versions = common.expect("common").tls_params.expect("said");
            let oldest = versions.tls_minimum_protocol_version;
            (oldest, versions.tls_maximum_protocol_version)
        })
    };
    let (old, new) = (
        i32::from(TlsProtocol::TlSv12),
        i32::from(TlsProtocol::TlSv13),
    );
    assert_eq!(spoken(Security::default()), [(new, new), (new, new)]);
    let lax = Security {
        newest_tls_alone: false,
        ..Security::default()
    };
    assert_eq!(spoken(lax), [(old, new), (old, old)]);
}

#[test]
fn a_list_of_callers_becomes_a_filter_and_an_empty_one_lets_nobody_in() {
    let with = |allow: Option<Vec<SpiffeUri>>, security| {
        let tls = TlsPolicy {
            allow,
            ..inbound(InboundTls::Permissive)
        };
        let listener = inbound_listener(tls, security);
        String::from_utf8_lossy(&listener.encode_to_vec()).into_owned()
    };
    let one = || Some(vec![SpiffeUri("spiffe://mesh.local/ns/a/sa/b".to_owned())]);
    let tls = TlsPolicy {
        allow: one(),
        ..inbound(InboundTls::Permissive)
    };
    // However somebody comes in: by the mesh's TLS, by that of an application, in plaintext.
    for chain in inbound_listener(tls, Security::default()).filter_chains {
        let encoded = String::from_utf8_lossy(&chain.encode_to_vec()).into_owned();
        assert!(encoded.contains("rbac"), "{}", chain.name);
    }
    let filter = "envoy.filters.http.rbac";
    assert!(!with(None, Security::default()).contains(filter));
    assert!(with(one(), Security::default()).contains("spiffe://mesh.local/ns/a/sa/b"));
    assert!(with(Some(vec![]), Security::default()).contains(filter));
    let lax = Security {
        callers_are_restricted: false,
        ..Security::default()
    };
    assert!(!with(one(), lax).contains(filter));
}

#[test]
fn a_permissive_caller_tells_who_takes_tls_by_their_endpoints() {
    let mut world = world();
    world.takes_tls = Arc::new(["10.101.1.1".parse().expect("an address")].into());
    let effective = Effective {
        tls: TlsPolicy {
            outbound: Some(OutboundTls::Permissive),
            ..TlsPolicy::default()
        },
        ..Effective::default()
    };
    let west = sidecar("a", "west");
    let snapshot = made(&Translator::default(), &world, &west, &effective);
    let name = "checkout.mesh-workloads:8080";
    let cluster: Cluster = read(&snapshot, Kind::Clusters, name);
    assert!(cluster.transport_socket.is_none());
    let [where_taken] = &cluster.transport_socket_matches[..] else {
        panic!("one match: {cluster:?}");
    };
    let upstream: UpstreamTlsContext = context(where_taken.transport_socket.as_ref().expect("TLS"));
    assert_eq!(
        upstream.common_tls_context.expect("common").alpn_protocols,
        ["mesh"]
    );
    let assignment: ClusterLoadAssignment = read(&snapshot, Kind::Endpoints, name);
    let marks: Vec<_> = assignment
        .endpoints
        .iter()
        .flat_map(|locality| &locality.lb_endpoints)
        .map(|endpoint| {
            let metadata = endpoint.metadata.as_ref()?;
            metadata
                .filter_metadata
                .get("envoy.transport_socket_match")
                .cloned()
        })
        .collect();
    assert_eq!(marks, [where_taken.r#match.clone(), None]);
}
