//! `answered`: requests are answered, but for a stated few.

use super::evidence::{Evidence, detail};
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::RequestSeen;
use crate::verdict::Detail;

/// Answered, and by an application that says who it is: a status alone may be anybody's.
fn is_told(request: &RequestSeen) -> bool {
    is_answered(request) && request.answered_by.is_some()
}

/// Judges a batch or load. A request without outcome may have been lost.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, may_be_lost: u64) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let lost: Vec<_> = traffic
        .requests
        .values()
        .copied()
        .filter(|request| !is_told(request))
        .collect();
    let count = u64::try_from(lost.len()).unwrap_or(u64::MAX);
    if count > may_be_lost {
        let mut alike = Alike::by_time(traffic.requests.len());
        for request in &lost {
            alike.note(request, String::new(), describe(request));
        }
        let examples: Vec<String> = alike.texts().take(5).collect();
        evidence.contradict(Detail {
            sidecar: lost.first().map(|request| request.from.clone()),
            step: traffic.step,
            ..detail(
                format!("at most {may_be_lost} of `{name}` to be lost"),
                format!("{count} lost: {}", examples.join("; ")),
            )
        });
    }
    traffic.note_contradictions(name, &mut evidence);
    if count.saturating_add(traffic.missing) > may_be_lost {
        traffic.note_missing(name, &mut evidence);
    }
    let answered = traffic.answered().filter(|r| is_told(r)).count();
    evidence.support(u64::try_from(answered).unwrap_or(u64::MAX));
    evidence
}
