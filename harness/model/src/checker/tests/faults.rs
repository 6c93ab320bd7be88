//! Histories of faults.

use super::requests::TRAFFIC;
use super::requests::answered;
use super::requests::by_zone;
use super::requests::expecting;
use super::requests::finding;
use super::requests::load;
use super::requests::lose;
use super::requests::outage;
use super::requests::recorder;
use crate::checker::is_recovery_open;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::fault::PodSelector;
use crate::history::EventKind;
use crate::history::RequestSeen;
use crate::patience::Patience;
use crate::scenario::Act;
use crate::scenario::Scenario;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::testing::sidecar;
use crate::verdict::Verdict;
use rstest::rstest;

/// A request: when it is due and how it differs from an answered one.
type Sent<'a> = (u64, &'a dyn Fn(&mut RequestSeen));

/// A fault on zone 1 from 100 ms to 1100 ms, with the requests of `during` (offset from its beginning, in
/// milliseconds) and then those of `after` (offset from its end).
fn outage_history(during: &[Sent<'_>], after: &[Sent<'_>]) -> Recorder {
    let mut recorder = recorder();
    recorder.at_ms = 99;
    recorder.fault_started(outage(), &["frontend@zone1", "checkout@zone1"]);
    let mut sequence = 0;
    let mut send = |recorder: &mut Recorder, due_ms: u64, change: &dyn Fn(&mut RequestSeen)| {
        recorder.request(sequence, |r| {
            change(r);
            r.due_ns = due_ms * 1_000_000;
        });
        sequence += 1;
    };
    for (offset, change) in during {
        send(&mut recorder, 100 + offset, change);
    }
    recorder.at_ms = 1099;
    recorder.fault_ended();
    for (offset, change) in after {
        send(&mut recorder, 1100 + offset, change);
    }
    recorder
}

fn under_fault(expectation: Expectation) -> Scenario {
    expecting(
        vec![load(), Act::Inject(outage()), Act::Recover],
        expectation,
    )
}

fn fails_over() -> Scenario {
    under_fault(Expectation::FailsOver {
        traffic: TRAFFIC.to_owned(),
        within: Span::millis(500),
    })
}

#[test]
fn traffic_that_has_moved_in_time_fails_over() {
    let away = by_zone(2);
    let history = outage_history(
        &[(0, &lose), (499, &lose), (500, &away), (999, &away)],
        &[(0, &lose)],
    );
    let found = finding(&fails_over(), &history);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 2),
        "{found:?}"
    );
    assert_eq!(found.checker, "fails_over");
}

#[rstest]
#[case::right_at_the_bound(500)]
#[case::at_the_very_end(999)]
fn a_loss_after_the_bound_is_no_failover(#[case] offset: u64) {
    let away = by_zone(2);
    let history = outage_history(&[(600, &away), (offset, &lose)], &[]);
    let found = finding(&fails_over(), &history);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
    assert!(
        found.details[0].expected.contains("by 0.600 s"),
        "{found:?}"
    );
}

#[test]
fn answers_of_what_is_hit_are_no_failover() {
    let history = outage_history(&[(600, &|_: &mut RequestSeen| {})], &[]);
    let found = finding(&fails_over(), &history);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details[0].observed.contains("none of 1"), "{found:?}");
    let none = finding(&fails_over(), &outage_history(&[], &[]));
    assert_eq!(none.verdict, Verdict::Inconclusive);
    let nobody = outage_history(&[(600, &|r: &mut RequestSeen| r.answered_by = None)], &[]);
    assert_eq!(
        finding(&fails_over(), &nobody).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn a_pod_named_by_the_fault_itself_is_hit() {
    let mut history = outage_history(&[(600, &|_: &mut RequestSeen| {})], &[]);
    for event in &mut history.events {
        if let EventKind::FaultStarted { hits, .. } = &mut event.kind {
            *hits = vec!["checkout-zone1-0".to_owned()];
        }
    }
    assert_eq!(
        finding(&fails_over(), &history).verdict,
        Verdict::Inconclusive
    );
    for event in &mut history.events {
        if let EventKind::FaultStarted { hits, .. } = &mut event.kind {
            *hits = vec!["checkout@zone2".to_owned()];
        }
    }
    assert_eq!(finding(&fails_over(), &history).verdict, Verdict::Passed);
}

#[test]
fn a_gap_leaves_failover_and_recovery_open() {
    let away = by_zone(2);
    let mut history = outage_history(&[(600, &away)], &[]);
    history.request(9, |_| {});
    assert_eq!(
        finding(&fails_over(), &history).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn a_fault_that_never_ended_decides_nothing() {
    let away = by_zone(2);
    let mut history = outage_history(&[(600, &away)], &[]);
    for event in &mut history.events {
        if let EventKind::FaultEnded { fault } = &mut event.kind {
            *fault = 7;
        }
    }
    assert_eq!(
        finding(&fails_over(), &history).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn a_fault_without_effect_lets_nothing_pass() {
    let scenario = expecting(
        vec![load(), Act::Inject(outage()), Act::Recover],
        answered(0),
    );
    let fine = outage_history(&[(0, &|_: &mut RequestSeen| {})], &[]);
    assert_eq!(finding(&scenario, &fine).verdict, Verdict::Passed);

    let mut without = recorder();
    without.request(0, |_| {});
    let found = finding(&scenario, &without);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "0 of 1 began");

    let mut without = fine;
    without.push(EventKind::FaultWithoutEffect {
        fault: 0,
        reason: "still answers".to_owned(),
    });
    let found = finding(&scenario, &without);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "still answers");

    without.request(1, lose);
    assert_eq!(finding(&scenario, &without).verdict, Verdict::Failed);
}

fn recovers() -> Scenario {
    under_fault(Expectation::Recovers {
        traffic: TRAFFIC.to_owned(),
    })
}

fn row(from: u64, count: u64, change: &dyn Fn(&mut RequestSeen)) -> Vec<Sent<'_>> {
    (0..count).map(|i| (from + i, change)).collect()
}

#[test]
fn five_answers_in_a_row_are_a_recovery() {
    let fine = |_: &mut RequestSeen| {};
    let found = finding(
        &recovers(),
        &outage_history(&[(0, &lose)], &row(0, 5, &fine)),
    );
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 5),
        "{found:?}"
    );
    assert_eq!(found.checker, "recovers");
    let found = finding(&recovers(), &outage_history(&[], &row(0, 4, &fine)));
    assert_eq!(found.verdict, Verdict::Inconclusive);
    let mut broken = row(0, 4, &fine);
    broken.push((4, &lose));
    broken.extend(row(5, 4, &fine));
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &broken)).verdict,
        Verdict::Inconclusive
    );
    broken.extend(row(9, 1, &fine));
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &broken)).verdict,
        Verdict::Passed
    );
    // What was answered before the end does not count.
    let before = row(900, 5, &fine);
    assert_eq!(
        finding(&recovers(), &outage_history(&before, &[])).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn answers_among_others_are_no_recovery_of_what_was_hit() {
    let others = |r: &mut RequestSeen| {
        r.from = "frontend@zone3".to_owned();
        by_zone(2)(r);
    };
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &row(0, 5, &others))).verdict,
        Verdict::Inconclusive
    );
    let back = |r: &mut RequestSeen| r.from = "frontend@zone3".to_owned();
    let mut mixed = row(0, 4, &others);
    mixed.extend(row(4, 1, &back));
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &mixed)).verdict,
        Verdict::Passed
    );
    let out = |r: &mut RequestSeen| by_zone(2)(r);
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &row(0, 5, &out))).verdict,
        Verdict::Passed
    );
}

#[test]
fn a_recovery_must_come_in_time_and_last() {
    let fine = |_: &mut RequestSeen| {};
    let bound = 20_000;
    let late = outage_history(&[], &row(bound + 1, 5, &fine));
    let found = finding(&recovers(), &late);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(
        found.details[0].observed.contains("until 21.100 s"),
        "{found:?}"
    );
    // Nothing was sent after the bound, so it may have been kept.
    let at_the_bound = outage_history(&[], &row(bound, 1, &fine));
    assert_eq!(
        finding(&recovers(), &at_the_bound).verdict,
        Verdict::Inconclusive
    );
    let just = outage_history(&[], &row(bound - 4, 5, &fine));
    assert_eq!(finding(&recovers(), &just).verdict, Verdict::Passed);

    let mut relapse = row(0, 5, &fine);
    relapse.push((bound, &lose));
    assert_eq!(
        finding(&recovers(), &outage_history(&[], &relapse)).verdict,
        Verdict::Passed
    );
    relapse.push((bound + 1, &lose));
    let found = finding(&recovers(), &outage_history(&[], &relapse));
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));

    let mut gap = outage_history(&[], &row(0, 5, &fine));
    gap.request(9, |_| {});
    assert_eq!(finding(&recovers(), &gap).verdict, Verdict::Inconclusive);
}

/// Whether it is open what `recovers` says of a history so far.
fn is_open(scenario: &Scenario, history: &Recorder) -> bool {
    is_recovery_open(scenario, &history.events, &Patience::default(), TRAFFIC)
}

#[test]
fn a_recovery_is_open_until_traffic_is_back_or_the_bound_is_over() {
    let fine = |_: &mut RequestSeen| {};
    let bound = 20_000;
    let none = outage_history(&row(0, 5, &fine), &[]);
    assert!(is_open(&recovers(), &none));
    assert!(is_open(
        &recovers(),
        &outage_history(&[], &row(0, 4, &fine))
    ));
    let back = outage_history(&[], &row(0, 5, &fine));
    assert!(!is_open(&recovers(), &back));

    let at_the_bound = outage_history(&[], &row(bound, 1, &lose));
    assert!(is_open(&recovers(), &at_the_bound));
    let beyond = outage_history(&[], &row(bound + 1, 1, &lose));
    assert!(!is_open(&recovers(), &beyond));

    // Outcomes that are missing will not come, and decide nothing.
    let mut gap = back;
    gap.request(9, |_| {});
    assert!(!is_open(&recovers(), &gap));
}

#[test]
fn every_outage_must_be_decided() {
    let fine = |_: &mut RequestSeen| {};
    let mut history = outage_history(&[], &row(0, 5, &fine));
    history.push(EventKind::FaultStarted {
        fault: 1,
        spec: outage(),
        hits: vec!["frontend@zone1".to_owned()],
        efficacy: "nobody comes through".to_owned(),
        left: None,
    });
    assert!(!is_open(&recovers(), &history), "it has not ended");
    history.push(EventKind::FaultEnded { fault: 1 });
    assert!(is_open(&recovers(), &history));
}

#[test]
fn nothing_is_open_without_an_outage_or_where_none_is_to_be_recovered_from() {
    let fine = |_: &mut RequestSeen| {};
    let mut without = recorder();
    without.request(0, lose);
    assert!(!is_open(&recovers(), &without));

    let history = outage_history(&[], &row(0, 1, &fine));
    assert!(is_open(&recovers(), &history));
    let events = &history.events;
    assert!(!is_recovery_open(
        &recovers(),
        events,
        &Patience::default(),
        "other"
    ));
    assert!(!is_open(&fails_over(), &history));
}

fn unchanged() -> Scenario {
    expecting(
        vec![
            Act::Inject(Fault::PodKill {
                selector: PodSelector::ControlPlaneReplica,
            }),
            Act::Recover,
        ],
        Expectation::Unchanged,
    )
}

/// Two sidecars hold `x` on replicas `a` and `b`; `a` is killed; then `during` is recorded.
fn killed(during: impl Fn(&mut Recorder)) -> Recorder {
    let (one, two) = (sidecar("frontend", 1, 1), sidecar("frontend", 2, 1));
    let mut recorder = Recorder::new(&[one.clone(), two.clone()]);
    recorder.observe(shows(&one, "a", "x", ""));
    recorder.observe(shows(&two, "b", "x", ""));
    recorder.step(0);
    // It moves on before the fault is measured, and was hit all the same.
    recorder.observe(shows(&one, "b", "x", ""));
    recorder.fault_started(outage(), &["a"]);
    during(&mut recorder);
    recorder.fault_ended();
    recorder
}

#[test]
fn what_lost_its_control_plane_must_go_on_unchanged() {
    let (one, two) = (sidecar("frontend", 1, 1), sidecar("frontend", 2, 1));
    let same = killed(|r| {
        r.observe(shows(&one, "b", "x", "m"));
    });
    let found = finding(&unchanged(), &same);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 1),
        "{found:?}"
    );
    assert_eq!(found.checker, "unchanged");

    for (toggles, rules) in [("", "x"), ("x", "y")] {
        let changed = killed(|r| {
            let mut seen = shows(&one, "b", toggles, "");
            seen.rules = shows(&one, "b", rules, "").rules;
            r.observe(seen);
        });
        let found = finding(&unchanged(), &changed);
        assert_eq!(found.verdict, Verdict::Failed);
        assert_eq!(found.details[0].sidecar.as_deref(), Some("frontend@zone1"));
        assert!(found.details[0].event.is_some());
    }

    let unread = killed(|_| {});
    assert_eq!(
        finding(&unchanged(), &unread).details[0].observed,
        "not read during the fault"
    );
    let only_other = killed(|r| {
        r.observe(shows(&two, "b", "x", ""));
    });
    assert_eq!(
        finding(&unchanged(), &only_other).verdict,
        Verdict::Inconclusive
    );
    let other_changed = killed(|r| {
        r.observe(shows(&one, "b", "x", ""));
        r.observe(shows(&two, "b", "", ""));
    });
    assert_eq!(
        finding(&unchanged(), &other_changed).verdict,
        Verdict::Passed
    );
}

#[test]
fn only_readings_during_the_fault_speak_of_it() {
    let one = sidecar("frontend", 1, 1);
    let mut after = killed(|_| {});
    after.observe(shows(&one, "b", "", ""));
    assert_eq!(finding(&unchanged(), &after).verdict, Verdict::Inconclusive);
}

#[test]
fn who_has_nothing_can_lose_nothing() {
    let one = sidecar("frontend", 1, 1);
    let mut recorder = Recorder::new(std::slice::from_ref(&one));
    recorder.observe(shows(&one, "a", "", ""));
    recorder.step(0);
    recorder.fault_started(outage(), &["frontend@zone1"]);
    recorder.observe(shows(&one, "a", "", ""));
    recorder.fault_ended();
    assert_eq!(
        finding(&unchanged(), &recorder).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn toggles_or_rules_alone_are_something() {
    let one = sidecar("frontend", 1, 1);
    for is_toggle in [true, false] {
        let mut seen = shows(&one, "a", "x", "");
        if is_toggle {
            seen.rules.clear();
        } else {
            seen.toggles.clear();
        }
        let mut recorder = Recorder::new(std::slice::from_ref(&one));
        recorder.observe(seen.clone());
        recorder.step(0);
        recorder.fault_started(outage(), &["frontend@zone1"]);
        recorder.observe(seen);
        recorder.fault_ended();
        assert_eq!(finding(&unchanged(), &recorder).verdict, Verdict::Passed);
    }
}

#[test]
fn a_hit_sidecar_must_have_been_read_and_there_before() {
    let one = sidecar("frontend", 1, 1);
    let mut unread = Recorder::new(std::slice::from_ref(&one));
    unread.step(0);
    unread.fault_started(outage(), &["frontend@zone1"]);
    unread.observe(shows(&one, "a", "x", ""));
    unread.fault_ended();
    assert_eq!(
        finding(&unchanged(), &unread).details[0].observed,
        "not read before the fault"
    );

    let mut later = Recorder::new(&[]);
    later.step(0);
    later.fault_started(outage(), &["frontend@zone1"]);
    later.push(EventKind::SidecarJoined {
        sidecar: one.clone(),
    });
    later.observe(shows(&one, "a", "x", ""));
    later.fault_ended();
    let found = finding(&unchanged(), &later);
    assert_eq!(
        found.details[0].observed, "none",
        "it was not there: {found:?}"
    );

    let mut left = Recorder::new(std::slice::from_ref(&one));
    left.observe(shows(&one, "a", "x", ""));
    left.step(0);
    left.push(EventKind::SidecarLeft {
        sidecar: one.name.clone(),
        pod_uid: one.pod_uid.clone(),
    });
    left.fault_started(outage(), &["frontend@zone1"]);
    left.fault_ended();
    assert_eq!(finding(&unchanged(), &left).details[0].observed, "none");
}

#[rstest]
#[case::while_it_lasts(500, 500_000, Verdict::Passed)]
#[case::when_it_was_over(501, 500_000, Verdict::Inconclusive)]
#[case::later_than_it_may_be(500, 500_001, Verdict::Failed)]
fn an_answer_that_is_late_or_after_the_fault_is_no_failover(
    #[case] offset: u64,
    #[case] latency_us: u64,
    #[case] verdict: Verdict,
) {
    let waited = |r: &mut RequestSeen| {
        by_zone(2)(r);
        r.latency_us = latency_us;
    };
    let found = finding(&fails_over(), &outage_history(&[(offset, &waited)], &[]));
    assert_eq!(found.verdict, verdict, "{found:?}");
}

/// What a process held is gone with it, though the next one has it again by the time that it can be read.
#[test]
fn who_is_started_anew_has_not_gone_on() {
    let one = sidecar("frontend", 1, 1);
    let started = |times: Option<u64>| {
        let mut seen = shows(&one, "a", "x", "");
        seen.starts = times;
        seen
    };
    for (before, after, verdict) in [
        (Some(1), Some(2), Verdict::Failed),
        // The container around it is another one, which counts anew.
        (Some(2), Some(1), Verdict::Failed),
        (Some(1), Some(1), Verdict::Passed),
        (Some(1), None, Verdict::Passed),
        (None, Some(1), Verdict::Passed),
    ] {
        let mut recorder = Recorder::new(std::slice::from_ref(&one));
        recorder.observe(started(before));
        recorder.step(0);
        recorder.fault_started(outage(), &["a"]);
        recorder.observe(started(before));
        recorder.fault_ended();
        recorder.observe(started(after));
        assert_eq!(
            finding(&unchanged(), &recorder).verdict,
            verdict,
            "{before:?} then {after:?}"
        );
    }
}

#[test]
fn a_fault_that_hits_none_of_the_sidecars_leaves_unchanged_open() {
    // One fault is survived, and another one of the same scenario hits nobody who is there.
    let one = sidecar("frontend", 1, 1);
    let mut recorder = killed(|r| {
        r.observe(shows(&one, "b", "x", ""));
    });
    recorder.fault_started(outage(), &["ghost"]).fault_ended();
    let found = finding(&unchanged(), &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(found.details[0].expected, "a sidecar that the fault hits");
}
