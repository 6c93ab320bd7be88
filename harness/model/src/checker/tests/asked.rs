//! Histories of attempts to get an identity.

use super::asking::{ONE, answer, ask, asked, asker, denied_for, granted, granted_for, unanswered};
use super::certificates::OWN;
use super::requests::{expecting, finding};
use crate::asking::{Answer, DenialCause};
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::history::EventKind;
use crate::scenario::Act;
use crate::testing::Recorder;
use crate::verdict::Verdict;
use rstest::rstest;

fn let_in() -> Option<Answer> {
    Some(Answer::LetIn {
        how: "mode 0666".to_owned(),
    })
}

fn denied(because: DenialCause) -> Expectation {
    Expectation::Denied {
        ask: ONE.to_owned(),
        because,
    }
}

fn judged(answer: Option<Answer>, expectation: Expectation) -> Verdict {
    finding(&expecting(vec![ask()], expectation), &asked(answer)).verdict
}

#[rstest]
#[case::own(granted(), Verdict::Passed)]
#[case::of_another(granted_for(&["spiffe://mesh/sa/frontend"], 60), Verdict::Failed)]
#[case::of_two(granted_for(&[OWN, "spiffe://mesh/sa/frontend"], 60), Verdict::Failed)]
#[case::of_nobody(granted_for(&[], 60), Verdict::Failed)]
#[case::too_long(granted_for(&[OWN], 61), Verdict::Failed)]
#[case::backwards(granted_for(&[OWN], -1), Verdict::Failed)]
#[case::served_with_something_else(Some(Answer::Served), Verdict::Failed)]
#[case::let_in(let_in(), Verdict::Failed)]
#[case::denied(denied_for(None), Verdict::Failed)]
#[case::unanswered(unanswered(), Verdict::Inconclusive)]
#[case::not_asked(None, Verdict::Inconclusive)]
fn what_is_granted_is_of_the_asker_alone_and_ends(
    #[case] answer: Option<Answer>,
    #[case] verdict: Verdict,
) {
    let expectation = Expectation::Granted {
        ask: ONE.to_owned(),
        at_most: Span::secs(60),
    };
    assert_eq!(judged(answer, expectation), verdict);
}

#[rstest]
#[case::so(denied_for(Some(DenialCause::OtherName)), Verdict::Passed)]
#[case::otherwise(denied_for(Some(DenialCause::OtherNode)), Verdict::Failed)]
#[case::for_no_known_cause(denied_for(None), Verdict::Failed)]
#[case::granted(granted(), Verdict::Failed)]
#[case::served(Some(Answer::Served), Verdict::Failed)]
#[case::let_in(let_in(), Verdict::Failed)]
#[case::unanswered(unanswered(), Verdict::Inconclusive)]
#[case::not_asked(None, Verdict::Inconclusive)]
fn a_denial_has_its_cause(#[case] answer: Option<Answer>, #[case] verdict: Verdict) {
    assert_eq!(judged(answer, denied(DenialCause::OtherName)), verdict);
}

#[rstest]
#[case::under_it(3_900, Verdict::Failed)]
#[case::after_it(4_000, Verdict::Inconclusive)]
fn what_is_granted_after_a_denial_has_ended_decides_nothing(
    #[case] millis: u64,
    #[case] verdict: Verdict,
) {
    let fault = Fault::ClientDenial {
        component: "key-service".to_owned(),
        client: "authority".to_owned(),
        duration: Span::secs(6),
    };
    let mut recorder = Recorder::new(&[asker()]);
    // Measuring that it bites has taken two of its six seconds.
    recorder.step(0).push(EventKind::FaultStarted {
        fault: 0,
        spec: fault.clone(),
        hits: vec!["authority".to_owned()],
        efficacy: "measured".to_owned(),
        left: Some(Span::secs(4)),
    });
    answer(recorder.step(1).wait(millis), granted());
    recorder.step(2).wait(60_000).fault_ended();
    let when = vec![Act::Inject(fault), ask(), Act::Recover];
    let scenario = expecting(when, denied(DenialCause::NotServed));
    assert_eq!(finding(&scenario, &recorder).verdict, verdict);
}

#[rstest]
#[case::it_had_no_effect(false, Verdict::Inconclusive)]
#[case::after_it(true, Verdict::Failed)]
fn what_is_granted_while_a_fault_has_no_effect_decides_nothing(
    #[case] ended: bool,
    #[case] verdict: Verdict,
) {
    let mut recorder = Recorder::new(&[asker()]);
    recorder.step(0).push(EventKind::FaultWithoutEffect {
        fault: 0,
        reason: "it is not there".to_owned(),
    });
    if ended {
        recorder.fault_ended();
    }
    answer(&mut recorder, granted());
    let scenario = expecting(vec![ask()], denied(DenialCause::NotServed));
    assert_eq!(finding(&scenario, &recorder).verdict, verdict);
}
