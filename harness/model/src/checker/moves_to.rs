//! `moves_to`: what a change means for connections that are there already.

use super::evidence::{Evidence, clock, detail};
use super::timeline::{Place, Timeline};
use super::traffic::Traffic;
use crate::duration::Span;
use crate::history::{Arrival, EventKind, Spoken};
use crate::protocol::Connections;
use crate::scenario::Act;
use crate::verdict::Detail;
use crate::words;
use std::collections::BTreeSet;

/// Judges the answered requests that were due from `within` after the write, and done before something else was written:
/// one that was late may have been sent only afterwards. Where the load keeps a connection it decides nothing unless one was
/// kept before the write: new connections show nothing about old ones.
pub(super) fn check(
    timeline: &Timeline<'_>,
    name: &str,
    step: usize,
    within: Span,
    is: Spoken,
) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let written =
        timeline.events.iter().rev().find(|event| {
            event.step == Some(step) && matches!(event.kind, EventKind::Written { .. })
        });
    let Some(written) = written else {
        evidence.open(detail(
            format!("step {} to write something", step + 1),
            "nothing was written",
        ));
        return evidence;
    };
    let from_ns = written.at_ns.saturating_add(within.as_nanos());
    let until_ns = end(timeline, name, step);
    for request in traffic.answered() {
        if request.due_ns < from_ns || request.done_ns() >= until_ns {
            continue;
        }
        let told = |observed: String| Detail {
            sidecar: Some(request.from.clone()),
            ..detail(
                format!(
                    "requests of `{name}` to be {} from {} on",
                    words::spoken(is),
                    clock(from_ns)
                ),
                format!(
                    "request {}, due at {}, {observed}",
                    request.sequence,
                    clock(request.due_ns)
                ),
            )
        };
        let came = match &request.arrived {
            Some(Arrival::Tls { .. }) => Spoken::Tls,
            Some(Arrival::Plaintext) => Spoken::Plaintext,
            None => {
                evidence.open(told("does not tell".to_owned()));
                continue;
            }
        };
        if came == is {
            evidence.support(1);
        } else {
            evidence.contradict(told(format!("was {}", words::spoken(came))));
        }
    }
    if keeps_connections(timeline, name) && !was_kept(&traffic, written.at_ns) {
        evidence.open(detail(
            format!(
                "one connection to carry several requests of `{name}` before {}",
                clock(written.at_ns)
            ),
            "none that did",
        ));
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}

fn keeps_connections(timeline: &Timeline<'_>, name: &str) -> bool {
    let mut acts = timeline.scenario.when.iter();
    acts.any(|act| {
        matches!(act, Act::Load(load)
            if load.name == name && load.connections == Connections::Kept)
    })
}

/// Two requests that were answered by then came over one connection.
fn was_kept(traffic: &Traffic<'_>, by_ns: u64) -> bool {
    let mut carried = BTreeSet::new();
    traffic
        .answered()
        .filter(|request| request.done_ns() < by_ns)
        .filter_map(|request| request.connection)
        .any(|connection| !carried.insert(connection))
}

/// When the next write began, or the load was stopped.
fn end(timeline: &Timeline<'_>, name: &str, step: usize) -> u64 {
    let acts = timeline.scenario.when.iter().enumerate().skip(step + 1);
    acts.filter(|(_, act)| match act {
        Act::Apply(_) | Act::Delete(_) => true,
        Act::Stop(stopped) => stopped == name,
        _ => false,
    })
    .find_map(|(next, _)| timeline.point(Place::Step(next)))
    .map_or(u64::MAX, |point| timeline.events[point.first].at_ns)
}
