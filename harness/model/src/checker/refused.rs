//! `refused`: a sidecar turns every request away, for the cause that is expected.

use super::evidence::{Evidence, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::{EventKind, RefusalCause, RequestSeen};
use crate::verdict::Detail;
use crate::words;
use std::collections::BTreeMap;

/// Judges a batch or load. A request that failed for a reason nobody knows decides nothing.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, because: RefusalCause) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let expected = format!(
        "requests of `{name}` to be refused: {}",
        words::cause(because)
    );
    let alike = || Alike::by_time(traffic.requests.len()).in_step(traffic.step);
    let (mut wrong, mut unknown) = (alike(), alike());
    for request in traffic.requests.values() {
        match request.cause {
            _ if is_refused(request, because) => evidence.support(1),
            _ if is_answered(request) => {
                let by = request.answered_by.as_ref().map_or_else(String::new, |by| {
                    format!(" by {} in {} ({})", by.application, by.data_center, by.pod)
                });
                wrong.note(request, expected.clone(), format!(" answered{by}"));
            }
            Some(cause) => {
                let observed = format!(": {}", words::cause(cause));
                wrong.note(request, expected.clone(), observed);
            }
            None => unknown.note(request, expected.clone(), describe(request)),
        }
    }
    wrong.contradict(&mut evidence);
    unknown.leave_open(&mut evidence);
    traffic.note_gaps(name, &mut evidence);
    if let Some(open) = who_ended_it(timeline, name, because) {
        evidence.open(Detail {
            step: traffic.step,
            ..open
        });
    }
    evidence
}

/// Whether a request was refused, and for this cause.
pub(super) fn is_refused(request: &RequestSeen, because: RefusalCause) -> bool {
    !is_answered(request) && request.cause == Some(because)
}

/// That it is open who ended the connections of a batch over which no sidecar of the callee has turned any away for this cause: a
/// caller that is told no more than that they ended is told the same by a callee that crashed. Where none tells how many it has,
/// how they ended is all that is known.
fn who_ended_it(timeline: &Timeline<'_>, name: &str, cause: RefusalCause) -> Option<Detail> {
    let mut counts = timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::TurnedAway {
                traffic,
                because,
                sidecars,
            } if traffic == name && *because == cause => Some(sidecars),
            _ => None,
        });
    let before = counts.next()?;
    let Some(after) = counts.next_back() else {
        // Where nobody could be read that time, those that could be the other time tell nothing.
        return (!before.is_empty()).then(|| {
            detail(
                format!(
                    "what the callee's sidecars turn away to be counted before `{name}` and after it"
                ),
                "it was counted once",
            )
        });
    };
    let observed = without_more(before, after)?;
    Some(detail(
        format!("a sidecar of the callee that turns connections of `{name}` away"),
        observed,
    ))
}

/// Why it is not known of any sidecar that it has turned away more by the second count; none where it is of one. What one that
/// is not in the first turned away before that nobody knows, nor what one that has counted anew did.
fn without_more(
    before: &BTreeMap<String, u64>,
    after: &BTreeMap<String, u64>,
) -> Option<&'static str> {
    let both: Vec<(u64, u64)> = before
        .iter()
        .filter_map(|(sidecar, was)| Some((*was, *after.get(sidecar)?)))
        .filter(|(was, now)| was <= now)
        .collect();
    if both.iter().any(|(was, now)| was < now) {
        None
    } else if both.is_empty() {
        Some("none tells how many it has before and after")
    } else if both.len() < before.len().max(after.len()) {
        Some("none has that tells how many before and after; others do not")
    } else {
        Some("none has: somebody else may have ended them")
    }
}
