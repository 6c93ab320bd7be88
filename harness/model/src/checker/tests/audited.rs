//! Histories of attempts, and what an audit log has of them.

use super::asking::{ONE, ask, asked, asker, denied_for, granted, unanswered};
use super::requests::{expecting, finding};
use crate::asking::{Answer, AuditOutcome, DenialCause};
use crate::expectation::Expectation;
use crate::history::EventKind;
use crate::verdict::Verdict;
use rstest::rstest;

fn not_served() -> Option<Answer> {
    denied_for(Some(DenialCause::NotServed))
}

/// What was looked for, and whether it was found.
fn judged(
    answer: Option<Answer>,
    looked: Option<(AuditOutcome, bool)>,
    wanted: AuditOutcome,
) -> Verdict {
    let mut recorder = asked(answer);
    if let Some((outcome, is_found)) = looked {
        recorder.push(EventKind::Audited {
            ask: ONE.to_owned(),
            from: asker().name,
            outcome,
            entry: is_found.then(|| "audit: call".to_owned()),
        });
    }
    let expectation = Expectation::Audited {
        ask: ONE.to_owned(),
        outcome: wanted,
    };
    finding(&expecting(vec![ask()], expectation), &recorder).verdict
}

#[rstest]
#[case::written(granted(), Some(true), Verdict::Passed)]
#[case::not_written(granted(), Some(false), Verdict::Failed)]
#[case::not_looked_at(granted(), None, Verdict::Inconclusive)]
#[case::denied(not_served(), Some(false), Verdict::Inconclusive)]
#[case::unanswered(unanswered(), Some(false), Verdict::Inconclusive)]
#[case::written_for_another(unanswered(), Some(true), Verdict::Inconclusive)]
#[case::not_asked(None, Some(true), Verdict::Inconclusive)]
fn a_call_that_was_served_is_written_down(
    #[case] answer: Option<Answer>,
    #[case] found: Option<bool>,
    #[case] verdict: Verdict,
) {
    let served = AuditOutcome::Served;
    let looked = found.map(|found| (served, found));
    assert_eq!(judged(answer, looked, served), verdict);
}

#[rstest]
#[case::written(not_served(), Some(true), Verdict::Passed)]
#[case::not_written(not_served(), Some(false), Verdict::Failed)]
#[case::by_the_authority(
    denied_for(Some(DenialCause::OtherName)),
    Some(false),
    Verdict::Inconclusive
)]
#[case::for_no_known_cause(denied_for(None), Some(false), Verdict::Inconclusive)]
#[case::granted(granted(), Some(false), Verdict::Inconclusive)]
#[case::not_looked_at(not_served(), None, Verdict::Inconclusive)]
fn a_call_that_was_refused_is_written_down(
    #[case] answer: Option<Answer>,
    #[case] found: Option<bool>,
    #[case] verdict: Verdict,
) {
    let refused = AuditOutcome::Refused;
    let looked = found.map(|found| (refused, found));
    assert_eq!(judged(answer, looked, refused), verdict);
}

#[test]
fn an_entry_of_another_outcome_decides_nothing() {
    let looked = Some((AuditOutcome::Refused, true));
    let verdict = judged(granted(), looked, AuditOutcome::Served);
    assert_eq!(verdict, Verdict::Inconclusive);
}
