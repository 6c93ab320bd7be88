//! Who showed which configuration content when: one scenario's history reduced to lanes, marks and bands.

mod tls;

pub use tls::{TlsShown, TlsSpan};

#[cfg(test)]
pub(crate) use tests::refusals;
#[cfg(test)]
pub(crate) use tls::tests::reading as reading_of_tls;

use harness_model::checker::is_refused_as_wanted;
use harness_model::configuration::Scope;
use harness_model::expectation::Expectation;
use harness_model::fault::Fault;
use harness_model::history::{Event, EventKind, Observation, RequestSeen, XdsForm};
use harness_model::scenario::{CANARY_APPLICATION, Scenario};
use std::collections::{BTreeMap, BTreeSet};

/// One scenario's history, reduced.
#[derive(Clone, Debug, Default)]
pub struct Timeline {
    /// One for each sidecar, by stable name.
    pub lanes: BTreeMap<String, Lane>,
    /// Contents in the order in which they were first seen; segments point into it.
    pub contents: Vec<String>,
    /// Writes and markers.
    pub marks: Vec<Mark>,
    /// Acts by index, with the time of their first event.
    pub steps: BTreeMap<usize, u64>,
    /// Faults.
    pub bands: Vec<Band>,
    /// Traffic by name: requests and what became of them.
    pub traffic: BTreeMap<String, TrafficSum>,
    /// Nanoseconds of each event, by its index in the history.
    pub times: Vec<u64>,
    /// Nanoseconds of the first event.
    pub start_ns: Option<u64>,
    /// Nanoseconds of the last event.
    pub end_ns: u64,
    /// The addresses that canaries have, or had.
    canary_addresses: BTreeSet<String>,
    /// The configurations that are meant for canaries, too.
    to_canaries: BTreeSet<String>,
    /// What the scenario expects: some of its requests are to be refused.
    then: Vec<Expectation>,
}

/// One sidecar's lane.
#[derive(Clone, Debug, Default)]
pub struct Lane {
    /// Data center, where the history tells it.
    pub data_center: String,
    /// What it showed, one after another; gaps are times when nobody knows.
    pub segments: Vec<Segment>,
    /// How it was set up for TLS, the same way; empty where the scenario does not speak of that.
    pub tls: Vec<TlsSpan>,
    /// When requests that it sent were lost.
    pub losses: Vec<u64>,
    /// When requests that it sent were refused as the scenario wants it.
    pub refusals: Vec<u64>,
    /// When it could not be read.
    pub unreadable: Vec<u64>,
}

/// A time during which every reading showed the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First reading.
    pub from_ns: u64,
    /// Last moment for which it is taken to hold: the next different reading, or the end.
    pub to_ns: u64,
    /// Index into [`Timeline::contents`].
    pub content: usize,
    /// The control-plane replica of the first reading.
    pub replica: Option<String>,
    /// The form of xDS of the first reading.
    pub form: Option<XdsForm>,
    /// Still held by the sidecar as far as is known.
    open: bool,
}

/// Something that happened to everybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at_ns: u64,
    /// What.
    pub kind: MarkKind,
}

/// What a mark stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkKind {
    /// A configuration was written or deleted.
    Write {
        /// Its name.
        name: String,
        /// It is meant for the canaries, too: the runner adds them to its scope where a proof needs them.
        to_canaries: bool,
    },
    /// A marker was written (its value).
    Marker(String),
    /// A wait of ours ended without what it waited for.
    GaveUp(String),
}

/// A fault from its start to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Band {
    /// Number within the scenario.
    pub fault: usize,
    /// In words.
    pub title: String,
    /// Start.
    pub from_ns: u64,
    /// End; none while it lasts.
    pub to_ns: Option<u64>,
    /// Whom it hits: stable names, or pod names of replicas.
    pub hits: Vec<String>,
}

/// What became of a batch or load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrafficSum {
    /// Requests with an outcome.
    pub sent: u64,
    /// Refused, as the scenario wants it.
    pub refused: u64,
    /// All others without status 200.
    pub lost: u64,
    /// Answers by data center.
    pub answered_in: BTreeMap<String, u64>,
    /// From due to answered, microseconds, of each request with status 200.
    pub latencies_us: Vec<u64>,
}

impl TrafficSum {
    /// The latency at or below which `percent` of the answers came (nearest rank), microseconds; none without answers.
    #[must_use]
    pub fn latency_us(&self, percent: usize) -> Option<u64> {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied()
    }
}

impl Timeline {
    /// One of this scenario, which may want requests to be refused. Without one all that are not answered are lost.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        Self {
            then: scenario.then.clone(),
            ..Self::default()
        }
    }

    /// Takes one event.
    pub fn on(&mut self, event: &Event) {
        let at = event.at_ns;
        self.times.push(at);
        self.start_ns.get_or_insert(at);
        self.end_ns = self.end_ns.max(at);
        if let Some(step) = event.step {
            self.steps.entry(step).or_insert(at);
        }
        match &event.kind {
            EventKind::SidecarJoined { sidecar } => {
                let lane = self.lanes.entry(sidecar.name.clone()).or_default();
                lane.data_center.clone_from(&sidecar.data_center);
                if sidecar.application == CANARY_APPLICATION {
                    self.canary_addresses.insert(sidecar.ip.clone());
                }
            }
            EventKind::SidecarLeft { sidecar, .. } => self.close(sidecar, at),
            EventKind::WriteStarted {
                configuration,
                name,
            } => {
                self.to_canaries.remove(name);
                let mut scopes = configuration.iter().map(|written| &written.scope);
                if scopes.any(|scope| self.reaches_canaries(scope)) {
                    self.to_canaries.insert(name.clone());
                }
            }
            EventKind::Written { name, .. } => self.marks.push(Mark {
                at_ns: at,
                kind: MarkKind::Write {
                    name: name.clone(),
                    to_canaries: self.to_canaries.contains(name),
                },
            }),
            EventKind::MarkerWritten { marker, .. } => self.marks.push(Mark {
                at_ns: at,
                kind: MarkKind::Marker(marker.clone()),
            }),
            EventKind::GaveUp { waited_for, .. } => self.marks.push(Mark {
                at_ns: at,
                kind: MarkKind::GaveUp(waited_for.clone()),
            }),
            EventKind::Observed(observation) => self.observed(at, observation),
            EventKind::ObservationFailed { sidecar, .. } => {
                let lane = self.lanes.entry(sidecar.clone()).or_default();
                lane.unreadable.push(at);
            }
            EventKind::Request(request) => self.requested(request),
            EventKind::FaultStarted {
                fault, spec, hits, ..
            } => self.bands.push(Band {
                fault: *fault,
                title: fault_title(spec),
                from_ns: at,
                to_ns: None,
                hits: hits.clone(),
            }),
            EventKind::FaultEnded { fault, .. } => {
                let open = |b: &&mut Band| b.fault == *fault && b.to_ns.is_none();
                if let Some(band) = self.bands.iter_mut().find(open) {
                    band.to_ns = Some(at);
                }
            }
            _ => {}
        }
    }

    /// The scenario is over: what was still open holds to the last event.
    pub fn finish(&mut self) {
        let end = self.end_ns;
        for lane in self.lanes.values_mut() {
            if let Some(last) = lane.segments.last_mut().filter(|s| s.open) {
                last.to_ns = end;
                last.open = false;
            }
            tls::close(&mut lane.tls, end);
        }
    }

    /// Nothing was recorded that could be drawn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    fn close(&mut self, sidecar: &str, at: u64) {
        let Some(lane) = self.lanes.get_mut(sidecar) else {
            return;
        };
        if let Some(last) = lane.segments.last_mut().filter(|s| s.open) {
            last.to_ns = at;
            last.open = false;
        }
        tls::close(&mut lane.tls, at);
    }

    /// Names them, or one of them by its address.
    fn reaches_canaries(&self, scope: &Scope) -> bool {
        scope.entries.iter().any(|entry| {
            let ip = entry.ip.as_deref().map(|ip| ip.trim_end_matches("/32"));
            entry.application.as_deref() == Some(CANARY_APPLICATION)
                || ip.is_some_and(|ip| self.canary_addresses.contains(ip))
        })
    }

    fn requested(&mut self, request: &RequestSeen) {
        let sum = self.traffic.entry(request.traffic.clone()).or_default();
        sum.sent += 1;
        if request.status == Some(200) {
            sum.latencies_us.push(request.latency_us);
            if let Some(answerer) = &request.answered_by {
                *sum.answered_in
                    .entry(answerer.data_center.clone())
                    .or_default() += 1;
            }
            return;
        }
        let lane = self.lanes.entry(request.from.clone()).or_default();
        if is_refused_as_wanted(&self.then, request) {
            sum.refused += 1;
            lane.refusals.push(request.due_ns);
        } else {
            sum.lost += 1;
            lane.losses.push(request.due_ns);
        }
    }

    fn observed(&mut self, at: u64, observation: &Observation) {
        let words = content_words(observation);
        let content = match self.contents.iter().position(|c| *c == words) {
            Some(index) => index,
            None => {
                self.contents.push(words);
                self.contents.len() - 1
            }
        };
        let lane = self.lanes.entry(observation.sidecar.clone()).or_default();
        tls::take(&mut lane.tls, at, observation);
        if let Some(last) = lane.segments.last_mut().filter(|s| s.open) {
            last.to_ns = at;
            if last.content == content {
                return;
            }
            last.open = false;
        }
        lane.segments.push(Segment {
            from_ns: at,
            to_ns: at,
            content,
            replica: observation.stream.replica.clone(),
            form: observation.stream.form,
            open: true,
        });
    }
}

/// Stands between the parts of a content.
pub const SEPARATOR: &str = " · ";

/// What a reading shows of the scenario's keys, in words; empty when it shows nothing.
fn content_words(observation: &Observation) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (key, value) in &observation.toggles {
        parts.push(format!("{key} = {value}"));
    }
    for (name, hash) in &observation.rules {
        parts.push(format!("rule {name} ({})", short(hash)));
    }
    for (name, hash) in &observation.warming_rules {
        parts.push(format!("warming rule {name} ({})", short(hash)));
    }
    for kind in observation.rejected.keys() {
        parts.push(format!(
            "rejected {}",
            kind.rsplit('.').next().unwrap_or(kind)
        ));
    }
    parts.join(SEPARATOR)
}

fn short(hash: &str) -> &str {
    let plain = hash.strip_prefix("sha256:").unwrap_or(hash);
    plain
        .char_indices()
        .nth(6)
        .map_or(plain, |(end, _)| &plain[..end])
}

fn fault_title(fault: &Fault) -> String {
    harness_model::words::fault(fault)
}

#[cfg(test)]
mod tests;
