//! Histories of services that are taken away and brought back.

use super::requests::{TRAFFIC, answered, assert_told, batch, expecting, finding, recorder};
use crate::expectation::Expectation;
use crate::history::{EventKind, RefusalCause, RequestSeen};
use crate::scenario::Act;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

/// What became of a request.
type Outcome = fn(&mut RequestSeen);

fn withdrawn(service: &str) -> EventKind {
    EventKind::Withdrawn {
        service: service.to_owned(),
    }
}

fn offered(service: &str) -> EventKind {
    EventKind::Offered {
        service: service.to_owned(),
    }
}

fn by_the_application(_: &mut RequestSeen) {}

fn no_such_service(request: &mut RequestSeen) {
    request.status = Some(503);
    request.answered_by = None;
    request.cause = Some(RefusalCause::UnknownService);
}

/// The service is known, and has no endpoint: no cause that a mesh definition names.
fn nobody_there(request: &mut RequestSeen) {
    request.status = Some(503);
    request.answered_by = None;
    request.failure = Some("status 503 from a sidecar (no_healthy_upstream)".to_owned());
}

/// A batch of one request after this act and what is told of it.
fn judged(
    act: Act,
    told: Option<EventKind>,
    outcome: Outcome,
    expectation: Expectation,
) -> Finding {
    let mut recorder = recorder();
    match told {
        Some(told) => recorder.push(told),
        None => recorder.gave_up_itself(),
    };
    recorder.step(1).request(0, outcome);
    finding(&expecting(vec![act, batch(1)], expectation), &recorder)
}

fn taken_away(told: Option<EventKind>, outcome: Outcome) -> Finding {
    let refused = Expectation::Refused {
        traffic: TRAFFIC.to_owned(),
        because: RefusalCause::UnknownService,
    };
    judged(
        Act::Withdraw("inventory".to_owned()),
        told,
        outcome,
        refused,
    )
}

#[rstest]
#[case::forgotten(no_such_service, Verdict::Passed, None)]
#[case::still_led_there(by_the_application, Verdict::Failed, Some("answered by checkout"))]
#[case::still_known(nobody_there, Verdict::Inconclusive, Some("no_healthy_upstream"))]
fn a_service_that_was_taken_away_is_known_to_nobody(
    #[case] outcome: Outcome,
    #[case] verdict: Verdict,
    #[case] told: Option<&str>,
) {
    let found = taken_away(Some(withdrawn("inventory")), outcome);
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert_told(&found, told);
}

#[rstest]
#[case::nothing(None, "it was not: something of its own")]
#[case::another(Some(withdrawn("checkout")), "it was not")]
#[case::the_opposite(Some(offered("inventory")), "it was not")]
fn a_service_that_was_not_taken_away_decides_nothing(
    #[case] told: Option<EventKind>,
    #[case] words: &str,
) {
    for outcome in [no_such_service as Outcome, by_the_application] {
        let found = taken_away(told.clone(), outcome);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
        assert_eq!(found.details[0].step, Some(0));
        assert_told(&found, Some(words));
    }
}

#[test]
fn a_service_is_back_where_that_was_told() {
    let back = |told: Option<EventKind>, outcome: Outcome| {
        let act = Act::Offer("inventory".to_owned());
        judged(act, told, outcome, answered(0)).verdict
    };
    let told = || Some(offered("inventory"));
    assert_eq!(back(told(), by_the_application), Verdict::Passed);
    assert_eq!(back(told(), no_such_service), Verdict::Failed);
    for outcome in [no_such_service as Outcome, by_the_application] {
        assert_eq!(back(None, outcome), Verdict::Inconclusive);
    }
}
