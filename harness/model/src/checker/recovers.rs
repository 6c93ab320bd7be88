//! `recovers`: after a fault, traffic from and to what it hit is answered again.

use super::evidence::{Evidence, clock, detail};
use super::fails_over::{Outage, outages};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::RequestSeen;
use crate::verdict::Detail;

/// How many answers in a row count as being back.
const IN_A_ROW: usize = 5;

/// How the traffic stands after one outage.
enum Recovery {
    /// It is back in time: so many requests were due until the bound was over.
    Back(u64),
    /// It went on beyond the bound, and was not back by then.
    Missed(Detail),
    /// It is not back, and only more of its requests can say whether the bound is kept.
    Open(Detail),
}

/// Judges the requests that were due after a fault had ended.
pub(super) fn check(timeline: &Timeline<'_>, name: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    for outage in outages(timeline) {
        let bound_ns = bound(timeline, &outage);
        let due: Vec<&RequestSeen> = due_after(&traffic, &outage).collect();
        let mut lost = Alike::by_time(due.len());
        for request in due {
            if request.due_ns > bound_ns && !is_answered(request) {
                let expected = format!("`{name}` to be answered again from {} on", clock(bound_ns));
                lost.note(request, expected, describe(request));
            }
        }
        lost.contradict(&mut evidence);
        match recovery(timeline, &traffic, name, &outage) {
            Recovery::Back(in_time) => evidence.support(in_time),
            Recovery::Missed(detail) => evidence.contradict(detail),
            Recovery::Open(detail) => evidence.open(detail),
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}

/// Whether traffic is not back yet after some fault that has ended, within a bound that is not over for it.
pub(super) fn is_open(timeline: &Timeline<'_>, name: &str) -> bool {
    let traffic = Traffic::of(timeline, name);
    outages(timeline).iter().any(|outage| {
        let recovery = recovery(timeline, &traffic, name, outage);
        matches!(recovery, Recovery::Open(_))
    })
}

/// Until when traffic must be back.
fn bound(timeline: &Timeline<'_>, outage: &Outage) -> u64 {
    let recovery = timeline.patience.recovery.as_nanos();
    outage.end_ns.saturating_add(recovery)
}

/// The requests that were due when a fault was over.
fn due_after<'a>(traffic: &Traffic<'a>, outage: &Outage) -> impl Iterator<Item = &'a RequestSeen> {
    let requests = traffic.requests.values().copied();
    requests.filter(|request| request.due_ns >= outage.end_ns)
}

fn recovery(
    timeline: &Timeline<'_>,
    traffic: &Traffic<'_>,
    name: &str,
    outage: &Outage,
) -> Recovery {
    let bound_ns = bound(timeline, outage);
    let (in_time, beyond): (Vec<&RequestSeen>, Vec<&RequestSeen>) =
        due_after(traffic, outage).partition(|request| request.due_ns <= bound_ns);
    let is_back = in_time.windows(IN_A_ROW).any(|row| {
        row.iter().all(|request| is_answered(request)) && concerns(timeline, outage, row)
    });
    if is_back {
        return Recovery::Back(u64::try_from(in_time.len()).unwrap_or(u64::MAX));
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
    if beyond.is_empty() {
        Recovery::Open(detail)
    } else {
        Recovery::Missed(detail)
    }
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
