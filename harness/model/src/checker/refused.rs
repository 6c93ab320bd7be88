//! `refused`: a sidecar turns every request away, for the cause that is expected.

use super::evidence::Evidence;
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::{Traffic, describe, is_answered};
use crate::history::RefusalCause;
use crate::words;

/// Judges a batch or load. A request that failed for a reason nobody knows decides nothing.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, because: RefusalCause) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let expected = format!(
        "requests of `{name}` to be refused: {}",
        words::cause(because)
    );
    let mut wrong = Alike::of(traffic.requests.len());
    let mut unknown = Alike::of(traffic.requests.len());
    for request in traffic.requests.values() {
        match request.cause {
            _ if is_answered(request) => {
                wrong.note(request, expected.clone(), " answered".to_owned());
            }
            Some(cause) if cause == because => evidence.support(1),
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
    evidence
}
