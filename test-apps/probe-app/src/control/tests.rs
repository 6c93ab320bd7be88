//! The OpenAPI document against the router (every path and method, both ways) and against the types (samples with
//! every field set are exactly what the schemas say).

use super::*;
use axum::body::Body;
use axum::http::{Method, Request};
use probe_api::handshake::{
    ClientCertificate, HandshakeEnd, PartnerCertificate, PartnerRoot, ServerShown,
};
use probe_api::identity::{IdentityDesk, RequestFlaw};
use probe_api::request::{
    Answer, Connections, FailureKind, PeerView, Protocol, RequestOutcome, RequestResult,
    RequestSpec,
};
use probe_api::state::{
    Certificate, Cluster, ControlPlaneConnection, Endpoint, FilterChain, Identity, Resource, Route,
    Secret, Sidecar, SidecarReading, TypeState, UpstreamTls, XdsForm,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tower::ServiceExt;

fn certificate() -> Certificate {
    Certificate {
        serial: "x".to_owned(),
        uris: vec!["x".to_owned()],
        not_before_s: 1,
        not_after_s: 2,
        fingerprint: "x".to_owned(),
        public_key_hash: Some("x".to_owned()),
        signed_by: Some("x".to_owned()),
    }
}

fn document() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn shared() -> Shared {
    Shared {
        watcher: Watcher::new(crate::settings::Settings::from_variables(|_| None)),
        loads: Arc::default(),
        told: Told::default(),
        counted: Counted::default(),
        kept: Kept::default(),
    }
}

#[tokio::test]
async fn every_documented_path_and_method_is_served_and_no_other_method_is() {
    let document = document();
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ];
    for (path, operations) in document["paths"].as_object().unwrap() {
        for method in &methods {
            let documented = operations.get(method.as_str().to_lowercase()).is_some();
            let request = Request::builder()
                .method(method)
                .uri(path.replace("{id}", "none"))
                .body(Body::empty())
                .unwrap();
            let status = router(shared()).oneshot(request).await.unwrap().status();
            let served = status != StatusCode::METHOD_NOT_ALLOWED;
            assert_eq!(served, documented, "{method} {path}: {status}");
        }
    }
}

#[test]
fn every_served_path_is_documented() {
    let document = document();
    let operations = |value: &Value| -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    };
    let documented: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, value)| (path.clone(), operations(value)))
        .collect();
    let served: BTreeMap<String, BTreeSet<String>> = SERVED
        .iter()
        .map(|(path, methods)| {
            let methods = methods.iter().map(|method| (*method).to_owned()).collect();
            ((*path).to_owned(), methods)
        })
        .collect();
    assert_eq!(documented, served);
}

#[test]
fn samples_are_what_the_schemas_say() {
    let document = document();
    let mut problems = Vec::new();
    let mut visited = BTreeSet::new();
    for (name, sample) in samples() {
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        compare(
            &document,
            &schema,
            &sample,
            name,
            &mut problems,
            &mut visited,
        );
    }
    assert!(problems.is_empty(), "{problems:#?}");
    let defined: BTreeSet<String> = document["components"]["schemas"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    assert_eq!(visited, defined, "every schema is used by a sample");
}

/// Adds what of `value` is not as `schema` says.
fn compare(
    document: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    problems: &mut Vec<String>,
    visited: &mut BTreeSet<String>,
) {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        visited.insert(name.to_owned());
        let target = &document["components"]["schemas"][name];
        assert!(target.is_object(), "{at}: there is no schema {name}");
        return compare(document, target, value, at, problems, visited);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fitting = choices.iter().filter(|choice| {
            let mut found = Vec::new();
            compare(document, choice, value, at, &mut found, visited);
            found.is_empty()
        });
        if fitting.count() != 1 {
            problems.push(format!("{at}: {value} fits not exactly one choice"));
        }
        return;
    }
    if let Some(constant) = schema.get("const") {
        if constant != value {
            problems.push(format!("{at}: {value} is not {constant}"));
        }
        return;
    }
    let actual = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().any(|kind| kind == actual),
        kind => kind == actual,
    };
    if !allowed {
        problems.push(format!(
            "{at}: {actual} where {} is documented",
            schema["type"]
        ));
        return;
    }
    if let Some(values) = schema["enum"].as_array()
        && !values.contains(value)
    {
        problems.push(format!("{at}: {value} is not documented"));
    }
    if let Some(items) = value.as_array() {
        for item in items {
            compare(
                document,
                &schema["items"],
                item,
                &format!("{at}[]"),
                problems,
                visited,
            );
        }
    }
    let Some(fields) = value.as_object() else {
        return;
    };
    if schema["additionalProperties"].is_object() {
        for (key, field) in fields {
            let inner = &schema["additionalProperties"];
            compare(
                document,
                inner,
                field,
                &format!("{at}.{key}"),
                problems,
                visited,
            );
        }
        return;
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        if !fields.contains_key(required.as_str().unwrap()) {
            problems.push(format!("{at}: {required} is missing"));
        }
    }
    let documented: BTreeSet<&String> = schema["properties"].as_object().unwrap().keys().collect();
    let serialised: BTreeSet<&String> = fields.keys().collect();
    if documented != serialised {
        problems.push(format!(
            "{at}: {serialised:?} where {documented:?} is documented"
        ));
    }
    for (key, field) in fields {
        let inner = &schema["properties"][key];
        if inner.is_object() {
            compare(
                document,
                inner,
                field,
                &format!("{at}.{key}"),
                problems,
                visited,
            );
        }
    }
}

fn map<T>(value: T) -> BTreeMap<String, T> {
    BTreeMap::from([("key".to_owned(), value)])
}

fn samples() -> Vec<(&'static str, Value)> {
    let text = || "text".to_owned();
    let sidecar = Sidecar {
        control_plane: ControlPlaneConnection {
            replica: Some(text()),
            form: Some(XdsForm::Delta),
            ..ControlPlaneConnection::default()
        },
        types: map(TypeState {
            version: Some(text()),
            resources: map(Resource {
                active: Some(text()),
                warming: None,
                error: Some(text()),
            }),
            ..TypeState::default()
        }),
        runtime: map(map(text())),
        routes: vec![Route {
            configuration: text(),
            virtual_host: text(),
            name: text(),
            hash: text(),
            warming: false,
        }],
        endpoints: map(vec![Endpoint {
            address: text(),
            zone: text(),
            priority: 0,
            health: text(),
        }]),
        secrets: map(Secret {
            version: Some(text()),
            warming: false,
            hash: text(),
            certificates: vec![certificate()],
            stream_ends: Some(1),
        }),
        filter_chains: vec![FilterChain {
            port: Some(8080),
            callers: Some([text()].into()),
            bytes_to: Some(text()),
            ..FilterChain::default()
        }],
        clusters: vec![Cluster {
            name: text(),
            warming: false,
            tls: UpstreamTls::WhereMatched,
        }],
        turned_away: Some(1),
        not_allowed: Some(1),
        ..Sidecar::default()
    };
    let state = |sidecar| SidecarState {
        hash: text(),
        observed_at_ns: 1,
        resolution_ms: 20,
        identity: Identity::default(),
        sidecar,
    };
    let request = RequestSpec {
        url: text(),
        protocol: Protocol::Grpc,
        headers: map(text()),
        timeout_ms: 1,
    };
    let answered = RequestResult::Answered(Box::new(Answer {
        status: 200,
        connection: Some(1),
        headers: map(text()),
        peer: Some(PeerView {
            identity: Identity::default(),
            protocol: text(),
            path: text(),
            headers: map(text()),
            remote_address: text(),
            certificate: Some(text()),
        }),
    }));
    let kinds = [
        FailureKind::Resolve,
        FailureKind::Connect,
        FailureKind::Timeout,
        FailureKind::Reset,
        FailureKind::Protocol,
    ];
    let failed = kinds.map(|kind| RequestResult::Failed {
        kind,
        message: text(),
    });
    let outcomes: Vec<RequestOutcome> = [answered]
        .into_iter()
        .chain(failed)
        .map(|result| RequestOutcome {
            sequence: 0,
            intended_at_ns: 1,
            latency_us: 1,
            result,
        })
        .collect();
    let sample = |name, value: Result<Value, serde_json::Error>| (name, value.unwrap());
    handshakes()
        .into_iter()
        .chain(vec![
            sample(
                "SidecarState",
                serde_json::to_value(state(SidecarReading::Read(Box::new(sidecar)))),
            ),
            sample(
                "SidecarState",
                serde_json::to_value(state(SidecarReading::None)),
            ),
            sample(
                "SidecarState",
                serde_json::to_value(state(SidecarReading::Unreachable(text()))),
            ),
            sample(
                "ReconnectRequest",
                serde_json::to_value(ReconnectRequest { to: Some(text()) }),
            ),
            sample(
                "ReconnectReply",
                serde_json::to_value(ReconnectReply { epoch: 2 }),
            ),
            sample(
                "RequestBatch",
                serde_json::to_value(RequestBatch {
                    request: request.clone(),
                    count: 1,
                    concurrency: 1,
                }),
            ),
            sample(
                "RequestBatchReply",
                serde_json::to_value(RequestBatchReply {
                    outcomes: outcomes.clone(),
                }),
            ),
            sample(
                "IdentityAsk",
                serde_json::to_value(IdentityAsk {
                    token: Some(text()),
                    at: IdentityDesk::Sds {
                        socket: text(),
                        secret: text(),
                    },
                }),
            ),
            sample(
                "IdentityAsk",
                serde_json::to_value(IdentityAsk {
                    token: Some(text()),
                    at: IdentityDesk::Authority {
                        address: text(),
                        server_name: text(),
                        root: text(),
                        pod: [text(), text(), text()],
                        names: vec![text()],
                        flaw: Some(RequestFlaw::WeakKey),
                        lifetime_s: 1,
                    },
                }),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Granted(vec![certificate()])),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Denied {
                    code: text(),
                    message: text(),
                }),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Unanswered(text())),
            ),
            sample(
                "IdentityAsk",
                serde_json::to_value(IdentityAsk {
                    token: None,
                    at: IdentityDesk::SocketPermissions { socket: text() },
                }),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Served),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Permissions {
                    socket: 0o600,
                    folder: 0o755,
                }),
            ),
            sample(
                "IdentityAnswer",
                serde_json::to_value(IdentityAnswer::Alert(48)),
            ),
            sample(
                "HandshakeAnswer",
                serde_json::to_value(HandshakeAnswer {
                    shown: Some(certificate()),
                    server: Some(ServerShown {
                        certificate: Some(certificate()),
                        untrusted: Some(text()),
                    }),
                    end: HandshakeEnd::Alert(48),
                }),
            ),
            sample(
                "LoadSpec",
                serde_json::to_value(LoadSpec {
                    request,
                    connections: Connections::Kept,
                    rate: 1,
                }),
            ),
            sample("Received", serde_json::to_value(Received { count: 1 })),
            sample(
                "LoadStarted",
                serde_json::to_value(LoadStarted { id: text() }),
            ),
            sample(
                "LoadReport",
                serde_json::to_value(LoadReport {
                    id: text(),
                    due: 1,
                    outcomes,
                }),
            ),
        ])
        .collect()
}

fn handshakes() -> Vec<(&'static str, Value)> {
    let text = || "text".to_owned();
    let ask = || IdentityAsk {
        token: Some(text()),
        at: IdentityDesk::Sds {
            socket: text(),
            secret: text(),
        },
    };
    let shown = [
        ClientCertificate::None,
        ClientCertificate::Issued(ask()),
        ClientCertificate::Expired(ask()),
        ClientCertificate::OtherKey(ask()),
        ClientCertificate::UnknownRoot(vec![text()]),
        ClientCertificate::OfPartner(PartnerCertificate {
            uris: vec![text()],
            host_names: vec![text()],
            valid_in_s: 1,
        }),
        ClientCertificate::Kept(text()),
    ];
    let keys = [None, Some(Box::new(ask()))].map(|certificate| {
        let at = IdentityDesk::KeyService {
            address: text(),
            server_name: text(),
            root: text(),
            certificate,
        };
        let ask = IdentityAsk { token: None, at };
        ("IdentityAsk", serde_json::to_value(ask).unwrap())
    });
    let asks = shown.map(|shows| {
        let ask = HandshakeAsk {
            address: text(),
            alpn: vec![text()],
            server_name: Some(text()),
            roots: ask(),
            shows,
            keep_as: Some(text()),
        };
        ("HandshakeAsk", serde_json::to_value(ask).unwrap())
    });
    let answer = Answer {
        status: 200,
        headers: map(text()),
        peer: None,
        connection: Some(1),
    };
    let ends = [
        HandshakeEnd::Answered(Box::new(answer)),
        HandshakeEnd::Alert(48),
        HandshakeEnd::Closed(text()),
        HandshakeEnd::Unanswered(text()),
    ];
    let ends = ends.map(|end| ("HandshakeEnd", serde_json::to_value(end).unwrap()));
    let root = PartnerRoot {
        certificate: text(),
    };
    let root = ("PartnerRoot", serde_json::to_value(root).unwrap());
    let asks = asks.into_iter().chain(keys);
    asks.chain(ends).chain([root]).collect()
}
