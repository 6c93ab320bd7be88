//! Which requests are refused as a scenario wants it, and that the checker `refused` supports those and no others.

use super::requests::{TRAFFIC, answered, batch, expecting, finding, lose, recorder};
use crate::checker::is_refused_as_wanted;
use crate::expectation::Expectation;
use crate::history::{EventKind, RefusalCause, RequestSeen};
use crate::verdict::Verdict;
use rstest::rstest;

fn refused(traffic: &str) -> Expectation {
    Expectation::Refused {
        traffic: traffic.to_owned(),
        because: RefusalCause::NotAllowed,
    }
}

/// As a sidecar answers in the callee's place.
fn refuse(request: &mut RequestSeen, cause: RefusalCause) {
    request.status = Some(403);
    request.answered_by = None;
    request.cause = Some(cause);
}

/// The only request of a batch, changed like this.
fn seen(change: impl Fn(&mut RequestSeen)) -> RequestSeen {
    let mut recorder = recorder();
    recorder.request(0, change);
    match recorder.events.pop().map(|event| event.kind) {
        Some(EventKind::Request(request)) => *request,
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::for_its_cause(|request: &mut RequestSeen| refuse(request, RefusalCause::NotAllowed), Verdict::Passed)]
#[case::without_an_answer(|request: &mut RequestSeen| {
    lose(request);
    request.cause = Some(RefusalCause::NotAllowed);
}, Verdict::Passed)]
#[case::for_another(|request: &mut RequestSeen| refuse(request, RefusalCause::Timeout), Verdict::Failed)]
#[case::lost(lose, Verdict::Inconclusive)]
#[case::answered(|_: &mut RequestSeen| {}, Verdict::Failed)]
#[case::answered_in_spite_of_a_cause(
    |request: &mut RequestSeen| request.cause = Some(RefusalCause::NotAllowed),
    Verdict::Failed
)]
fn what_supports_it_is_refused_as_wanted(
    #[case] change: fn(&mut RequestSeen),
    #[case] verdict: Verdict,
) {
    let then = [answered(0), refused(TRAFFIC)];
    let is_wanted = is_refused_as_wanted(&then, &seen(change));
    assert_eq!(is_wanted, verdict == Verdict::Passed);
    let mut recorder = recorder();
    recorder.request(0, change);
    let judged = finding(&expecting(vec![batch(1)], refused(TRAFFIC)), &recorder);
    assert_eq!(judged.verdict, verdict, "{judged:?}");
}

#[test]
fn nothing_is_wanted_but_what_an_expectation_says_of_the_traffic() {
    let request = seen(|request| refuse(request, RefusalCause::NotAllowed));
    assert!(!is_refused_as_wanted(&[], &request));
    assert!(!is_refused_as_wanted(&[answered(1)], &request));
    assert!(!is_refused_as_wanted(&[refused("another")], &request));
    let both = [refused("another"), refused(TRAFFIC)];
    assert!(is_refused_as_wanted(&both, &request));
}
