//! The outcomes of one batch or load, each request once.

use super::evidence::{Evidence, detail};
use super::timeline::{Place, Timeline};
use crate::history::{EventKind, RequestSeen};
use crate::scenario::Act;
use std::collections::BTreeMap;

/// For how long before it is stopped a load may be silent: whoever sends it needs time to be told.
const SILENCE_NS: u64 = 1_000_000_000;

/// Requests by their position in the traffic.
pub(super) struct Traffic<'a> {
    pub(super) requests: BTreeMap<u64, &'a RequestSeen>,
    /// The step that sends them; none of a load, which goes on over several.
    pub(super) step: Option<usize>,
    /// How many were sent or should have been, and left no outcome.
    pub(super) missing: u64,
    /// Positions with more than one outcome.
    contradictory: u64,
}

impl<'a> Traffic<'a> {
    pub(super) fn of(timeline: &Timeline<'a>, name: &str) -> Self {
        let mut requests: BTreeMap<u64, &'a RequestSeen> = BTreeMap::new();
        let mut contradictory = 0;
        let events = timeline.events;
        for event in events {
            let EventKind::Request(seen) = &event.kind else {
                continue;
            };
            if seen.traffic != name {
                continue;
            }
            let first = *requests.entry(seen.sequence).or_insert(seen);
            if first != seen.as_ref() {
                contradictory += 1;
            }
        }
        let seen = u64::try_from(requests.len()).unwrap_or(u64::MAX);
        let sent = requests
            .last_key_value()
            .map_or(0, |(last, request)| {
                last.saturating_add(1)
                    .saturating_add(unsent(timeline, name, request.due_ns))
            })
            .max(wanted(timeline, name));
        Self {
            requests,
            step: step(timeline, name),
            missing: sent.saturating_sub(seen),
            contradictory,
        }
    }

    /// Notes what makes these outcomes unfit to support anything.
    pub(super) fn note_gaps(&self, name: &str, evidence: &mut Evidence) {
        self.note_contradictions(name, evidence);
        self.note_missing(name, evidence);
    }

    /// The requests that left no outcome.
    pub(super) fn note_missing(&self, name: &str, evidence: &mut Evidence) {
        if self.missing > 0 {
            evidence.open(detail(
                format!("an outcome for each request of `{name}`"),
                format!("{} without", self.missing),
            ));
        }
    }

    /// The requests with several outcomes.
    pub(super) fn note_contradictions(&self, name: &str, evidence: &mut Evidence) {
        if self.contradictory > 0 {
            evidence.open(detail(
                format!("one outcome for each request of `{name}`"),
                format!("{} with several", self.contradictory),
            ));
        }
    }

    /// The requests that were answered.
    pub(super) fn answered(&self) -> impl Iterator<Item = &'a RequestSeen> {
        self.requests.values().copied().filter(|r| is_answered(r))
    }
}

/// Answered with status 200.
pub(super) fn is_answered(request: &RequestSeen) -> bool {
    request.status == Some(200)
}

/// What became of a request that was not answered, in words that fit behind "requests".
pub(super) fn describe(request: &RequestSeen) -> String {
    let status = request.status.map_or_else(
        || "no answer".to_owned(),
        |status| match &request.answered_by {
            None if status == 200 => {
                "status 200, and no application says that it answered".to_owned()
            }
            _ => format!("status {status}"),
        },
    );
    let failure = request
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!(" ({failure})"));
    format!(": {status}{failure}")
}

fn step(timeline: &Timeline<'_>, name: &str) -> Option<usize> {
    let is_batch = |act: &Act| matches!(act, Act::Request(traffic) if traffic.name == name);
    timeline.scenario.when.iter().position(is_batch)
}

fn wanted(timeline: &Timeline<'_>, name: &str) -> u64 {
    timeline
        .scenario
        .when
        .iter()
        .find_map(|act| match act {
            Act::Request(traffic) if traffic.name == name => Some(u64::from(traffic.count)),
            _ => None,
        })
        .unwrap_or(0)
}

/// How many requests a load should still have sent after its last one, which was due then, until it was stopped.
fn unsent(timeline: &Timeline<'_>, name: &str, last_due_ns: u64) -> u64 {
    let acts = &timeline.scenario.when;
    let rate = acts.iter().find_map(|act| match act {
        Act::Load(load) if load.name == name => Some(u64::from(load.rate)),
        _ => None,
    });
    let stop = acts
        .iter()
        .position(|act| matches!(act, Act::Stop(stopped) if stopped == name))
        .and_then(|step| timeline.point(Place::Step(step)));
    let (Some(rate), Some(stop)) = (rate, stop) else {
        return 0;
    };
    let silent_ns = timeline.events[stop.first]
        .at_ns
        .saturating_sub(last_due_ns);
    if silent_ns > SILENCE_NS {
        silent_ns.saturating_mul(rate) / 1_000_000_000
    } else {
        0
    }
}
