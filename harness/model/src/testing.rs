//! Hand-made environments and histories for the tests of this crate.

use crate::configuration::{Configuration, Rule, Scope, ScopeEntry};
use crate::directory::{Directory, Sidecar};
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::history::{
    Answerer, DeliveryStatus, Event, EventKind, Observation, RequestSeen, Stream,
};
use crate::patience::Whose;
use crate::scenario::{Act, Disturbs, Given, Scenario, Tag};
use std::collections::BTreeMap;

/// Three zones with frontend and checkout in each, and two canaries.
pub(crate) fn directory() -> Directory {
    let mut sidecars = Vec::new();
    for (number, application) in [(1, "frontend"), (2, "checkout")] {
        for zone in 1..=3 {
            sidecars.push(sidecar(application, zone, number));
        }
    }
    sidecars.push(sidecar("canary", 1, 9));
    sidecars.push(sidecar("canary", 2, 9));
    Directory {
        data_centers: (1..=3).map(|zone| format!("zone{zone}")).collect(),
        sidecars,
    }
}

/// A sidecar with address `10.(100+zone).1.number`.
pub(crate) fn sidecar(application: &str, zone: usize, number: usize) -> Sidecar {
    Sidecar {
        name: format!("{application}@zone{zone}"),
        pod: format!("{application}-zone{zone}-0"),
        pod_uid: format!("uid-{application}-{zone}"),
        cluster: "local".to_owned(),
        data_center: format!("zone{zone}"),
        node: format!("zone{zone}-1"),
        application: application.to_owned(),
        ip: format!("10.{}.1.{number}", 100 + zone),
        identity: Some(format!("spiffe://mesh/sa/{application}")),
    }
}

/// A scenario with these acts that expects `delivered`.
pub(crate) fn scenario(when: Vec<Act>) -> Scenario {
    Scenario {
        name: "suite/sample".to_owned(),
        claim: "this sample holds true".to_owned(),
        tags: vec![Tag::Qa],
        requires: vec![],
        disturbs: Disturbs::Nothing,
        given: Given::default(),
        when,
        then: vec![Expectation::Delivered],
    }
}

/// An empty reading on replica `a`.
pub(crate) fn reading(sidecar: &str, uid: &str) -> Observation {
    Observation {
        sidecar: sidecar.to_owned(),
        pod_uid: uid.to_owned(),
        stream: Stream {
            replica: Some("a".to_owned()),
            epoch: 1,
            form: None,
        },
        ..Observation::default()
    }
}

pub(crate) fn entry_ip(ip: &str) -> ScopeEntry {
    ScopeEntry {
        ip: Some(ip.to_owned()),
        ..ScopeEntry::default()
    }
}

pub(crate) fn entry_application(application: &str) -> ScopeEntry {
    ScopeEntry {
        application: Some(application.to_owned()),
        ..ScopeEntry::default()
    }
}

pub(crate) fn entry_zone(zone: &str) -> ScopeEntry {
    ScopeEntry {
        data_center: Some(zone.to_owned()),
        ..ScopeEntry::default()
    }
}

/// A rule that sends requests for `checkout` to `to`.
pub(crate) fn rule(to: &str) -> Rule {
    Rule {
        service: "checkout".to_owned(),
        path_prefix: None,
        path_regex: None,
        headers: BTreeMap::new(),
        to: [(to.to_owned(), 100)].into(),
        ..Rule::default()
    }
}

/// Toggle `flag` = `value` and rule `route` to `value` for those whom the entries match.
pub(crate) fn configuration(name: &str, entries: Vec<ScopeEntry>, value: &str) -> Configuration {
    Configuration {
        name: name.to_owned(),
        scope: Scope {
            entries,
            except: vec![],
        },
        priority: 0,
        toggles: [("flag".to_owned(), value.to_owned())].into(),
        rules: [("route".to_owned(), rule(value))].into(),
        tls: None,
    }
}

/// Writes a history event by event; each takes one millisecond.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    pub(crate) events: Vec<Event>,
    pub(crate) at_ms: u64,
    pub(crate) step: Option<usize>,
}

impl Recorder {
    pub(crate) fn new(sidecars: &[Sidecar]) -> Self {
        let mut recorder = Self::default();
        for sidecar in sidecars {
            recorder.push(EventKind::SidecarJoined {
                sidecar: sidecar.clone(),
            });
        }
        recorder
    }

    pub(crate) fn push(&mut self, kind: EventKind) -> &mut Self {
        self.at_ms += 1;
        self.events.push(Event {
            at_ns: self.at_ms * 1_000_000,
            step: self.step,
            kind,
        });
        self
    }

    pub(crate) fn wait(&mut self, millis: u64) -> &mut Self {
        self.at_ms += millis;
        self
    }

    /// The next event is then, or at once where that is over.
    pub(crate) fn wait_until(&mut self, at_ms: u64) -> &mut Self {
        self.wait(at_ms.saturating_sub(self.at_ms + 1))
    }

    /// When the last event was.
    pub(crate) fn now_ns(&self) -> u64 {
        self.events.last().map_or(0, |event| event.at_ns)
    }

    pub(crate) fn step(&mut self, step: usize) -> &mut Self {
        self.step = Some(step);
        self.push(EventKind::StepStarted)
    }

    pub(crate) fn finished(&mut self) -> &mut Self {
        self.step = None;
        self.push(EventKind::Finished)
    }

    pub(crate) fn write(&mut self, configuration: &Configuration) -> &mut Self {
        self.push(EventKind::WriteStarted {
            configuration: Some(configuration.clone()),
            name: configuration.name.clone(),
        });
        self.push(EventKind::Written {
            name: configuration.name.clone(),
            objects: BTreeMap::new(),
        })
    }

    pub(crate) fn delete(&mut self, name: &str) -> &mut Self {
        self.push(EventKind::WriteStarted {
            configuration: None,
            name: name.to_owned(),
        });
        self.push(EventKind::Written {
            name: name.to_owned(),
            objects: BTreeMap::new(),
        })
    }

    pub(crate) fn marker(&mut self, marker: &str) -> &mut Self {
        self.push(EventKind::MarkerWritten {
            marker: marker.to_owned(),
        })
    }

    pub(crate) fn observe(&mut self, observation: Observation) -> &mut Self {
        self.push(EventKind::Observed(Box::new(observation)))
    }

    pub(crate) fn gave_up(&mut self) -> &mut Self {
        self.push(EventKind::GaveUp {
            waited_for: "something".to_owned(),
            whose: Whose::Mesh,
        })
    }

    pub(crate) fn gave_up_itself(&mut self) -> &mut Self {
        self.push(EventKind::GaveUp {
            waited_for: "something of its own".to_owned(),
            whose: Whose::Harness,
        })
    }

    pub(crate) fn unreadable(&mut self, sidecar: &str) -> &mut Self {
        self.push(EventKind::ObservationFailed {
            sidecar: sidecar.to_owned(),
            reason: "no sidecar".to_owned(),
        })
    }

    pub(crate) fn reconnected(&mut self, sidecar: &str, replica: &str, epoch: u64) -> &mut Self {
        self.push(EventKind::Reconnected {
            sidecar: sidecar.to_owned(),
            replica: Some(replica.to_owned()),
            epoch,
        })
    }

    pub(crate) fn status(&mut self, name: &str, status: DeliveryStatus) -> &mut Self {
        self.push(EventKind::Status {
            name: name.to_owned(),
            status,
        })
    }

    pub(crate) fn fault_started(&mut self, spec: Fault, hits: &[&str]) -> &mut Self {
        self.push(EventKind::FaultStarted {
            fault: 0,
            spec,
            hits: hits.iter().map(|hit| (*hit).to_owned()).collect(),
            efficacy: "measured".to_owned(),
            left: None,
        })
    }

    pub(crate) fn fault_ended(&mut self) -> &mut Self {
        self.push(EventKind::FaultEnded { fault: 0 })
    }

    /// The same history, with its end where that is missing.
    pub(crate) fn whole(&self) -> Self {
        let mut whole = self.clone();
        if whole.events.iter().all(|e| e.kind != EventKind::Finished) {
            whole.finished();
        }
        whole
    }

    /// A request of `traffic` from frontend@zone1 that is due now, changed by `change`.
    pub(crate) fn request(
        &mut self,
        sequence: u64,
        change: impl FnOnce(&mut RequestSeen),
    ) -> &mut Self {
        let mut seen = RequestSeen {
            traffic: "traffic".to_owned(),
            sequence,
            from: "frontend@zone1".to_owned(),
            due_ns: (self.at_ms + 1) * 1_000_000,
            latency_us: 100,
            protocol: None,
            connection: None,
            status: Some(200),
            failure: None,
            answered_by: Some(Answerer {
                pod: "checkout-zone1-0".to_owned(),
                application: "checkout".to_owned(),
                data_center: "zone1".to_owned(),
            }),
            passed_caller_sidecar: true,
            passed_callee_sidecar: true,
            arrived: None,
            cause: None,
        };
        change(&mut seen);
        self.push(EventKind::Request(Box::new(seen)))
    }
}

/// What a sidecar shows that holds `value` (see [`configuration`]) and the marker.
pub(crate) fn shows(sidecar: &Sidecar, replica: &str, value: &str, marker: &str) -> Observation {
    let mut observation = reading(&sidecar.name, &sidecar.pod_uid);
    observation.stream.replica = Some(replica.to_owned());
    if !value.is_empty() {
        observation
            .toggles
            .insert("flag".to_owned(), value.to_owned());
        observation
            .rules
            .insert("route".to_owned(), format!("hash-{value}"));
    }
    if !marker.is_empty() {
        observation.marker_toggle = Some(marker.to_owned());
        observation.marker_rule = Some(marker.to_owned());
    }
    observation
}
