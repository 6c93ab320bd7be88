//! Histories of requests.

use super::requests::TRAFFIC;
use super::requests::answered;
use super::requests::batch;
use super::requests::by_zone;
use super::requests::expecting;
use super::requests::finding;
use super::requests::load;
use super::requests::lose;
use super::requests::recorder;
use crate::expectation::Expectation;
use crate::history::EventKind;
use crate::history::RequestSeen;
use crate::protocol::Protocol;
use crate::scenario::Act;
use crate::verdict::Verdict;
use rstest::rstest;

#[rstest]
#[case::all(4, 0, 0, Verdict::Passed)]
#[case::one_too_many(3, 1, 0, Verdict::Failed)]
#[case::one_allowed(3, 1, 1, Verdict::Passed)]
#[case::two_where_one_is_allowed(2, 2, 1, Verdict::Failed)]
#[case::one_without_outcome(3, 0, 0, Verdict::Inconclusive)]
#[case::one_without_outcome_may_be_lost(3, 0, 1, Verdict::Passed)]
#[case::one_lost_one_without_outcome(2, 1, 1, Verdict::Inconclusive)]
#[case::none(0, 0, 0, Verdict::Inconclusive)]
#[case::none_answered(0, 4, 4, Verdict::Inconclusive)]
fn answered_counts_what_is_lost(
    #[case] fine: u64,
    #[case] bad: u64,
    #[case] may_be_lost: u64,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    for sequence in 0..fine {
        recorder.request(sequence, |_| {});
    }
    for sequence in fine..fine + bad {
        recorder.request(sequence, lose);
    }
    let found = finding(&expecting(vec![batch(4)], answered(may_be_lost)), &recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert_eq!(found.checker, "answered");
    if verdict == Verdict::Failed {
        assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
        assert!(found.details[0].observed.contains(&format!("{bad} lost: ")));
        assert!(found.details[0].observed.contains("no answer (reset)"));
    }
    if verdict == Verdict::Passed {
        assert_eq!(found.observations, fine);
    }
}

#[test]
fn a_status_other_than_200_is_a_loss() {
    let mut recorder = recorder();
    recorder.request(0, |r| r.status = Some(503));
    for (act, step) in [(batch(1), Some(0)), (load(), None)] {
        let found = finding(&expecting(vec![act], answered(0)), &recorder);
        assert_eq!(found.verdict, Verdict::Failed);
        assert_eq!(
            found.details[0].observed,
            "1 lost: 1 of 1 requests: status 503, #0 (due 0.008 s)"
        );
        // A load goes on over several steps, so that its times say more.
        assert_eq!(found.details[0].step, step);
    }
}

#[test]
fn a_gap_in_a_load_is_not_an_answer() {
    let mut recorder = recorder();
    recorder.request(0, |_| {}).request(2, |_| {});
    let found = finding(&expecting(vec![load()], answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found.details[0].observed.starts_with("1 without"),
        "{found:?}"
    );
}

#[test]
fn an_outcome_told_twice_counts_once_and_two_outcomes_decide_nothing() {
    let mut twice = recorder();
    let mut repeat = None;
    twice.request(0, |r| repeat = Some(r.clone()));
    let repeat = repeat.expect("it was recorded");
    twice.push(EventKind::Request(Box::new(repeat.clone())));
    let scenario = expecting(vec![batch(1)], answered(0));
    let found = finding(&scenario, &twice);
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 1));

    let mut other = repeat;
    other.latency_us += 1;
    twice.push(EventKind::Request(Box::new(other)));
    let passes = Expectation::PassesBothSidecars {
        traffic: TRAFFIC.to_owned(),
    };
    for expectation in [passes, answered(0), answered(1)] {
        let found = finding(&expecting(vec![batch(1)], expectation), &twice);
        assert_eq!(found.verdict, Verdict::Inconclusive);
        assert!(found.details[0].observed.starts_with("1 with several"));
    }
}

#[test]
fn a_status_of_nobody_is_no_answer() {
    let mut recorder = recorder();
    recorder.request(0, |request| request.answered_by = None);
    let found = finding(&expecting(vec![batch(1)], answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert!(found.details[0].observed.contains("no application"));
}

#[test]
fn other_traffic_is_not_counted() {
    let mut recorder = recorder();
    recorder.request(0, |r| r.traffic = "other".to_owned());
    let found = finding(&expecting(vec![load()], answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
}

#[test]
fn what_another_batch_should_have_sent_is_not_missing() {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    let Act::Request(mut other) = batch(4) else {
        panic!("a batch is requests");
    };
    other.name = "other".to_owned();
    let when = vec![Act::Request(other), batch(1)];
    let found = finding(&expecting(when, answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
}

#[rstest]
#[case(true, true, Verdict::Passed, "")]
#[case(
    false,
    true,
    Verdict::Failed,
    "1 of 2 requests went past the caller's, #1"
)]
#[case(
    true,
    false,
    Verdict::Failed,
    "1 of 2 requests went past the callee's, #1"
)]
#[case(false, false, Verdict::Failed, "1 of 2 requests went past both, #1")]
fn both_sidecars_must_be_passed(
    #[case] caller: bool,
    #[case] callee: bool,
    #[case] verdict: Verdict,
    #[case] observed: &str,
) {
    let mut recorder = recorder();
    recorder.request(0, |_| {}).request(1, |r| {
        r.passed_caller_sidecar = caller;
        r.passed_callee_sidecar = callee;
    });
    let expectation = Expectation::PassesBothSidecars {
        traffic: TRAFFIC.to_owned(),
    };
    let found = finding(&expecting(vec![batch(2)], expectation.clone()), &recorder);
    assert_eq!(found.verdict, verdict);
    assert_eq!(found.observations, 2);
    assert_eq!(found.checker, "passes_both_sidecars");
    if verdict == Verdict::Failed {
        assert_eq!(found.details[0].observed, observed);
        assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
    }
    let short = finding(&expecting(vec![batch(3)], expectation), &recorder);
    assert_eq!(short.verdict.max(Verdict::Inconclusive), short.verdict);
}

#[test]
fn an_unanswered_request_says_nothing_about_sidecars() {
    let mut recorder = recorder();
    recorder.request(0, |r| {
        lose(r);
        r.passed_caller_sidecar = false;
    });
    let expectation = Expectation::PassesBothSidecars {
        traffic: TRAFFIC.to_owned(),
    };
    let found = finding(&expecting(vec![batch(1)], expectation), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
}

#[rstest]
#[case::all_at_home(10, 0, 100, Verdict::Passed)]
#[case::one_away(9, 1, 100, Verdict::Failed)]
#[case::exactly_enough(9, 1, 90, Verdict::Passed)]
#[case::just_too_few(8, 2, 81, Verdict::Failed)]
#[case::nothing(0, 0, 50, Verdict::Inconclusive)]
fn the_own_zone_is_preferred(
    #[case] home: u64,
    #[case] away: u64,
    #[case] percent: u8,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    for sequence in 0..home {
        recorder.request(sequence, |_| {});
    }
    for sequence in home..home + away {
        recorder.request(sequence, by_zone(2));
    }
    let expectation = Expectation::PrefersOwnZone {
        traffic: TRAFFIC.to_owned(),
        percent,
    };
    let count = u32::try_from(home + away).expect("small");
    let found = finding(&expecting(vec![batch(count)], expectation), &recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert_eq!(found.checker, "prefers_own_zone");
    if verdict == Verdict::Failed {
        assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
        let zones =
            format!("{home} of 10; by data center {{\"zone1\": {home}, \"zone2\": {away}}}");
        assert_eq!(found.details[0].observed, zones);
    } else {
        assert_eq!(found.observations, home + away);
    }
}

#[test]
fn an_answer_of_nobody_known_decides_nothing() {
    for change in [
        (|r: &mut RequestSeen| r.answered_by = None) as fn(&mut RequestSeen),
        |r: &mut RequestSeen| r.from = "ghost@zone1".to_owned(),
    ] {
        let mut recorder = recorder();
        recorder.request(0, |_| {}).request(1, change);
        let expectation = Expectation::PrefersOwnZone {
            traffic: TRAFFIC.to_owned(),
            percent: 100,
        };
        let found = finding(&expecting(vec![batch(2)], expectation), &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive);
    }
}

#[test]
fn gaps_leave_the_zone_and_the_answerer_open() {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    for expectation in [
        Expectation::PrefersOwnZone {
            traffic: TRAFFIC.to_owned(),
            percent: 100,
        },
        Expectation::AnsweredBy {
            traffic: TRAFFIC.to_owned(),
            application: "checkout".to_owned(),
        },
        Expectation::PassesBothSidecars {
            traffic: TRAFFIC.to_owned(),
        },
    ] {
        let full = finding(&expecting(vec![batch(1)], expectation.clone()), &recorder);
        assert_eq!(full.verdict, Verdict::Passed);
        let short = finding(&expecting(vec![batch(2)], expectation), &recorder);
        assert_eq!(short.verdict, Verdict::Inconclusive);
    }
}

#[test]
fn the_right_application_must_answer() {
    let expectation = Expectation::AnsweredBy {
        traffic: TRAFFIC.to_owned(),
        application: "inventory".to_owned(),
    };
    let scenario = expecting(vec![batch(1)], expectation);
    let inventory = |r: &mut RequestSeen| {
        if let Some(answerer) = &mut r.answered_by {
            answerer.application = "inventory".to_owned();
        }
    };
    let judged = |change: &dyn Fn(&mut RequestSeen)| {
        let mut recorder = recorder();
        recorder.request(0, change);
        finding(&scenario, &recorder)
    };
    assert_eq!(judged(&inventory).verdict, Verdict::Passed);
    assert_eq!(judged(&inventory).checker, "answered_by");
    let wrong = judged(&|_: &mut RequestSeen| {});
    assert_eq!(wrong.verdict, Verdict::Failed);
    assert_eq!(
        wrong.details[0].observed,
        "1 of 1 requests answered by checkout, #0"
    );
    assert_eq!(wrong.details[0].sidecar.as_deref(), Some("frontend@zone1"));
    assert_eq!(
        judged(&|r: &mut RequestSeen| r.answered_by = None).verdict,
        Verdict::Inconclusive
    );
    assert_eq!(judged(&lose).verdict, Verdict::Inconclusive);
}

#[rstest]
// 20 % of 200 are 40. A fair draw gives 14 or fewer in 2.6 of ten million cases, 15 or fewer in 8.2; 71 or more in 2.5, 70 or
// more in 5.5.
#[case::just_so(40, 200, Verdict::Passed)]
#[case::as_many_as_may_be(70, 200, Verdict::Passed)]
#[case::more_than_that(71, 200, Verdict::Failed)]
#[case::as_few_as_may_be(15, 200, Verdict::Passed)]
#[case::less_than_that(14, 200, Verdict::Failed)]
#[case::half(100, 200, Verdict::Failed)]
// None of 65 comes in 5.02 of ten million cases, none of 66 in 4.02.
#[case::too_few_to_tell(13, 65, Verdict::Inconclusive)]
#[case::just_enough(13, 66, Verdict::Passed)]
#[case::too_few_and_hardly_right(31, 65, Verdict::Inconclusive)]
#[case::too_few_and_yet_wrong(32, 65, Verdict::Failed)]
#[case::nothing(0, 0, Verdict::Inconclusive)]
fn answers_are_shared_as_weights_say(
    #[case] inventory: u64,
    #[case] total: u64,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    for sequence in 0..total {
        recorder.request(sequence, |r| {
            if let Some(answerer) = &mut r.answered_by
                && sequence < inventory
            {
                answerer.application = "inventory".to_owned();
            }
        });
    }
    let found = finding(&expecting(vec![batch(1)], shares()), &recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert_eq!(found.checker, "shared_by");
    if verdict == Verdict::Failed {
        let detail = &found.details[0];
        assert_eq!(detail.sidecar.as_deref(), Some("frontend@zone1"));
        assert!(
            detail
                .expected
                .starts_with("80 % of `traffic` to be answered by checkout: ")
        );
        assert!(
            detail
                .observed
                .starts_with(&format!("{} of {total}; by application", total - inventory))
        );
    } else if verdict == Verdict::Passed {
        assert_eq!(found.observations, total);
    }
}

#[test]
fn who_has_no_share_must_not_answer() {
    let judged = |change: &dyn Fn(&mut RequestSeen)| {
        let mut recorder = recorder();
        for sequence in 0..200 {
            recorder.request(sequence, |r| {
                if let Some(answerer) = &mut r.answered_by
                    && sequence % 5 == 0
                {
                    answerer.application = "inventory".to_owned();
                }
                if sequence == 7 {
                    change(r);
                }
            });
        }
        finding(&expecting(vec![batch(200)], shares()), &recorder)
    };
    let by_frontend = judged(&|r| {
        if let Some(answerer) = &mut r.answered_by {
            answerer.application = "frontend".to_owned();
        }
    });
    assert_eq!(by_frontend.verdict, Verdict::Failed);
    assert_eq!(
        by_frontend.details[0].expected,
        "0 % of `traffic` to be answered by frontend: none of 200"
    );
    let by_nobody = judged(&|r| r.answered_by = None);
    assert_eq!(by_nobody.verdict, Verdict::Inconclusive);
    assert_eq!(judged(&lose).verdict, Verdict::Passed);
}

fn shares() -> Expectation {
    Expectation::SharedBy {
        traffic: TRAFFIC.to_owned(),
        percents: [("checkout".to_owned(), 80), ("inventory".to_owned(), 20)].into(),
    }
}

#[rstest]
#[case::until_it_was_stopped(1000, Verdict::Passed)]
#[case::and_then_no_more(1001, Verdict::Inconclusive)]
fn a_load_is_sent_until_it_is_stopped(#[case] silent_ms: u64, #[case] verdict: Verdict) {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    let due_ms = recorder.at_ms;
    recorder.wait(silent_ms - 1).step(1);
    assert_eq!(recorder.at_ms, due_ms + silent_ms);
    let stop = Act::Stop(TRAFFIC.to_owned());
    let scenario = expecting(vec![load(), stop], answered(0));
    let found = finding(&scenario, &recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    if verdict == Verdict::Inconclusive {
        assert!(
            found.details[0].observed.starts_with("10 without"),
            "{found:?}"
        );
    }
    // Neither another load nor another end says anything about this one.
    let other = expecting(vec![load(), Act::Stop("other".to_owned())], answered(0));
    assert_eq!(finding(&other, &recorder).verdict, Verdict::Passed);
    let mut named = load();
    if let Act::Load(load) = &mut named {
        load.name = "other".to_owned();
    }
    let stop = Act::Stop(TRAFFIC.to_owned());
    let other = expecting(vec![named, stop], answered(0));
    assert_eq!(finding(&other, &recorder).verdict, Verdict::Passed);
}

#[rstest]
#[case::as_sent(Some(Protocol::Http1), Verdict::Passed)]
#[case::otherwise(Some(Protocol::Http2), Verdict::Failed)]
#[case::untold(None, Verdict::Inconclusive)]
fn requests_must_arrive_in_what_they_were_sent_in(
    #[case] arrived: Option<Protocol>,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    recorder.request(0, |request| request.protocol = arrived);
    let traffic = TRAFFIC.to_owned();
    let expectation = Expectation::KeepsProtocol { traffic };
    let found = finding(&expecting(vec![batch(1)], expectation.clone()), &recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
    if verdict == Verdict::Failed {
        assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
        assert!(found.details[0].observed.contains("HTTP/2"), "{found:#?}");
    }
    let found = finding(&expecting(vec![batch(2)], expectation), &recorder);
    assert_eq!(found.verdict, verdict.max(Verdict::Inconclusive));
}

#[rstest]
#[case::twice(Some(4), Verdict::Passed)]
#[case::once(Some(2), Verdict::Failed)]
#[case::more(Some(5), Verdict::Failed)]
#[case::nobody_counted(None, Verdict::Inconclusive)]
fn how_often_requests_came_is_judged(#[case] count: Option<u64>, #[case] verdict: Verdict) {
    let mut recorder = recorder();
    recorder.request(0, |_| {}).request(1, lose);
    let came = |application: &str, count| EventKind::Received {
        traffic: TRAFFIC.to_owned(),
        application: application.to_owned(),
        count,
    };
    // What came to another application is no evidence.
    recorder.push(came("inventory", 9));
    if let Some(count) = count {
        recorder.push(came("checkout", count));
    }
    let expectation = Expectation::Received {
        traffic: TRAFFIC.to_owned(),
        application: "checkout".to_owned(),
        times: 2,
    };
    let found = finding(&expecting(vec![batch(2)], expectation.clone()), &recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
    let found = finding(&expecting(vec![batch(3)], expectation), &recorder);
    assert_eq!(found.verdict, verdict.max(Verdict::Inconclusive));
}

fn failed_write(refused: bool) -> EventKind {
    EventKind::WriteFailed {
        name: "scoped".to_owned(),
        error: "no".to_owned(),
        refused,
    }
}

#[rstest]
#[case::answered(false)]
#[case::lost(true)]
fn requests_after_a_write_that_was_not_made_prove_nothing(#[case] is_lost: bool) {
    let mut recorder = recorder();
    recorder.step(0).push(failed_write(true));
    recorder.step(1).request(0, |one| {
        if is_lost {
            lose(one);
        }
    });
    let when = vec![Act::Delete("scoped".to_owned()), batch(1)];
    let found = finding(&expecting(when, answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(found.details[0].observed, "the write failed: no");
}

#[test]
fn requests_prove_nothing_where_what_is_given_was_not_written() {
    let mut recorder = recorder();
    recorder.push(failed_write(false));
    recorder.step(0).request(0, |_| {});
    let found = finding(&expecting(vec![batch(1)], answered(0)), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(found.details[0].observed, "the write failed: no");
}
