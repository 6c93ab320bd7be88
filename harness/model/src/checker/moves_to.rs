//! `moves_to`: what a change means for connections that are there already.

use super::evidence::{Evidence, clock, detail};
use super::requests::Alike;
use super::timeline::{Place, Timeline};
use super::traffic::Traffic;
use crate::duration::Span;
use crate::history::{Arrival, EventKind, RequestSeen, Spoken};
use crate::protocol::Connections;
use crate::scenario::Act;
use crate::words;

/// Judges the answered requests that were due from `within` after the write, and done before something else was written:
/// one that was late may have been sent only afterwards. Where the load keeps a connection it decides nothing unless one was
/// in use for some time when something was written: new connections show nothing about old ones.
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
            format!(
                "{} to write something",
                words::step(step, Some(timeline.scenario))
            ),
            "nothing was written",
        ));
        return evidence;
    };
    let from_ns = written.at_ns.saturating_add(within.as_nanos());
    let until_ns = end(timeline, name, step);
    let expected = format!(
        "requests of `{name}` to be {} from {} on, after {}",
        words::spoken(is),
        clock(from_ns),
        words::step(step, Some(timeline.scenario))
    );
    let judged: Vec<&RequestSeen> = traffic
        .answered()
        .filter(|request| request.due_ns >= from_ns && request.done_ns() < until_ns)
        .collect();
    let mut untold = Alike::by_time(judged.len());
    let mut wrong = Alike::by_time(judged.len());
    for request in judged {
        let came = match &request.arrived {
            Some(Arrival::Tls { .. }) => Spoken::Tls,
            Some(Arrival::Plaintext) => Spoken::Plaintext,
            None => {
                let observed = " that do not tell".to_owned();
                untold.note(request, expected.clone(), observed);
                continue;
            }
        };
        if came == is {
            evidence.support(1);
        } else {
            let observed = format!(" that were {}", words::spoken(came));
            wrong.note(request, expected.clone(), observed);
        }
    }
    untold.leave_open(&mut evidence);
    wrong.contradict(&mut evidence);
    if keeps_connections(timeline, name) && !was_kept(&traffic, written.at_ns) {
        evidence.open(detail(
            format!(
                "several requests of `{name}` over the connection in use at {}",
                clock(written.at_ns)
            ),
            "one at most",
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

/// The connection that was in use by then, that of the last request that was answered, had carried another one.
fn was_kept(traffic: &Traffic<'_>, by_ns: u64) -> bool {
    let before = || {
        let answered = traffic.answered();
        answered.filter(|request| request.done_ns() < by_ns)
    };
    let last = before().max_by_key(|request| request.done_ns());
    let in_use = last.and_then(|request| request.connection);
    in_use.is_some_and(|in_use| {
        let over_it = before().filter(|request| request.connection == Some(in_use));
        over_it.count() > 1
    })
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
