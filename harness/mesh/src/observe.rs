//! Reducing what a sidecar holds to what one scenario owns, and what a request shows of the sidecars it passed.

mod modes;
mod services;

use crate::definition::{Evidence, State};
use crate::{Keys, Mesh, template};
use harness_model::directory::Sidecar;
use harness_model::history::{
    Answerer, Arrival, CertificateSeen, Observation, RefusalCause, RequestSeen, Stream, Validity,
    XdsForm,
};
use harness_model::protocol::Protocol;
use probe_api::request::{Answer, PeerView, RequestOutcome, RequestResult};
use probe_api::state::{Secret, SidecarReading, SidecarState};
use std::collections::BTreeMap;

/// The port of `http` URLs (RFC 9110, 4.2.1), where a definition names none.
const HTTP_PORT: u16 = 80;

impl Mesh {
    /// One reading of a sidecar, reduced to the scenario's keys and marker. `sidecar` is who was asked, `began_ms` when the
    /// history's clock began, in milliseconds since the Unix epoch.
    ///
    /// # Errors
    ///
    /// When the reading shows nothing about the sidecar (no sidecar, its admin interface does not answer, another
    /// pod answered): the reason, in words. This is not absence.
    pub fn observe(
        &self,
        keys: &Keys,
        sidecar: &Sidecar,
        state: &SidecarState,
        began_ms: i64,
    ) -> Result<Observation, String> {
        // Readings come often, and few ask for this.
        let applications = if keys.own_tls() {
            self.definition.identities()
        } else {
            BTreeMap::new()
        };
        let form = &self.definition.state;
        reduce(form, &applications, keys, sidecar, state, began_ms)
    }

    /// The outcome of a request in the words of a history. `due_ns` is when it was due on the history's clock.
    #[must_use]
    pub fn request_seen(
        &self,
        traffic: &str,
        from: &Sidecar,
        outcome: &RequestOutcome,
        due_ns: u64,
    ) -> RequestSeen {
        let mut seen = RequestSeen {
            traffic: traffic.to_owned(),
            sequence: outcome.sequence,
            from: from.name.clone(),
            due_ns,
            latency_us: outcome.latency_us,
            protocol: None,
            connection: None,
            status: None,
            failure: None,
            answered_by: None,
            passed_caller_sidecar: false,
            passed_callee_sidecar: false,
            arrived: None,
            cause: None,
        };
        match &outcome.result {
            RequestResult::Failed { kind, message } => {
                // Of a connection of bytes the sidecar has told this end why it broke.
                seen.cause = cause(&self.definition.evidence, message);
                seen.failure = Some(format!("{kind:?}: {message}").to_lowercase());
            }
            RequestResult::Answered(answer) => {
                let evidence = &self.definition.evidence;
                seen.status = Some(answer.status);
                seen.connection = answer.connection;
                if let Some(peer) = &answer.peer {
                    let told = told(evidence, from, peer);
                    seen.arrived = told.arrived;
                    seen.protocol = protocol(peer);
                    seen.passed_caller_sidecar = told.passed_caller_sidecar;
                    seen.passed_callee_sidecar = told.passed_callee_sidecar;
                    seen.answered_by = Some(told.by);
                } else if answer.status != 200 {
                    let why = header(&answer.headers, evidence.failure_header.as_ref());
                    seen.cause = why.and_then(|why| cause(evidence, why));
                    seen.failure = Some(unanswered(answer, why));
                }
            }
        }
        seen
    }

    /// How a workload calls a service; none where services do not speak this.
    #[must_use]
    pub fn service_url(&self, service: &str, protocol: Protocol, path: &str) -> Option<String> {
        let workloads = &self.definition.workloads;
        let port = match workloads.ports.get(&protocol) {
            Some(port) => *port,
            None if protocol.is_http1() => HTTP_PORT,
            None => return None,
        };
        let url = template::service_url(&workloads.service_url, service, port, path);
        Some(url)
    }
}

/// What an answer tells.
pub(crate) struct Told {
    pub(crate) by: Answerer,
    pub(crate) arrived: Option<Arrival>,
    pub(crate) passed_caller_sidecar: bool,
    pub(crate) passed_callee_sidecar: bool,
}

/// What an answer tells of who gave it and of the way of its request, which was sent beside `from`.
pub(crate) fn told(evidence: &Evidence, from: &Sidecar, peer: &PeerView) -> Told {
    let carries = |name: &Option<String>, pod: &str| {
        header(&peer.headers, name.as_ref()).is_some_and(|value| value == pod)
    };
    Told {
        by: Answerer {
            pod: peer.identity.pod.clone(),
            application: peer.identity.application.clone(),
            data_center: peer.identity.zone.clone(),
        },
        arrived: arrival(evidence, peer),
        passed_caller_sidecar: carries(&evidence.caller_header, &from.pod),
        passed_callee_sidecar: carries(&evidence.callee_header, &peer.identity.pod),
    }
}

/// The reading without what other scenarios own. `applications` are SPIFFE ID → application.
fn reduce(
    form: &State,
    applications: &BTreeMap<String, String>,
    keys: &Keys,
    sidecar: &Sidecar,
    state: &SidecarState,
    began_ms: i64,
) -> Result<Observation, String> {
    if state.identity.pod_uid != sidecar.pod_uid {
        return Err(format!(
            "pod {} with UID {} answered in place of UID {}",
            state.identity.pod, state.identity.pod_uid, sidecar.pod_uid
        ));
    }
    let held = match &state.sidecar {
        SidecarReading::Read(held) => held,
        SidecarReading::None => return Err("the pod has no sidecar".to_owned()),
        SidecarReading::Unreachable(reason) => return Err(reason.clone()),
    };
    let mut observation = Observation {
        sidecar: sidecar.name.clone(),
        pod_uid: sidecar.pod_uid.clone(),
        stream: Stream {
            // A sidecar that lost its stream keeps the replica's name until it has another one.
            replica: held
                .control_plane
                .replica
                .clone()
                .filter(|_| held.control_plane.connected),
            epoch: held.control_plane.epoch,
            form: held.control_plane.form.map(form_of),
        },
        // 0 where nobody counts.
        starts: Some(held.starts).filter(|starts| *starts > 0),
        toggles: BTreeMap::new(),
        rules: BTreeMap::new(),
        warming_rules: BTreeMap::new(),
        marker_toggle: None,
        marker_rule: None,
        rejected: BTreeMap::new(),
        certificate: form
            .certificate
            .as_ref()
            .filter(|_| keys.own_tls())
            .and_then(|name| held.secrets.get(name))
            .map(|own| {
                let roots = form.roots.as_ref().and_then(|name| held.secrets.get(name));
                certificate(own, roots, began_ms)
            }),
        tls: form
            .tls
            .as_ref()
            .filter(|_| keys.own_tls())
            .map(|form| modes::modes(form, applications, held)),
    };
    for (key, value) in held.runtime.get(&form.runtime_layer).into_iter().flatten() {
        match keys.strip(key) {
            Some(crate::keys::MARKER) => observation.marker_toggle = Some(value.clone()),
            Some(key) => {
                observation.toggles.insert(key.to_owned(), value.clone());
            }
            None => {}
        }
    }
    for route in &held.routes {
        if route.configuration != form.route_configuration {
            continue;
        }
        let Some(rule) = keys.strip(&route.name) else {
            continue;
        };
        match (Keys::marker_of_rule(rule), route.warming) {
            (Some(marker), false) => observation.marker_rule = Some(marker.to_owned()),
            (Some(_), true) => {}
            (None, false) => note(&mut observation.rules, rule, &route.hash),
            (None, true) => note(&mut observation.warming_rules, rule, &route.hash),
        }
    }
    for (kind, held) in &held.types {
        let mut reasons: Vec<String> = held
            .resources
            .iter()
            .filter_map(|(name, resource)| Some(format!("{name}: {}", resource.error.as_ref()?)))
            .collect();
        reasons.sort();
        if !reasons.is_empty() {
            observation
                .rejected
                .insert(kind.clone(), reasons.join("; "));
        }
    }
    Ok(observation)
}

/// The form of xDS in the words of a history.
pub(crate) fn form_of(form: probe_api::state::XdsForm) -> XdsForm {
    match form {
        probe_api::state::XdsForm::Sotw => XdsForm::Sotw,
        probe_api::state::XdsForm::Delta => XdsForm::Delta,
    }
}

/// The same rule may be in several virtual hosts or twice in one: its hash then covers all of them, in order.
fn note(rules: &mut BTreeMap<String, String>, rule: &str, hash: &str) {
    rules
        .entry(rule.to_owned())
        .and_modify(|all| {
            all.push('+');
            all.push_str(hash);
        })
        .or_insert_with(|| hash.to_owned());
}

/// A sidecar's own certificate, and what it leads to: the signatures were verified where it was read.
fn certificate(secret: &Secret, roots: Option<&Secret>, began_ms: i64) -> CertificateSeen {
    let own = secret.certificates.first();
    let trusted = roots
        .map(|roots| &roots.certificates[..])
        .unwrap_or_default();
    let is_root = |fingerprint: &str| trusted.iter().any(|root| root.fingerprint == fingerprint);
    let issuer = own.and_then(|own| own.signed_by.clone());
    let mut root = issuer.clone();
    // A chain is not longer than it has certificates.
    for _ in &secret.certificates {
        root = match root {
            Some(above) if !is_root(&above) => secret
                .certificates
                .iter()
                .find(|certificate| certificate.fingerprint == above)
                .and_then(|certificate| certificate.signed_by.clone()),
            found => found,
        };
    }
    let root = root.filter(|root| is_root(root));
    let key_of = |fingerprint: &String| {
        let mut all = secret.certificates.iter().chain(trusted);
        let found = all.find(|certificate| certificate.fingerprint == *fingerprint)?;
        found.public_key_hash.clone()
    };
    CertificateSeen {
        root_key: root.as_ref().and_then(key_of),
        issuer_key: issuer.as_ref().and_then(key_of),
        root,
        issuer,
        roots: trusted
            .iter()
            .map(|root| root.fingerprint.clone())
            .collect(),
        warming: secret.warming,
        stream_ends: secret.stream_ends,
        identities: own.map(|own| own.uris.clone()).unwrap_or_default(),
        serial: own.map(|own| own.serial.clone()).unwrap_or_default(),
        valid: own.map(|own| Validity {
            from_ms: since(began_ms, own.not_before_s),
            until_ms: since(began_ms, own.not_after_s),
        }),
    }
}

/// A time of day (seconds since the Unix epoch) in milliseconds since another (milliseconds since the same).
fn since(began_ms: i64, at_s: i64) -> i64 {
    at_s.saturating_mul(1000).saturating_sub(began_ms)
}

fn header<'a>(headers: &'a BTreeMap<String, String>, name: Option<&String>) -> Option<&'a str> {
    let value = headers.get(&name?.to_lowercase())?;
    Some(value.as_str())
}

/// The cause that a text stands for.
fn cause(evidence: &Evidence, told: &str) -> Option<RefusalCause> {
    let is_in = |texts: &Vec<String>| texts.iter().any(|text| told.contains(text));
    let (cause, _) = evidence.causes.iter().find(|(_, texts)| is_in(texts))?;
    Some(*cause)
}

/// What the callee's application says of how the request came.
fn protocol(peer: &PeerView) -> Option<Protocol> {
    Protocol::ALL
        .into_iter()
        .find(|protocol| asked(*protocol).as_told() == peer.protocol)
}

/// A protocol as the probe knows it.
#[must_use]
pub fn asked(protocol: Protocol) -> probe_api::request::Protocol {
    match protocol {
        Protocol::Http1 => probe_api::request::Protocol::Http1,
        Protocol::Http2 => probe_api::request::Protocol::Http2,
        Protocol::Grpc => probe_api::request::Protocol::Grpc,
        Protocol::Tcp => probe_api::request::Protocol::Tcp,
        Protocol::ServerFirst => probe_api::request::Protocol::ServerFirst,
        Protocol::ApplicationTls => probe_api::request::Protocol::ApplicationTls,
    }
}

/// What the callee's sidecar says of how the request came; none where it says nothing that can be read.
fn arrival(evidence: &Evidence, peer: &PeerView) -> Option<Arrival> {
    let told = header(&peer.headers, evidence.tls_header.as_ref())?;
    let fields: BTreeMap<&str, &str> = told
        .split(';')
        .filter_map(|field| field.split_once('='))
        .collect();
    let field = |name: &str| {
        let value = fields.get(name).copied()?;
        (!matches!(value, "" | "-")).then(|| value.to_owned())
    };
    fields
        .contains_key("version")
        .then(|| match field("version") {
            None => Arrival::Plaintext,
            Some(version) => Arrival::Tls {
                outdated: !evidence.tls_versions.is_empty()
                    && !evidence.tls_versions.contains(&version),
                version,
                cipher: field("cipher").unwrap_or_default(),
                peer: field("peer"),
                serial: field("serial"),
            },
        })
}

/// Why a request was answered by something that is no probe.
fn unanswered(answer: &Answer, why: Option<&str>) -> String {
    match why.or_else(|| {
        answer
            .headers
            .get("x-envoy-response-flags")
            .map(String::as_str)
    }) {
        Some(why) => format!("status {} from a sidecar ({why})", answer.status),
        None => format!("status {} not from a probe", answer.status),
    }
}

#[cfg(test)]
mod tests;
