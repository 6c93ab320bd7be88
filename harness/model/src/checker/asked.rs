//! `granted` and `denied`: what came of an attempt to get an identity.

use super::evidence::{Evidence, detail};
use super::timeline::Timeline;
use crate::asking::{Answer, DenialCause};
use crate::duration::Span;
use crate::history::EventKind;
use crate::verdict::Detail;
use crate::words;

/// The attempt must have got a certificate of the asking workload, for no longer than `at_most`.
pub(super) fn granted(timeline: &Timeline<'_>, ask: &str, at_most: Span) -> Evidence {
    judge(timeline, ask, |own, answer| match answer {
        Answer::Granted {
            identities,
            lifetime_s,
        } => {
            let Some(own) = own else {
                return Err(None);
            };
            if identities.as_slice() != [own.to_owned()] {
                return Err(Some(format!("a certificate of {}", listed(identities))));
            }
            let lifetime = u64::try_from(*lifetime_s)
                .map_err(|_| Some("a certificate that ends before it begins".to_owned()))?;
            if lifetime > at_most.0.as_secs() {
                return Err(Some(format!("a certificate for {lifetime} s")));
            }
            Ok(())
        }
        other => Err(Some(told(other))),
    })
    .finish(format!(
        "`{ask}` to get a certificate of its own for {at_most} at most"
    ))
}

/// The attempt must have been denied for this cause.
pub(super) fn denied(timeline: &Timeline<'_>, ask: &str, because: DenialCause) -> Evidence {
    judge(timeline, ask, |_, answer| match answer {
        Answer::Denied {
            cause: Some(cause), ..
        } if *cause == because => Ok(()),
        other => Err(Some(told(other))),
    })
    .finish(format!(
        "`{ask}` to be denied, because {}",
        words::denial(because)
    ))
}

/// The answers to one attempt, judged.
struct Judged {
    supports: u64,
    /// Who asked, in which step, and what came of it instead.
    contradictions: Vec<(String, Option<usize>, String)>,
    open: Vec<(String, Option<usize>, String)>,
}

/// Judges each answer by `fits`, which is told the asking workload's own identity: `Err` says what is there instead, `None`
/// that it cannot be decided.
fn judge(
    timeline: &Timeline<'_>,
    name: &str,
    fits: impl Fn(Option<&str>, &Answer) -> Result<(), Option<String>>,
) -> Judged {
    let mut judged = Judged {
        supports: 0,
        contradictions: Vec::new(),
        open: Vec::new(),
    };
    for (index, event) in timeline.events.iter().enumerate() {
        let EventKind::Asked { ask, from, answer } = &event.kind else {
            continue;
        };
        if ask != name {
            continue;
        }
        if let Answer::Unanswered { .. } = answer {
            judged.open.push((from.clone(), event.step, told(answer)));
            continue;
        }
        let who = timeline
            .lives
            .iter()
            .find(|life| life.sidecar.name == *from);
        let own = who.and_then(|life| life.sidecar.identity.as_deref());
        match fits(own, answer) {
            Ok(()) => judged.supports += 1,
            // Who was to be asked under a fault may have been asked after it.
            Err(Some(instead)) if timeline.came_after_its_fault(index) => {
                let late = format!("{instead}, when the fault was over");
                judged.open.push((from.clone(), event.step, late));
            }
            Err(Some(instead)) if timeline.lacked_its_fault(index) => {
                let without = format!("{instead}, while the fault had no effect");
                judged.open.push((from.clone(), event.step, without));
            }
            Err(Some(instead)) => judged
                .contradictions
                .push((from.clone(), event.step, instead)),
            Err(None) => {
                let unknown = "nobody says which identity is its own".to_owned();
                judged.open.push((from.clone(), event.step, unknown));
            }
        }
    }
    judged
}

impl Judged {
    fn finish(self, expected: String) -> Evidence {
        let mut evidence = Evidence::default();
        let nothing = self.supports == 0 && self.contradictions.is_empty() && self.open.is_empty();
        let told = |(from, step, observed): (String, Option<usize>, String)| Detail {
            sidecar: Some(from),
            step,
            ..detail(expected.clone(), observed)
        };
        self.contradictions
            .into_iter()
            .for_each(|one| evidence.contradict(told(one)));
        self.open
            .into_iter()
            .for_each(|one| evidence.open(told(one)));
        if nothing {
            evidence.open(detail(expected.clone(), "it was not asked"));
        }
        evidence.support(self.supports);
        evidence
    }
}

pub(super) fn told(answer: &Answer) -> String {
    match answer {
        Answer::Granted { identities, .. } => {
            format!("granted a certificate of {}", listed(identities))
        }
        Answer::Served => "served".to_owned(),
        Answer::LetIn { how } => format!("let in: {how}"),
        Answer::Denied { code, message, .. } => format!("denied with {code}: {message}"),
        Answer::Unanswered { reason } => format!("not answered: {reason}"),
    }
}

fn listed(identities: &[String]) -> String {
    match identities {
        [] => "nobody".to_owned(),
        some => some.join(", "),
    }
}
