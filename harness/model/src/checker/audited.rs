//! `audited`: what keeps the keys has written down what the authority asked of it.

use super::asked::told;
use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use crate::asking::{Answer, AuditOutcome, DenialCause};
use crate::history::EventKind;
use crate::verdict::Detail;

/// The audit log must have got an entry that says what became of a call. Where the attempt ended otherwise, nobody knows that there
/// was such a call.
pub(super) fn check(timeline: &Timeline<'_>, name: &str, wanted: AuditOutcome) -> Evidence {
    let word = wanted.word();
    let expected = format!("an entry in the audit log of a call for `{name}` that was {word}");
    let mut evidence = Evidence::default();
    let mut is_looked_at = false;
    for event in timeline.events {
        let EventKind::Audited {
            ask,
            from,
            outcome,
            entry,
        } = &event.kind
        else {
            continue;
        };
        if ask != name || *outcome != wanted {
            continue;
        }
        is_looked_at = true;
        let about = |observed: String| Detail {
            sidecar: Some(from.clone()),
            step: event.step,
            ..detail(expected.clone(), observed)
        };
        match (answer(timeline, name, event.step), entry) {
            (Some(answer), Some(_)) if follows(answer, wanted) => evidence.support(1),
            (Some(answer), None) if follows(answer, wanted) => {
                evidence.contradict(about("no such entry in time".to_owned()));
            }
            (Some(answer), _) => {
                let told = told(answer);
                evidence.open(about(format!("nobody knows of such a call: {told}")));
            }
            (None, _) => evidence.open(about("it was not asked".to_owned())),
        }
    }
    if !is_looked_at {
        evidence.open(detail(expected, "nobody has looked into it"));
    }
    evidence
}

/// What the attempt was answered in this step.
fn answer<'a>(timeline: &Timeline<'a>, name: &str, step: Option<usize>) -> Option<&'a Answer> {
    let mut events = timeline.events.iter().filter(|event| event.step == step);
    events.find_map(|event| match &event.kind {
        EventKind::Asked { ask, answer, .. } if ask == name => Some(answer),
        _ => None,
    })
}

/// The authority answers like that after such a call, and after no other.
fn follows(answer: &Answer, call: AuditOutcome) -> bool {
    match call {
        AuditOutcome::Served => matches!(answer, Answer::Granted { .. }),
        AuditOutcome::Refused => matches!(
            answer,
            Answer::Denied {
                cause: Some(DenialCause::NotServed),
                ..
            }
        ),
    }
}
