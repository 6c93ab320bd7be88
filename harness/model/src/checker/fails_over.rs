//! `fails_over`: while something cannot be reached, others take its traffic.

use super::evidence::{Evidence, clock, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::duration::Span;
use crate::history::EventKind;
use std::collections::BTreeSet;

/// One fault from its measured beginning to its end.
pub(super) struct Outage {
    pub(super) begin: usize,
    pub(super) begin_ns: u64,
    pub(super) end: usize,
    pub(super) end_ns: u64,
    /// Stable names or pod names of what it hit.
    pub(super) hits: BTreeSet<String>,
}

/// The faults of a history that have ended.
pub(super) fn outages(timeline: &Timeline<'_>) -> Vec<Outage> {
    let events = timeline.events;
    let ended = |number: usize, from: usize| {
        (from..events.len()).find(
            |index| matches!(events[*index].kind, EventKind::FaultEnded { fault } if fault == number),
        )
    };
    events
        .iter()
        .enumerate()
        .filter_map(|(begin, event)| match &event.kind {
            EventKind::FaultStarted { fault, hits, .. } => {
                let end = ended(*fault, begin)?;
                Some(Outage {
                    begin,
                    begin_ns: event.at_ns,
                    end,
                    end_ns: events[end].at_ns,
                    hits: hits.iter().cloned().collect(),
                })
            }
            _ => None,
        })
        .collect()
}

impl Outage {
    /// Whether a pod is one of those hit.
    pub(super) fn hits_pod(&self, timeline: &Timeline<'_>, pod: &str) -> bool {
        self.hits.contains(pod)
            || timeline
                .lives
                .iter()
                .any(|life| life.sidecar.pod == pod && self.hits.contains(&life.sidecar.name))
    }
}

/// Judges the requests that were due from `within` after a fault began until it ended: they are to be answered, and within the
/// same time.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, within: Span) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    for outage in outages(timeline) {
        let from_ns = outage.begin_ns.saturating_add(within.as_nanos());
        let due: Vec<_> = traffic
            .requests
            .values()
            .copied()
            .filter(|request| request.due_ns >= from_ns && request.due_ns < outage.end_ns)
            .collect();
        let mut elsewhere = 0;
        let mut lost = Alike::by_time(due.len());
        for request in &due {
            if !is_answered(request) {
                let expected = format!("`{name}` to have moved elsewhere by {}", clock(from_ns));
                lost.note(request, expected, describe(request));
            } else if request.done_ns() - request.due_ns > within.as_nanos() {
                let expected = format!("requests of `{name}` to be answered within {within}");
                let took = Span::millis(request.latency_us / 1000);
                lost.note(request, expected, format!(" after {took}"));
            } else if let Some(answerer) = &request.answered_by
                && !outage.hits_pod(timeline, &answerer.pod)
                // An answer that came when the fault was over may have waited for that.
                && request.done_ns() <= outage.end_ns
            {
                elsewhere += 1;
            }
        }
        lost.contradict(&mut evidence);
        if elsewhere == 0 {
            evidence.open(detail(
                format!("an answer to `{name}` from outside what the fault hit, while it lasts"),
                format!("none of {} requests", due.len()),
            ));
        }
        evidence.support(elsewhere);
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
