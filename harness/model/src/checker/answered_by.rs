//! `answered_by`: the right application answers.

use super::evidence::Evidence;
use super::requests::Alike;
use super::timeline::Timeline;
use super::traffic::Traffic;

/// Judges who answered each answered request.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, application: &str) -> Evidence {
    let mut evidence = Evidence::default();
    let traffic = Traffic::of(timeline, name);
    let mut wrong = Alike::of(traffic.answered().count());
    let mut unknown = Alike::of(traffic.answered().count());
    for request in traffic.answered() {
        let expected = format!("`{name}` to be answered by {application}");
        match &request.answered_by {
            Some(answerer) if answerer.application == application => evidence.support(1),
            Some(answerer) => {
                let observed = format!(" answered by {}", answerer.application);
                wrong.note(request, expected, observed);
            }
            None => unknown.note(request, expected, " that do not tell".to_owned()),
        }
    }
    wrong.contradict(&mut evidence);
    unknown.leave_open(&mut evidence);
    traffic.note_gaps(name, &mut evidence);
    evidence
}
