//! `recovers`: after a fault, traffic from and to what it hit is answered again.

use super::evidence::{Evidence, clock, detail};
use super::fails_over::{Outage, outages};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::RequestSeen;

/// How many answers in a row count as being back.
const IN_A_ROW: usize = 5;

/// Judges the requests that were due after a fault had ended.
pub(super) fn check(timeline: &Timeline<'_>, name: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let recovery = timeline.patience.recovery.as_nanos();
    for outage in outages(timeline) {
        let bound_ns = outage.end_ns.saturating_add(recovery);
        let due: Vec<&RequestSeen> = traffic
            .requests
            .values()
            .copied()
            .filter(|request| request.due_ns >= outage.end_ns)
            .collect();
        let mut lost = Alike::by_time(due.len());
        for request in due.iter().copied() {
            if request.due_ns > bound_ns && !is_answered(request) {
                let expected = format!("`{name}` to be answered again from {} on", clock(bound_ns));
                lost.note(request, expected, describe(request));
            }
        }
        lost.contradict(&mut evidence);
        let in_time: Vec<&RequestSeen> = due
            .iter()
            .copied()
            .filter(|request| request.due_ns <= bound_ns)
            .collect();
        let is_back = in_time.windows(IN_A_ROW).any(|row| {
            row.iter().all(|request| is_answered(request)) && concerns(timeline, &outage, row)
        });
        if is_back {
            evidence.support(u64::try_from(in_time.len()).unwrap_or(u64::MAX));
            continue;
        }
        let detail = detail(
            format!("{IN_A_ROW} answers in a row to `{name}` from or to what the fault hit"),
            format!(
                "not among {} requests until {}",
                in_time.len(),
                clock(bound_ns)
            ),
        );
        // Only traffic that went on until the bound was over can say that it was not kept.
        if due.iter().any(|request| request.due_ns > bound_ns) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}

/// Whether requests come from what the fault hit, or one of them was answered by it. What was killed is
/// back under its stable name, with another pod name.
fn concerns(timeline: &Timeline<'_>, outage: &Outage, row: &[&RequestSeen]) -> bool {
    row.iter().any(|request| {
        outage.hits.contains(&request.from)
            || request
                .answered_by
                .as_ref()
                .is_some_and(|answerer| outage.hits_pod(timeline, &answerer.pod))
    })
}
