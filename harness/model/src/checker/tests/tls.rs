//! Histories of certificates, and of how requests arrive.

use super::certificates::{OWN, certificate, permissive, showing, turned_on, valid_for, with_tls};
use super::histories::{confined, delivered, inside, outside, who};
use super::requests::{
    TRAFFIC, assert_told, batch, by_zone, expecting, finding, load, lose, recorder,
};
use crate::configuration::{InboundTls, OutboundTls, Tls};
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::{Fault, PodSelector};
use crate::history::{
    Arrival, CertificateSeen, EventKind, Observation, RefusalCause, Spoken, Validity,
    WireConnection,
};
use crate::protocol::{Connections, Protocol};
use crate::scenario::Act;
use crate::testing::{Recorder, shows};
use crate::verdict::Verdict;
use rstest::rstest;

/// One apply, settled, proven and ended; the sidecar in scope holds `held`, the other one `leaked`.
fn applied(held: Option<CertificateSeen>, leaked: Option<CertificateSeen>) -> Recorder {
    let mut recorder = turned_on();
    let read = |recorder: &mut Recorder, marker: &str| {
        recorder.observe(Observation {
            certificate: held.clone(),
            ..shows(&inside(), "a", "v1", marker)
        });
        recorder.observe(Observation {
            certificate: leaked.clone(),
            ..shows(&outside(), "a", "", marker)
        });
    };
    read(&mut recorder, "");
    recorder.marker("m0");
    read(&mut recorder, "m0");
    recorder.gave_up();
    recorder.finished().marker("end");
    read(&mut recorder, "end");
    recorder
}

fn apply() -> Vec<Act> {
    vec![Act::Apply(permissive())]
}

#[rstest]
#[case::own(certificate(OWN, "1"), None)]
#[case::none(None, Some("no certificate"))]
#[case::waited_for(Some(CertificateSeen { warming: true, ..CertificateSeen::default() }), Some("still waited for"))]
#[case::of_another(
    certificate("spiffe://mesh/sa/frontend", "1"),
    Some("a certificate of spiffe://mesh/sa/frontend")
)]
fn whoever_speaks_tls_must_hold_its_own_certificate(
    #[case] held: Option<CertificateSeen>,
    #[case] wrong: Option<&str>,
) {
    let found = delivered(apply(), &applied(held, None));
    match wrong {
        None => assert_eq!(found.verdict, Verdict::Passed, "{found:#?}"),
        Some(words) => {
            assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
            assert_eq!(found.details[0].sidecar.as_deref(), Some("checkout@zone1"));
            assert!(found.details[0].observed.contains(words), "{found:#?}");
            assert!(
                found.details[0]
                    .expected
                    .contains("a certificate of its own")
            );
        }
    }
}

#[test]
fn nobody_else_may_hold_or_ask_for_one() {
    let own = || certificate(OWN, "1");
    let found = confined(apply(), &applied(own(), None));
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let asked = Some(CertificateSeen {
        warming: true,
        ..CertificateSeen::default()
    });
    for (leaked, words) in [
        (own(), "a certificate of"),
        (asked, "a request for a certificate"),
    ] {
        let found = confined(apply(), &applied(own(), leaked));
        assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
        assert!(who(&found).iter().all(|who| *who == "checkout@zone2"));
        assert!(found.details[0].observed.starts_with(words), "{found:#?}");
    }
}

#[test]
fn what_is_turned_off_must_go() {
    let off = with_tls(Tls {
        inbound: Some(InboundTls::Plaintext),
        outbound: Some(OutboundTls::Plaintext),
        allow: None,
    });
    let when = vec![Act::Apply(permissive()), Act::Apply(off.clone())];
    for (kept, verdict) in [
        (None, Verdict::Passed),
        (certificate(OWN, "1"), Verdict::Failed),
    ] {
        let mut recorder = turned_on();
        recorder.observe(showing(certificate(OWN, "1")));
        recorder.step(1).write(&off);
        recorder.observe(showing(kept.clone()));
        recorder.gave_up();
        recorder.finished();
        recorder.observe(showing(kept));
        let found = delivered(when.clone(), &recorder);
        assert_eq!(found.verdict, verdict, "{found:#?}");
    }
}

fn over(peer: Option<&str>) -> Option<Arrival> {
    Some(Arrival::Tls {
        version: "TLSv1.3".to_owned(),
        cipher: "TLS_AES_128_GCM_SHA256".to_owned(),
        peer: peer.map(str::to_owned),
        serial: None,
        outdated: false,
    })
}

fn over_old() -> Option<Arrival> {
    Some(Arrival::Tls {
        version: "TLSv1.2".to_owned(),
        cipher: "ECDHE-ECDSA-AES128-GCM-SHA256".to_owned(),
        peer: Some("spiffe://mesh/sa/frontend".to_owned()),
        serial: None,
        outdated: true,
    })
}

#[rstest]
#[case::own(
    over(Some("spiffe://mesh/sa/frontend")),
    Verdict::Passed,
    Verdict::Failed
)]
#[case::of_another(over(Some(OWN)), Verdict::Failed, Verdict::Failed)]
#[case::without_certificate(over(None), Verdict::Failed, Verdict::Failed)]
#[case::outdated(over_old(), Verdict::Failed, Verdict::Failed)]
#[case::plaintext(Some(Arrival::Plaintext), Verdict::Failed, Verdict::Passed)]
#[case::no_trace(None, Verdict::Inconclusive, Verdict::Inconclusive)]
fn how_requests_arrive_is_judged(
    #[case] arrived: Option<Arrival>,
    #[case] over_tls: Verdict,
    #[case] in_plaintext: Verdict,
) {
    let mut recorder = recorder();
    recorder.request(0, |request| request.arrived = arrived.clone());
    let traffic = || TRAFFIC.to_owned();
    for (expectation, verdict) in [
        (Expectation::OverTls { traffic: traffic() }, over_tls),
        (
            Expectation::InPlaintext { traffic: traffic() },
            in_plaintext,
        ),
    ] {
        assert_decided_by_one(expectation, &recorder, verdict);
    }
}

/// The only request of a batch decides. One that is missing leaves it open, whatever the other one shows.
#[track_caller]
fn assert_decided_by_one(expectation: Expectation, recorder: &Recorder, verdict: Verdict) {
    let found = finding(&expecting(vec![batch(1)], expectation.clone()), recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
    let found = finding(&expecting(vec![batch(2)], expectation), recorder);
    assert_eq!(
        found.verdict,
        verdict.max(Verdict::Inconclusive),
        "{found:#?}"
    );
}

#[test]
fn requests_that_are_not_answered_say_nothing_of_how_they_arrived() {
    let mut recorder = recorder();
    recorder.request(0, lose);
    for expectation in [
        Expectation::OverTls {
            traffic: TRAFFIC.to_owned(),
        },
        Expectation::InPlaintext {
            traffic: TRAFFIC.to_owned(),
        },
    ] {
        let found = finding(&expecting(vec![batch(1)], expectation), &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    }
}

#[rstest]
#[case::right(Some(503), Some(RefusalCause::Plaintext), Verdict::Passed)]
#[case::another(Some(503), Some(RefusalCause::Untrusted), Verdict::Failed)]
#[case::unknown(Some(503), None, Verdict::Inconclusive)]
#[case::no_answer(None, None, Verdict::Inconclusive)]
#[case::answered(Some(200), None, Verdict::Failed)]
fn a_refusal_must_have_its_cause(
    #[case] status: Option<u16>,
    #[case] cause: Option<RefusalCause>,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    recorder.request(0, |request| {
        request.status = status;
        request.cause = cause;
    });
    let because = RefusalCause::Plaintext;
    let traffic = TRAFFIC.to_owned();
    let expectation = Expectation::Refused { traffic, because };
    assert_decided_by_one(expectation, &recorder, verdict);
}

#[test]
fn who_answered_what_was_to_be_refused_is_told() {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    recorder.request(1, by_zone(2));
    recorder.request(2, |request| request.answered_by = None);
    let (traffic, because) = (TRAFFIC.to_owned(), RefusalCause::Untrusted);
    let expectation = Expectation::Refused { traffic, because };
    let found = finding(&expecting(vec![batch(3)], expectation), &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    let details = found.details.iter();
    let told: Vec<&str> = details.map(|detail| detail.observed.as_str()).collect();
    assert_eq!(
        told,
        [
            "1 of 3 requests answered by checkout in zone1 (checkout-zone1-0), #0 (due 0.008 s)",
            "1 of 3 requests answered by checkout in zone2 (checkout-zone2-0), #1 (due 0.009 s)",
            "1 of 3 requests answered, #2 (due 0.010 s)",
        ]
    );
    assert!(found.details.iter().all(|detail| detail.step == Some(0)));
}

#[rstest]
#[case::new(&["1", "2"], OWN, Verdict::Passed)]
#[case::the_same(&["1", "1"], OWN, Verdict::Failed)]
#[case::of_another(&["1", "2"], "spiffe://mesh/sa/frontend", Verdict::Failed)]
#[case::never_read(&[], OWN, Verdict::Inconclusive)]
fn certificates_must_be_renewed(
    #[case] serials: &[&str],
    #[case] of: &str,
    #[case] verdict: Verdict,
) {
    let mut recorder = turned_on();
    let hold = Act::Hold(Span::secs(1));
    let read = |recorder: &mut Recorder, serial: &str| {
        recorder.observe(showing(certificate(of, serial)));
    };
    // What was held before the step counts, too.
    if let [first, ..] = serials {
        read(&mut recorder, first);
    }
    recorder.step(1).wait(1000);
    if let [_, second] = serials {
        read(&mut recorder, second);
    }
    let when = vec![Act::Apply(permissive()), hold];
    let found = finding(
        &expecting(when, Expectation::Renewed { since: 1 }),
        &recorder,
    );
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

/// `(when in ms, serial, its end in ms)` of each reading; no serial: the sidecar could not be read; `waits`: it asks for one. The step that counts begins
/// at 10 s and has the end of a fault at 12 s. A probe may take 5 s to answer, and recovery 20 s.
#[rstest]
#[case::in_time(&[(9_000, "1", 20_000), (19_900, "2", 40_000)], None, Verdict::Passed)]
#[case::ends_untold(&[(9_000, "1", 0), (39_000, "2", 0)], None, Verdict::Passed)]
#[case::perhaps_read_late(&[(9_000, "1", 20_000), (24_900, "2", 40_000)], Some("another one at 24.9"), Verdict::Inconclusive)]
#[case::late(&[(9_000, "1", 20_000), (25_100, "2", 40_000)], Some("another one at 25.100 s, to be replaced until 20.000 s, when the one before ended"), Verdict::Failed)]
#[case::a_later_one_late(
    &[(9_000, "1", 20_000), (15_000, "2", 35_000), (41_000, "3", 60_000)],
    Some("to be replaced until 35.000 s"),
    Verdict::Failed
)]
#[case::kept(
    &[(9_000, "1", 20_000), (19_000, "2", 30_000), (36_000, "2", 30_000)],
    Some("the same still at 36.000 s, to be replaced until 30.000 s, when it ended"),
    Verdict::Failed
)]
#[case::unread_meanwhile(
    &[(9_000, "1", 20_000), (15_000, "", 0), (26_000, "2", 40_000)],
    Some("another one at 26.0"),
    Verdict::Inconclusive
)]
#[case::kept_and_unread_meanwhile(
    &[(9_000, "1", 20_000), (15_000, "2", 30_000), (29_000, "", 0), (36_000, "2", 30_000)],
    Some("the same still at 36.0"),
    Verdict::Failed
)]
#[case::perhaps_late_and_then_late(
    &[(9_000, "1", 20_000), (21_000, "2", 30_000), (36_000, "3", 50_000)],
    Some("another one at 36.0"),
    Verdict::Failed
)]
#[case::waited_too_long(
    &[(9_000, "1", 20_000), (19_000, "waits", 0), (26_000, "2", 40_000)],
    Some("another one at 26.0"),
    Verdict::Failed
)]
// It had ended before: the mesh has its time from the end of the fault on.
#[case::ended_before(&[(9_000, "1", 8_000), (31_900, "2", 60_000)], None, Verdict::Passed)]
#[case::ended_before_and_late(
    &[(9_000, "1", 8_000), (37_100, "2", 60_000)],
    Some("to be replaced until 32.000 s: the one before ended at 8.000 s already"),
    Verdict::Failed
)]
#[case::ended_before_and_kept(
    &[(9_000, "1", 8_000), (37_100, "1", 8_000)],
    Some("the same all the time, still at 37.101 s, to be replaced until 32.000 s: it ended at 8.000 s already"),
    Verdict::Failed
)]
#[case::ended_before_and_kept_within_the_bound(
    &[(9_000, "1", 8_000), (25_000, "1", 8_000)],
    Some("the same, still at 25.001 s, to be replaced until 32.000 s: it ended at 8.000 s already: too short a time to tell"),
    Verdict::Inconclusive
)]
#[case::ended_before_the_run_and_kept(
    &[(9_000, "1", -5_000), (37_100, "1", -5_000)],
    Some("to be replaced until 32.000 s: it ended before the run began"),
    Verdict::Failed
)]
#[case::kept_beyond_its_end(
    &[(9_000, "1", 20_000), (26_000, "1", 20_000)],
    Some("the same all the time, still at 26.001 s, to be replaced until 20.000 s, when it ended"),
    Verdict::Failed
)]
#[case::kept_to_its_end(
    &[(9_000, "1", 20_000), (19_900, "1", 20_000)],
    Some("the same all the time, due to be replaced at 15.000 s, before its end at 20.000 s, and seen until 19.901 s"),
    Verdict::Failed
)]
#[case::kept_and_its_end_untold(&[(9_000, "1", 0), (37_100, "1", 0)], Some("the same all the time"), Verdict::Failed)]
#[case::not_due(&[(9_000, "1", 26_000), (19_000, "1", 26_000)], Some("the same, due to be replaced at 21.000 s, before its end at 26.000 s, and seen until 19.001 s: too short a time to tell"), Verdict::Inconclusive)]
#[case::due(&[(9_000, "1", 23_900), (19_000, "1", 23_900)], Some("the same all the time, due to be replaced at 18.900 s, before its end at 23.900 s, and seen until 19.001 s"), Verdict::Failed)]
// Who could not be read any more showed it until a probe's time before that, and who was read once more to the end.
#[case::kept_and_then_unread(
    &[(9_000, "1", 23_900), (15_000, "", 0), (30_000, "", 0)],
    Some("the same, due to be replaced at 18.900 s, before its end at 23.900 s, and seen until 10.000 s: too short a time to tell, since it could not be read any more: no sidecar"),
    Verdict::Inconclusive
)]
#[case::due_and_then_unread(
    &[(9_000, "1", 23_900), (24_000, "", 0), (30_000, "", 0)],
    Some("the same all the time, due to be replaced at 18.900 s, before its end at 23.900 s, and seen until 19.000 s"),
    Verdict::Failed
)]
#[case::kept_beyond_its_end_and_then_unread(
    &[(9_000, "1", 20_000), (26_000, "1", 20_000), (27_000, "", 0)],
    Some("the same all the time, still at 26.000 s, to be replaced until 20.000 s, when it ended"),
    Verdict::Failed
)]
#[case::unread_and_then_the_same(
    &[(9_000, "1", 23_900), (15_000, "", 0), (19_000, "1", 23_900)],
    Some("seen until 19.001 s"),
    Verdict::Failed
)]
#[case::its_end_untold_and_then_unread(
    &[(9_000, "1", 0), (15_000, "", 0), (37_100, "", 0)],
    Some("the same, seen until 10.000 s, since it could not be read any more"),
    Verdict::Inconclusive
)]
#[case::ended_before_and_then_unread(
    &[(9_000, "1", 8_000), (36_900, "", 0), (40_000, "", 0)],
    Some("the same, still at 31.900 s, to be replaced until 32.000 s"),
    Verdict::Inconclusive
)]
#[case::ended_before_and_kept_and_then_unread(
    &[(9_000, "1", 8_000), (37_000, "", 0), (40_000, "", 0)],
    Some("the same all the time, still at 32.000 s, to be replaced until 32.000 s"),
    Verdict::Failed
)]
fn certificates_must_be_renewed_before_they_end(
    #[case] readings: &[(u64, &str, i64)],
    #[case] wrong: Option<&str>,
    #[case] verdict: Verdict,
) {
    let mut recorder = turned_on();
    let mut step = 0;
    for (at_ms, serial, until_ms) in readings {
        if *at_ms >= 10_000 && step == 0 {
            step = 1;
            recorder.wait_until(10_000).step(1);
            recorder.wait_until(12_000).fault_ended();
        }
        recorder.wait_until(*at_ms);
        if serial.is_empty() {
            recorder.unreadable(&inside().name);
            continue;
        }
        let valid = (*until_ms != 0).then_some(Validity {
            from_ms: until_ms - 20_000,
            until_ms: *until_ms,
        });
        let warming = *serial == "waits";
        let shown = certificate(OWN, serial).map(|own| CertificateSeen {
            valid,
            warming,
            ..own
        });
        recorder.observe(showing(shown));
    }
    let when = vec![Act::Apply(permissive()), Act::Recover];
    let found = finding(
        &expecting(when, Expectation::Renewed { since: 1 }),
        &recorder,
    );
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert_told(&found, wrong);
}

#[rstest]
#[case::before_it_was_due(15_000, Verdict::Inconclusive)]
#[case::when_it_was_due(24_000, Verdict::Failed)]
fn a_pod_that_left_showed_its_certificate_no_longer(
    #[case] left_ms: u64,
    #[case] verdict: Verdict,
) {
    let mut recorder = turned_on();
    // Due at 18.9 s.
    let own = valid_for(20_000, "1", 3_900);
    recorder.wait_until(9_000).observe(showing(own));
    recorder.wait_until(10_000).step(1);
    recorder.step(2).wait_until(left_ms);
    recorder.push(EventKind::SidecarLeft {
        sidecar: inside().name,
        pod_uid: inside().pod_uid,
    });
    recorder.wait_until(60_000);
    let hold = Act::Hold(Span::secs(1));
    let when = vec![Act::Apply(permissive()), hold.clone(), hold];
    let found = finding(
        &expecting(when, Expectation::Renewed { since: 1 }),
        &recorder,
    );
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

#[rstest]
#[case::seen_to_the_end(false, Some("though what it came from was replaced"), Verdict::Failed)]
#[case::unread_from_then_on(true, Some("too short a time to tell"), Verdict::Inconclusive)]
fn what_came_of_a_replacement_shows_who_is_read_afterwards(
    #[case] is_unread: bool,
    #[case] wrong: Option<&str>,
    #[case] verdict: Verdict,
) {
    let mut recorder = turned_on();
    let own = valid_for(20_000, "1", 5_000);
    recorder.wait_until(9_000).observe(showing(own));
    recorder.wait_until(10_000).step(1);
    if is_unread {
        recorder.unreadable(&inside().name);
    }
    recorder.wait_until(14_000);
    let selector = PodSelector::Component("node-agent".to_owned());
    let kill = Act::Inject(Fault::PodKill { selector });
    let found = finding(
        &expecting(
            vec![Act::Apply(permissive()), kill],
            Expectation::Renewed { since: 1 },
        ),
        &recorder,
    );
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert_told(&found, wrong);
}

#[rstest]
#[case::tls(Some((Spoken::Tls, 0)), Verdict::Passed, Verdict::Failed)]
#[case::plaintext(Some((Spoken::Plaintext, 0)), Verdict::Failed, Verdict::Passed)]
#[case::not_everything(Some((Spoken::Tls, 1)), Verdict::Inconclusive, Verdict::Failed)]
#[case::nobody_looked(None, Verdict::Inconclusive, Verdict::Inconclusive)]
fn what_is_seen_on_the_wire_is_judged(
    #[case] seen: Option<(Spoken, u32)>,
    #[case] tls: Verdict,
    #[case] plaintext: Verdict,
) {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    let wire = |traffic: &str, spoken, unseen| EventKind::OnTheWire {
        traffic: traffic.to_owned(),
        connections: vec![WireConnection {
            from: "10.101.1.1:4000".to_owned(),
            to: "10.102.1.2:8080".to_owned(),
            spoken,
        }],
        answers: None,
        unseen,
    };
    // What another batch looked like is no evidence.
    recorder.push(wire("another", Spoken::Plaintext, 3));
    if let Some((spoken, unseen)) = seen {
        recorder.push(wire(TRAFFIC, spoken, unseen));
    }
    for (is, verdict) in [(Spoken::Tls, tls), (Spoken::Plaintext, plaintext)] {
        let traffic = TRAFFIC.to_owned();
        let expectation = Expectation::OnTheWire { traffic, is };
        let found = finding(&expecting(vec![batch(1)], expectation.clone()), &recorder);
        assert_eq!(found.verdict, verdict, "{found:#?}");
        if verdict == Verdict::Failed {
            let who = found.details[0].sidecar.as_deref();
            assert_eq!(who, Some("frontend@zone1"));
        }
        let found = finding(&expecting(vec![batch(2)], expectation), &recorder);
        assert_eq!(found.verdict, verdict.max(Verdict::Inconclusive));
    }
}

#[rstest]
#[case::tls_as_well(Some(vec![Spoken::Tls]), Verdict::Passed)]
#[case::plaintext(Some(vec![Spoken::Tls, Spoken::Plaintext]), Verdict::Failed)]
#[case::nothing(Some(vec![]), Verdict::Inconclusive)]
#[case::nobody_looked(None, Verdict::Passed)]
fn what_is_seen_of_answers_is_judged(
    #[case] answers: Option<Vec<Spoken>>,
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    recorder.request(0, |_| {});
    let connection = |from: &str, to: &str, spoken| WireConnection {
        from: from.to_owned(),
        to: to.to_owned(),
        spoken,
    };
    let (caller, callee) = ("10.101.1.1:4000", "10.102.1.2:8080");
    let back = |spoken: &Spoken| connection(callee, caller, *spoken);
    recorder.push(EventKind::OnTheWire {
        traffic: TRAFFIC.to_owned(),
        connections: vec![connection(caller, callee, Spoken::Tls)],
        answers: answers.map(|answers| answers.iter().map(back).collect()),
        unseen: 0,
    });
    let (traffic, is) = (TRAFFIC.to_owned(), Spoken::Tls);
    let expectation = Expectation::OnTheWire { traffic, is };
    let found = finding(&expecting(vec![batch(1)], expectation), &recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

#[rstest]
#[case::in_time(&[(100, 1, None), (1100, 1, over(None)), (2200, 1, Some(Arrival::Plaintext))], Verdict::Passed)]
#[case::late(&[(900, 1, over(None)), (1100, 1, Some(Arrival::Plaintext))], Verdict::Failed)]
#[case::done_after_the_next_write(&[(1100, 1, over(None)), (1200, 900, Some(Arrival::Plaintext))], Verdict::Passed)]
#[case::untold(&[(1100, 1, None)], Verdict::Inconclusive)]
#[case::nothing_sent(&[(900, 1, over(None))], Verdict::Inconclusive)]
fn connections_from_before_may_be_used_for_a_stated_time(
    #[case] requests: &[(u64, u64, Option<Arrival>)],
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    recorder.step(1).write(&permissive());
    let written = recorder.now_ns();
    for (sequence, (after_ms, latency_ms, arrived)) in requests.iter().enumerate() {
        recorder.request(sequence as u64, |request| {
            request.due_ns = written + after_ms * 1_000_000;
            request.latency_us = latency_ms * 1000;
            request.arrived = arrived.clone();
        });
    }
    // From the next write on nothing is said any more.
    recorder.wait(2000).step(2).write(&permissive());
    recorder.step(3);
    let when = vec![
        load(),
        Act::Apply(permissive()),
        Act::Apply(permissive()),
        Act::Stop(TRAFFIC.to_owned()),
    ];
    let expectation = Expectation::MovesTo {
        traffic: TRAFFIC.to_owned(),
        step: 1,
        within: Span::secs(1),
        is: Spoken::Tls,
    };
    let found = finding(&expecting(when, expectation), &recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

#[rstest]
#[case::kept(&[0, 0, 1], Verdict::Passed)]
#[case::made_anew_and_kept(&[0, 1, 1, 2], Verdict::Passed)]
#[case::ended_before(&[0, 0, 1, 2], Verdict::Inconclusive)]
#[case::each_had_its_own(&[0, 1, 2], Verdict::Inconclusive)]
#[case::nobody_tells(&[], Verdict::Inconclusive)]
fn what_becomes_of_a_kept_connection_shows_only_where_one_was_kept(
    #[case] connections: &[u64],
    #[case] verdict: Verdict,
) {
    let mut recorder = recorder();
    let told: Vec<Option<u64>> = match connections {
        [] => vec![None; 3],
        told => told.iter().copied().map(Some).collect(),
    };
    // The last of them is sent when the time for old connections is over.
    let (last, before) = told.split_last().expect("one at least");
    for (sequence, connection) in before.iter().enumerate() {
        recorder.wait(100).request(sequence as u64, |request| {
            request.arrived = Some(Arrival::Plaintext);
            request.connection = *connection;
        });
    }
    recorder.wait(100).step(1).write(&permissive());
    let written = recorder.now_ns();
    recorder.request(before.len() as u64, |request| {
        request.due_ns = written + 1_100_000_000;
        request.arrived = over(None);
        request.connection = *last;
    });
    recorder.wait(2000).step(2);
    let mut kept = load();
    if let Act::Load(load) = &mut kept {
        load.protocol = Protocol::Tcp;
        load.connections = Connections::Kept;
    }
    let when = vec![
        kept,
        Act::Apply(permissive()),
        Act::Stop(TRAFFIC.to_owned()),
    ];
    let expectation = Expectation::MovesTo {
        traffic: TRAFFIC.to_owned(),
        step: 1,
        within: Span::secs(1),
        is: Spoken::Tls,
    };
    let found = finding(&expecting(when, expectation), &recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
}
