//! The outcomes of one batch or load, each request once.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use crate::history::{EventKind, RequestSeen};
use crate::scenario::Act;
use std::collections::BTreeMap;

/// Requests by their position in the traffic.
pub(super) struct Traffic<'a> {
    pub(super) requests: BTreeMap<u64, &'a RequestSeen>,
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
            .keys()
            .next_back()
            .map_or(0, |last| last.saturating_add(1))
            .max(wanted(timeline, name));
        Self {
            requests,
            missing: sent.saturating_sub(seen),
            contradictory,
        }
    }

    /// Notes what makes these outcomes unfit to support anything.
    pub(super) fn note_gaps(&self, name: &str, evidence: &mut Evidence) {
        if self.contradictory > 0 {
            evidence.open(detail(
                format!("one outcome for each request of `{name}`"),
                format!("{} with several", self.contradictory),
            ));
        }
        if self.missing > 0 {
            evidence.open(detail(
                format!("an outcome for each request of `{name}`"),
                format!("{} without", self.missing),
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

/// What became of a request that was not answered, in words.
pub(super) fn describe(request: &RequestSeen) -> String {
    let status = request.status.map_or_else(
        || "no answer".to_owned(),
        |status| format!("status {status}"),
    );
    let failure = request
        .failure
        .as_ref()
        .map_or_else(String::new, |failure| format!(" ({failure})"));
    format!("request {}: {status}{failure}", request.sequence)
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
