//! `refused`: a sidecar turns every request away, for the cause that is expected.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::RefusalCause;
use crate::verdict::Detail;
use crate::words;

/// Judges a batch or load. A request that failed for a reason nobody knows decides nothing.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, because: RefusalCause) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let expected = format!(
        "requests of `{name}` to be refused: {}",
        words::cause(because)
    );
    for request in traffic.requests.values() {
        let told = |observed: String| Detail {
            sidecar: Some(request.from.clone()),
            ..detail(expected.clone(), observed)
        };
        match request.cause {
            _ if is_answered(request) => {
                evidence.contradict(told(format!("request {} was answered", request.sequence)));
            }
            Some(cause) if cause == because => evidence.support(1),
            Some(cause) => evidence.contradict(told(format!(
                "request {}: {}",
                request.sequence,
                words::cause(cause)
            ))),
            None => evidence.open(told(describe(request))),
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
