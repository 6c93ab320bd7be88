//! `answered_by`: the right application answers.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use super::traffic::Traffic;
use crate::verdict::Detail;

/// Judges who answered each answered request.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, application: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    for request in traffic.answered() {
        let expected = format!("`{name}` to be answered by {application}");
        match &request.answered_by {
            Some(answerer) if answerer.application == application => evidence.support(1),
            Some(answerer) => evidence.contradict(Detail {
                sidecar: Some(request.from.clone()),
                ..detail(
                    expected,
                    format!("request {} by {}", request.sequence, answerer.application),
                )
            }),
            None => evidence.open(detail(
                expected,
                format!("request {} does not tell", request.sequence),
            )),
        }
    }
    traffic.note_gaps(name, &mut evidence);
    evidence
}
