//! The histories that the tests of `asked` and `audited` begin with: of one attempt to get an identity.

use super::certificates::OWN;
use crate::asking::{Answer, Ask, DenialCause, Desk};
use crate::directory::Sidecar;
use crate::history::EventKind;
use crate::scenario::Act;
use crate::testing::{Recorder, sidecar};

pub(super) const ONE: &str = "one";

/// Who asks.
pub(super) fn asker() -> Sidecar {
    sidecar("checkout", 1, 2)
}

pub(super) fn granted_for(identities: &[&str], lifetime_s: i64) -> Option<Answer> {
    Some(Answer::Granted {
        identities: identities.iter().map(|id| (*id).to_owned()).collect(),
        lifetime_s,
    })
}

pub(super) fn granted() -> Option<Answer> {
    granted_for(&[OWN], 60)
}

pub(super) fn denied_for(cause: Option<DenialCause>) -> Option<Answer> {
    Some(Answer::Denied {
        code: "PermissionDenied".to_owned(),
        message: "no".to_owned(),
        cause,
    })
}

pub(super) fn unanswered() -> Option<Answer> {
    Some(Answer::Unanswered {
        reason: "nobody is there".to_owned(),
    })
}

/// The attempt, which nothing is wrong with.
pub(super) fn ask() -> Act {
    Act::Ask(Ask::rightly(ONE, &asker().name, Desk::Authority))
}

/// What came of the attempt, if it was made.
pub(super) fn answer(recorder: &mut Recorder, answer: Option<Answer>) {
    if let Some(answer) = answer {
        recorder.push(EventKind::Asked {
            ask: ONE.to_owned(),
            from: asker().name,
            answer,
        });
    }
}

/// The attempt is the first act, and this came of it.
pub(super) fn asked(came: Option<Answer>) -> Recorder {
    let mut recorder = Recorder::new(&[asker()]);
    recorder.step(0);
    answer(&mut recorder, came);
    recorder
}
