//! What a reading shows of one scenario: its own keys, its own marker, and nothing of anybody else.

use super::*;
use crate::definition::{MeshDefinition, TlsForm};
use harness_model::history::XdsForm;
use probe_api::state::{self, ControlPlaneConnection, Identity, Resource, Route, TypeState};

fn form() -> State {
    State {
        runtime_layer: "mesh".to_owned(),
        route_configuration: "outbound".to_owned(),
        certificate: Some("default".to_owned()),
        roots: Some("ROOTCA".to_owned()),
        services: None,
        tls: Some(TlsForm {
            inbound_listener: "inbound".to_owned(),
            service_clusters: ".shop:".to_owned(),
        }),
    }
}

fn sidecar() -> Sidecar {
    Sidecar {
        name: "checkout@zone-a".to_owned(),
        pod: "checkout-1".to_owned(),
        pod_uid: "u1".to_owned(),
        cluster: "one".to_owned(),
        data_center: "zone-a".to_owned(),
        node: "n1".to_owned(),
        application: "checkout".to_owned(),
        ip: "10.0.0.1".to_owned(),
        identity: None,
    }
}

fn route(name: &str, warming: bool) -> Route {
    Route {
        configuration: "outbound".to_owned(),
        virtual_host: "frontend".to_owned(),
        name: name.to_owned(),
        hash: format!("hash of {name}"),
        warming,
    }
}

fn state(change: impl FnOnce(&mut state::Sidecar)) -> SidecarState {
    let mut held = state::Sidecar {
        control_plane: ControlPlaneConnection {
            connected: true,
            replica: Some("control-plane-0".to_owned()),
            epoch: 4,
            form: Some(state::XdsForm::Delta),
        },
        ..state::Sidecar::default()
    };
    change(&mut held);
    SidecarState {
        hash: String::new(),
        observed_at_ns: 0,
        resolution_ms: 0,
        identity: Identity {
            pod_uid: "u1".to_owned(),
            ..Identity::default()
        },
        sidecar: SidecarReading::Read(Box::new(held)),
    }
}

fn observe(state: &SidecarState) -> Result<Observation, String> {
    reduce(
        &form(),
        &BTreeMap::new(),
        &Keys::new("s1"),
        &sidecar(),
        state,
        0,
    )
}

fn toggles(values: &[(&str, &str)]) -> BTreeMap<String, String> {
    values
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn only_the_scenarios_own_toggles_and_rules_are_seen() {
    let observation = observe(&state(|held| {
        let layer = toggles(&[("s1.color", "blue"), ("s10.color", "red"), ("color", "x")]);
        held.runtime.insert("mesh".to_owned(), layer);
        held.runtime
            .insert("admin".to_owned(), toggles(&[("s1.by-hand", "x")]));
        held.routes = vec![
            route("s1.header", false),
            route("s2.header", false),
            route("default", false),
        ];
    }))
    .unwrap();
    assert_eq!(observation.toggles, toggles(&[("color", "blue")]));
    assert_eq!(
        observation.rules,
        toggles(&[("header", "hash of s1.header")])
    );
}

#[test]
fn a_rule_that_only_warms_is_told_apart() {
    let observation = observe(&state(|held| held.routes = vec![route("s1.header", true)])).unwrap();
    assert!(observation.rules.is_empty());
    assert_eq!(
        observation.warming_rules,
        toggles(&[("header", "hash of s1.header")])
    );
}

#[test]
fn a_marker_is_no_payload_and_does_not_count_while_it_warms() {
    let observation = observe(&state(|held| {
        held.runtime
            .insert("mesh".to_owned(), toggles(&[("s1.marker", "m3")]));
        held.routes = vec![route("s1.marker-m3", true), route("s2.marker-m9", false)];
    }))
    .unwrap();
    assert_eq!(observation.marker_toggle.as_deref(), Some("m3"));
    assert_eq!(observation.marker_rule, None);
    assert!(observation.toggles.is_empty() && observation.rules.is_empty());
}

#[test]
fn a_sidecar_without_a_stream_is_on_no_replica() {
    let observation = observe(&state(|held| held.control_plane.connected = false)).unwrap();
    assert_eq!(
        observation.stream,
        Stream {
            replica: None,
            epoch: 4,
            form: Some(XdsForm::Delta),
        }
    );
}

#[test]
fn rejections_are_told_by_type_and_resource() {
    let observation = observe(&state(|held| {
        let resource = Resource {
            error: Some("missing )".to_owned()),
            ..Resource::default()
        };
        let rejected = TypeState {
            resources: BTreeMap::from([("outbound".to_owned(), resource)]),
            ..TypeState::default()
        };
        held.types.insert("RDS".to_owned(), rejected);
    }))
    .unwrap();
    assert_eq!(
        observation.rejected,
        toggles(&[("RDS", "outbound: missing )")])
    );
}

#[test]
fn what_shows_nothing_is_not_absence() {
    let mut another = state(|_| {});
    another.identity.pod_uid = "u2".to_owned();
    assert!(observe(&another).is_err());
    let mut none = state(|_| {});
    none.sidecar = SidecarReading::None;
    assert!(observe(&none).is_err());
    none.sidecar = SidecarReading::Unreachable("connection refused".to_owned());
    assert_eq!(observe(&none).unwrap_err(), "connection refused");
}

#[test]
fn a_service_that_nobody_knows_is_told_from_one_without_endpoints() {
    let evidence = MeshDefinition::load("reference").unwrap().evidence;
    let told = |text| cause(&evidence, text);
    assert_eq!(
        told("cluster_not_found -"),
        Some(RefusalCause::UnknownService)
    );
    assert_eq!(told("no_healthy_upstream -"), None);
}

#[test]
fn how_a_request_came_is_told_by_the_header_alone() {
    let evidence = Evidence {
        tls_header: Some("X-Tls".to_owned()),
        ..Evidence::default()
    };
    let of_this_mesh = Evidence {
        tls_versions: vec!["TLSv1.3".to_owned()],
        ..evidence.clone()
    };
    let told_by = |evidence: &Evidence, text: Option<&str>| {
        let peer = PeerView {
            identity: Identity::default(),
            protocol: String::new(),
            path: String::new(),
            headers: text
                .map(|text| ("x-tls".to_owned(), text.to_owned()))
                .into_iter()
                .collect(),
            remote_address: String::new(),
            certificate: None,
        };
        arrival(evidence, &peer)
    };
    let told = |text| told_by(&evidence, text);
    assert_eq!(told(None), None);
    assert_eq!(told(Some("anything")), None);
    let plaintext = Some(Arrival::Plaintext);
    assert_eq!(told(Some("version=;cipher=;peer=;serial=")), plaintext);
    assert_eq!(told(Some("version=-;cipher=-;peer=-;serial=-")), plaintext);
    assert_eq!(
        told(Some("version=TLSv1.3;cipher=C;peer=spiffe://a/b;serial=0f")),
        Some(Arrival::Tls {
            version: "TLSv1.3".to_owned(),
            cipher: "C".to_owned(),
            peer: Some("spiffe://a/b".to_owned()),
            serial: Some("0f".to_owned()),
            outdated: false,
        })
    );
    let is_outdated = |evidence, version: &str| {
        let text = format!("version={version};cipher=C;peer=;serial=");
        let told = told_by(evidence, Some(&text));
        matches!(told, Some(Arrival::Tls { outdated: true, .. }))
    };
    assert!(is_outdated(&of_this_mesh, "TLSv1.2"));
    assert!(!is_outdated(&of_this_mesh, "TLSv1.3"));
    assert!(!is_outdated(&evidence, "TLSv1.2"), "nothing is said");
}

#[test]
fn certificate_and_modes_are_shown_to_the_scenario_that_owns_tls_alone() {
    let holding = state(|held| {
        held.secrets = [(
            "default".to_owned(),
            state::Secret {
                certificates: vec![state::Certificate {
                    serial: "1".to_owned(),
                    uris: vec!["spiffe://a/b".to_owned()],
                    not_before_s: 40,
                    not_after_s: 120,
                    ..state::Certificate::default()
                }],
                stream_ends: Some(2),
                ..state::Secret::default()
            },
        )]
        .into();
    });
    let seen = |keys: &Keys| {
        let seen = reduce(
            &form(),
            &BTreeMap::new(),
            keys,
            &sidecar(),
            &holding,
            98_500,
        )
        .expect("a reading");
        (seen.certificate, seen.tls)
    };
    assert_eq!(seen(&Keys::new("s1")), (None, None));
    let (own, modes) = seen(&Keys::new("s1").with_tls());
    let own = own.expect("shown");
    assert!(modes.is_some());
    assert_eq!(own.identities, ["spiffe://a/b"]);
    assert!(!own.warming);
    // The history's clock began at 98.5 s.
    let valid = Validity {
        from_ms: -58_500,
        until_ms: 21_500,
    };
    assert_eq!(own.valid, Some(valid));
    assert_eq!(own.stream_ends, Some(2));
}

#[test]
fn a_certificate_leads_to_a_root_that_its_sidecar_trusts_or_to_none() {
    let signed = |fingerprint: &str, by: Option<&str>| state::Certificate {
        fingerprint: fingerprint.to_owned(),
        signed_by: by.map(str::to_owned),
        ..state::Certificate::default()
    };
    let secret = |certificates: &[state::Certificate]| state::Secret {
        certificates: certificates.to_vec(),
        ..state::Secret::default()
    };
    let seen = |chain: &[state::Certificate], roots: &[state::Certificate]| {
        let seen = certificate(&secret(chain), Some(&secret(roots)), 0);
        (seen.root, seen.issuer, seen.roots.len())
    };
    let root = |name: &str| signed(name, Some(name));
    let word = |text: &str| Some(text.to_owned());
    let chain = [signed("own", Some("i1")), signed("i1", Some("r1"))];
    let both = [root("r1"), root("r2")];
    assert_eq!(seen(&chain, &both), (word("r1"), word("i1"), 2));
    assert_eq!(
        seen(&[signed("own", Some("r2"))], &both),
        (word("r2"), word("r2"), 2),
        "nothing is between them"
    );
    let untrusted = [signed("own", Some("i1")), signed("i1", None)];
    assert_eq!(seen(&untrusted, &[root("r2")]), (None, word("i1"), 1));
    assert_eq!(seen(&[signed("own", None)], &both), (None, None, 2));
    // Two that signed each other lead nowhere, and that is found out.
    let circle = [signed("own", Some("i1")), signed("i1", Some("own"))];
    assert_eq!(seen(&circle, &both).0, None);
}

#[test]
fn of_what_a_certificate_leads_to_the_keys_are_told_as_far_as_the_probe_tells_them() {
    let signed = |fingerprint: &str, by: &str, key: Option<&str>| state::Certificate {
        fingerprint: fingerprint.to_owned(),
        signed_by: Some(by.to_owned()),
        public_key_hash: key.map(str::to_owned),
        ..state::Certificate::default()
    };
    let secret = |certificates: &[state::Certificate]| state::Secret {
        certificates: certificates.to_vec(),
        ..state::Secret::default()
    };
    let keys = |chain: &[state::Certificate], root: state::Certificate| {
        let seen = certificate(&secret(chain), Some(&secret(&[root])), 0);
        (seen.root_key, seen.issuer_key)
    };
    let word = |text: &str| Some(text.to_owned());
    let own = signed("own", "i1", Some("own key"));
    let chain = [own, signed("i1", "r1", Some("i1 key"))];
    let root = |key| signed("r1", "r1", key);
    let both = (word("r1 key"), word("i1 key"));
    assert_eq!(keys(&chain, root(Some("r1 key"))), both);
    assert_eq!(keys(&chain, root(None)), (None, word("i1 key")));
    let alone = [signed("own", "r1", Some("own key"))];
    let both = (word("r1 key"), word("r1 key"));
    assert_eq!(keys(&alone, root(Some("r1 key"))), both);
    let other = signed("r2", "r2", Some("r2 key"));
    assert_eq!(keys(&chain, other), (None, word("i1 key")));
}

#[test]
fn what_is_wrong_with_a_callees_certificate_is_told_apart() {
    let reference = MeshDefinition::load("reference").expect("it is shipped");
    let refused = |why: &str| {
        let told = format!(
            "the connection ended before an answer came; x-mesh-failure: upstream-tls=- flags=UF,URX TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_{why}:TLS_error_end"
        );
        cause(&reference.evidence, &told)
    };
    let by_chain = |why: &str| {
        refused(&format!(
            "X509_verify_cert:_certificate_verification_error_at_depth_0:_{why}"
        ))
    };
    for (seen, expected) in [
        (
            by_chain("unable_to_get_local_issuer_certificate"),
            RefusalCause::Untrusted,
        ),
        (by_chain("certificate_has_expired"), RefusalCause::Expired),
        (refused("SAN_matcher"), RefusalCause::OtherName),
    ] {
        assert_eq!(seen, Some(expected));
    }
}
