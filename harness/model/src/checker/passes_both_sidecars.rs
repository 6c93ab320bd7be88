//! `passes_both_sidecars`: nothing goes past the mesh.

use super::evidence::Evidence;
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;

/// Judges every answered request of a batch or load.
pub(super) fn check(timeline: &Timeline<'_>, name: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let mut past = Alike::of(traffic.answered().count());
    for request in traffic.answered() {
        let missed = match (request.passed_caller_sidecar, request.passed_callee_sidecar) {
            (true, true) => {
                evidence.support(1);
                continue;
            }
            (false, true) => "the caller's",
            (true, false) => "the callee's",
            (false, false) => "both",
        };
        past.note(
            request,
            format!("requests of `{name}` to pass both sidecars"),
            format!(" went past {missed}"),
        );
    }
    past.contradict(&mut evidence);
    traffic.note_gaps(name, &mut evidence);
    evidence
}
