//! Reducing what a sidecar holds to what one scenario owns, and what a request shows of the sidecars it passed.

use crate::definition::State;
use crate::{Keys, Mesh, template};
use harness_model::directory::Sidecar;
use harness_model::history::{Answerer, Observation, RequestSeen, Stream};
use probe_api::request::{RequestOutcome, RequestResult};
use probe_api::state::{SidecarReading, SidecarState};
use std::collections::BTreeMap;

impl Mesh {
    /// One reading of a sidecar, reduced to the scenario's keys and marker. `sidecar` is who was asked.
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
    ) -> Result<Observation, String> {
        reduce(&self.definition.state, keys, sidecar, state)
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
            status: None,
            failure: None,
            answered_by: None,
            passed_caller_sidecar: false,
            passed_callee_sidecar: false,
        };
        match &outcome.result {
            RequestResult::Failed { kind, message } => {
                seen.failure = Some(format!("{kind:?}: {message}").to_lowercase());
            }
            RequestResult::Answered(answer) => {
                seen.status = Some(answer.status);
                if let Some(peer) = &answer.peer {
                    let evidence = &self.definition.evidence;
                    let carries = |header: &Option<String>, pod: &str| {
                        header
                            .as_ref()
                            .and_then(|name| peer.headers.get(&name.to_lowercase()))
                            .is_some_and(|value| value == pod)
                    };
                    seen.passed_caller_sidecar = carries(&evidence.caller_header, &from.pod);
                    seen.passed_callee_sidecar =
                        carries(&evidence.callee_header, &peer.identity.pod);
                    seen.answered_by = Some(Answerer {
                        pod: peer.identity.pod.clone(),
                        application: peer.identity.application.clone(),
                        data_center: peer.identity.zone.clone(),
                    });
                } else if answer.status != 200 {
                    seen.failure = Some(unanswered(answer));
                }
            }
        }
        seen
    }

    /// How a workload calls a service.
    #[must_use]
    pub fn service_url(&self, service: &str, path: &str) -> String {
        template::service_url(&self.definition.workloads.service_url, service, path)
    }
}

/// The reading without what other scenarios own.
fn reduce(
    form: &State,
    keys: &Keys,
    sidecar: &Sidecar,
    state: &SidecarState,
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
        },
        toggles: BTreeMap::new(),
        rules: BTreeMap::new(),
        warming_rules: BTreeMap::new(),
        marker_toggle: None,
        marker_rule: None,
        rejected: BTreeMap::new(),
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

/// Why a request was answered by something that is no probe.
fn unanswered(answer: &probe_api::request::Answer) -> String {
    let flags = answer.headers.get("x-envoy-response-flags");
    match flags {
        Some(flags) => format!("status {} from a sidecar ({flags})", answer.status),
        None => format!("status {} not from a probe", answer.status),
    }
}

#[cfg(test)]
mod tests;
