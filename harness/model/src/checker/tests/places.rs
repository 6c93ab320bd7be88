//! Histories for `delivered` where nothing is written: what is given, who joins and leaves, what holds on.

use super::histories::applied;
use super::histories::apply;
use super::histories::both;
use super::histories::confined;
use super::histories::delete;
use super::histories::delivered;
use super::histories::ended;
use super::histories::findings;
use super::histories::given_scenario;
use super::histories::held;
use super::histories::inside;
use super::histories::join;
use super::histories::newcomer;
use super::histories::outside;
use super::histories::right;
use super::histories::settled;
use super::histories::version;
use super::histories::who;
use super::requests::outage;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::{EventKind, Observation};
use crate::scenario::Act;
use crate::scenario::Scenario;
use crate::testing::Recorder;
use crate::testing::configuration;
use crate::testing::entry_zone;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;

const RECONNECT_TO_BE_CARRIED_OUT: &str =
    "step 1 (every sidecar dials each control-plane replica in turn) to be carried out";

#[test]
fn a_step_that_was_not_carried_out_decides_nothing() {
    let found = delivered(vec![apply("v1"), Act::Reconnect], &applied());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].expected, RECONNECT_TO_BE_CARRIED_OUT);
    assert_eq!(found.details[0].step, Some(1));
    let mut unfinished = applied();
    unfinished.events.retain(|e| e.kind != EventKind::Finished);
    let found = delivered(vec![apply("v1")], &unfinished);
    assert_eq!(found.details[0].expected, "the end to be carried out");
    let found = confined(vec![apply("v1"), Act::Reconnect], &applied());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].expected, RECONNECT_TO_BE_CARRIED_OUT);
    assert_eq!(found.details[0].step, Some(1));
}

#[test]
fn traffic_steps_are_not_judged_for_configuration() {
    let mut recorder = applied();
    for event in &mut recorder.events {
        event.step = event.step.map(|_| 1);
    }
    let when = vec![Act::Stop("load".to_owned()), apply("v1")];
    assert_eq!(delivered(when, &recorder).verdict, Verdict::Passed);
}

#[test]
fn what_is_given_is_judged_as_well() {
    for then in [Expectation::Delivered, Expectation::Confined] {
        let found = findings(&given_scenario(then.clone()), &held(1000)).remove(0);
        assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
        let mut missing = held(1000);
        for event in &mut missing.events {
            if event.step.is_none()
                && event.at_ns < 10_000_000
                && let EventKind::Observed(seen) = &mut event.kind
            {
                seen.toggles.clear();
            }
        }
        missing.events.retain(|e| e.kind != EventKind::Finished);
        let found = findings(&given_scenario(then), &missing).remove(0);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    }
    assert_eq!(
        findings(&given_scenario(Expectation::Delivered), &held(1000))[0].observations,
        3
    );
}

#[test]
fn a_hold_is_proven_after_its_time() {
    let found = findings(&given_scenario(Expectation::Confined), &held(999)).remove(0);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["checkout@zone1", "checkout@zone2"]);
    assert!(
        found.details[0]
            .observed
            .starts_with("(b) no marker that was written when")
    );
    assert_eq!(found.details[0].step, Some(0));
}

#[test]
fn a_sidecar_that_loses_what_it_had_while_nothing_changes_fails() {
    let mut recorder = held(1000);
    let last = recorder.events.iter().rposition(
        |e| matches!(&e.kind, EventKind::Observed(seen) if e.step == Some(0) && seen.sidecar == "checkout@zone1"),
    );
    if let EventKind::Observed(seen) = &mut recorder.events[last.expect("it was read")].kind {
        seen.rules.clear();
    }
    // It joined long ago, so it owes what it must hold at once.
    recorder.events[0].at_ns = 0;
    for event in recorder.events.iter_mut().skip(1) {
        event.at_ns += 6_000_000_000;
    }
    let found = findings(&given_scenario(Expectation::Delivered), &recorder).remove(0);
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(found.details[0].step, Some(0));
    assert!(found.details[0].observed.starts_with("no rule `route`"));
}

/// Given `v1`, a pod joins in scope and shows `value` after `after_ms`.
fn joins(after_ms: u64, value: &str) -> Finding {
    joins_and_shows(&[(after_ms, value)])
}

/// Given `v1`, a pod joins in scope and shows each value after so many milliseconds more.
fn joins_and_shows(shown: &[(u64, &str)]) -> Finding {
    let newcomer = newcomer();
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder
        .wait(20_000)
        .step(0)
        .push(EventKind::SidecarJoined {
            sidecar: newcomer.clone(),
        });
    for (after_ms, value) in shown {
        recorder
            .wait(after_ms - 1)
            .observe(shows(&newcomer, "a", value, ""));
    }
    right(&mut recorder, "v1", "");
    ended(&mut recorder, "v1");
    recorder.observe(shows(&newcomer, "a", "v1", ""));
    let scenario = Scenario {
        when: vec![join()],
        ..given_scenario(Expectation::Delivered)
    };
    findings(&scenario, &recorder).remove(0)
}

#[test]
fn a_newcomer_has_its_own_bound() {
    let found = joins(10, "v1");
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 5),
        "{found:?}"
    );
    assert_eq!(joins(4999, "").verdict, Verdict::Inconclusive);
    assert_eq!(joins(5000, "").verdict, Verdict::Failed);
    assert_eq!(who(&joins(5000, "")), ["checkout@zone1#2"]);
}

#[test]
fn who_has_left_owes_nothing() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(1).push(EventKind::SidecarLeft {
        sidecar: "checkout@zone1".to_owned(),
        pod_uid: inside().pod_uid,
    });
    recorder
        .marker("m1")
        .observe(shows(&outside(), "a", "", "m1"));
    recorder
        .finished()
        .marker("e")
        .observe(shows(&outside(), "a", "", "e"));
    let leave = Act::Leave {
        application: "checkout".to_owned(),
        data_center: "zone1".to_owned(),
    };
    let found = delivered(vec![apply("v1"), leave.clone()], &recorder);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 1),
        "{found:?}"
    );
    let found = confined(vec![apply("v1"), leave], &recorder);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 4),
        "{found:?}"
    );
}

#[test]
fn a_stable_name_has_one_life_at_a_time() {
    let again = Sidecar {
        pod_uid: "again".to_owned(),
        ..inside()
    };
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder.push(EventKind::SidecarJoined {
        sidecar: again.clone(),
    });
    // Told twice: still the same life.
    recorder.push(EventKind::SidecarJoined {
        sidecar: again.clone(),
    });
    recorder.observe(shows(&again, "a", "v1", ""));
    recorder.finished().observe(shows(&again, "a", "v1", ""));
    let found = delivered(vec![apply("v1")], &recorder);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 2),
        "{found:?}"
    );
}

#[rstest]
#[case::right_at_its_bound(5000, Verdict::Failed)]
#[case::just_before(4999, Verdict::Passed)]
fn a_newcomer_must_be_right_in_time(#[case] wrong_for_ms: u64, #[case] verdict: Verdict) {
    // It can first be read ten seconds after it came, and shows what it must at last.
    let found = joins_and_shows(&[(10_000, ""), (wrong_for_ms, ""), (1, "v1")]);
    assert_eq!(found.verdict, verdict, "{found:?}");
    if verdict == Verdict::Failed {
        assert_eq!(who(&found), ["checkout@zone1#2"]);
        assert_eq!(found.details[0].step, Some(0));
        assert!(found.details[0].observed.starts_with("no toggle `flag`"));
        assert!(found.details[0].event.is_some());
    }
}

/// Given `v1`; then an act without a write, during which the sidecar in scope shows each value after so many
/// milliseconds.
fn while_nothing_changes(act: Act, shown: &[(u64, &str)], before: &[EventKind]) -> Finding {
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(0);
    for kind in before {
        recorder.push(kind.clone());
    }
    for (after_ms, value) in shown {
        recorder
            .wait(after_ms - 1)
            .observe(shows(&inside(), "a", value, ""));
    }
    ended(&mut recorder, "v1");
    let scenario = Scenario {
        when: vec![act],
        ..given_scenario(Expectation::Delivered)
    };
    findings(&scenario, &recorder).remove(0)
}

#[test]
fn what_is_lost_for_a_while_though_nothing_changes_fails() {
    let told = both().map(|sidecar| EventKind::Reconnected {
        sidecar: sidecar.name,
        replica: Some("a".to_owned()),
        epoch: 1,
    });
    for (act, before) in [
        (Act::Hold(Span::millis(1)), &[][..]),
        (Act::Reconnect, &told[..]),
    ] {
        let lost = [(1, "v1"), (1, ""), (1, "v1")];
        let found = while_nothing_changes(act.clone(), &lost, before);
        assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
        assert_eq!(who(&found), ["checkout@zone1"]);
        assert_eq!(found.details[0].step, Some(0));
        let found = while_nothing_changes(act, &[(1, "v1")], before);
        assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
    }
}

#[rstest]
#[case::within_the_bound(19_999, Verdict::Passed)]
#[case::at_the_bound(20_000, Verdict::Failed)]
fn what_a_fault_took_must_be_back_in_time(#[case] gone_for_ms: u64, #[case] verdict: Verdict) {
    let ended = EventKind::FaultEnded { fault: 0 };
    let found = while_nothing_changes(
        Act::Recover,
        &[(gone_for_ms, ""), (1, "v1")],
        &[ended.clone(), ended],
    );
    assert_eq!(found.verdict, verdict, "{found:?}");
}

/// A pod that is there again while its node's outage lasts, which ends a second later, and cannot be read this long after
/// that.
#[rstest]
#[case(19_000, Verdict::Inconclusive)]
#[case(21_000, Verdict::Failed)]
fn a_pod_that_comes_back_during_a_fault_has_the_time_that_a_recovery_has(
    #[case] unreadable_ms: u64,
    #[case] verdict: Verdict,
) {
    let again = |ended_before: bool| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder
            .step(1)
            .fault_started(outage(), &["checkout@zone1"]);
        if ended_before {
            recorder.fault_ended();
        }
        recorder.step(2);
        recorder.push(EventKind::SidecarLeft {
            sidecar: inside().name,
            pod_uid: inside().pod_uid,
        });
        recorder.push(EventKind::SidecarJoined { sidecar: inside() });
        recorder.wait(1000);
        if !ended_before {
            recorder.fault_ended();
        }
        recorder.wait(unreadable_ms).unreadable("checkout@zone1");
        recorder.finished();
        let when = vec![apply("v1"), Act::Inject(outage()), Act::Recover];
        delivered(when, &recorder)
    };
    let found = again(false);
    assert_eq!(found.verdict, verdict, "{found:?}");
    let after = again(true);
    assert_eq!(
        after.verdict,
        Verdict::Failed,
        "it owes it sooner: {after:?}"
    );
}

#[test]
fn a_pod_that_takes_over_a_name_owes_under_that_name_alone() {
    let joined = |name: &str| EventKind::SidecarJoined {
        sidecar: Sidecar {
            name: name.to_owned(),
            pod_uid: "new".to_owned(),
            ..inside()
        },
    };
    let reading = |name: &str, value: &str| Observation {
        sidecar: name.to_owned(),
        pod_uid: "new".to_owned(),
        ..shows(&inside(), "a", value, "")
    };
    let judged = |last: &str| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder.step(1).push(joined("checkout@zone1#2"));
        recorder.observe(reading("checkout@zone1#2", "v1"));
        for (name, uid) in [
            (inside().name, inside().pod_uid),
            ("checkout@zone1#2".to_owned(), "new".to_owned()),
        ] {
            recorder.push(EventKind::SidecarLeft {
                sidecar: name,
                pod_uid: uid,
            });
        }
        recorder.push(joined("checkout@zone1"));
        recorder.observe(reading("checkout@zone1", "v1"));
        recorder.step(2).write(&version("v2"));
        recorder.observe(reading("checkout@zone1", last)).wait(6000);
        recorder
            .finished()
            .observe(reading("checkout@zone1", last))
            .observe(shows(&outside(), "a", "", ""));
        delivered(
            vec![apply("v1"), Act::Hold(Span::millis(1)), apply("v2")],
            &recorder,
        )
    };
    let found = judged("v2");
    assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
    let found = judged("v1");
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    // After the write, and at the end.
    assert_eq!(who(&found), ["checkout@zone1", "checkout@zone1"]);
}

#[test]
fn a_pod_that_is_seen_again_still_owes_what_it_must_hold() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.push(EventKind::SidecarLeft {
        sidecar: inside().name,
        pod_uid: inside().pod_uid,
    });
    recorder.push(EventKind::SidecarJoined { sidecar: inside() });
    recorder
        .finished()
        .wait(6000)
        .observe(shows(&inside(), "a", "", ""));
    recorder.observe(shows(&outside(), "a", "", ""));
    let found = delivered(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
}

#[test]
fn a_write_that_concerns_nobody_is_not_delivered() {
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    let elsewhere = configuration("other", vec![entry_zone("zone3")], "v9");
    recorder.step(0).push(EventKind::SidecarLeft {
        sidecar: inside().name,
        pod_uid: inside().pod_uid,
    });
    recorder.write(&elsewhere);
    recorder.finished();
    let scenario = Scenario {
        when: vec![Act::Apply(elsewhere)],
        ..given_scenario(Expectation::Delivered)
    };
    let found = findings(&scenario, &recorder).remove(0);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(found.details[0].expected, "somebody to deliver it to");
    assert_eq!(found.details[0].step, Some(0));
    assert_eq!(found.observations, 1);
}

#[test]
fn who_joins_at_the_very_end_of_a_step_owes_already() {
    let newcomer = newcomer();
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(0);
    right(&mut recorder, "v1", "");
    recorder.push(EventKind::SidecarJoined {
        sidecar: newcomer.clone(),
    });
    ended(&mut recorder, "v1");
    recorder.observe(shows(&newcomer, "a", "v1", ""));
    let scenario = Scenario {
        when: vec![join()],
        ..given_scenario(Expectation::Delivered)
    };
    let found = findings(&scenario, &recorder).remove(0);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1#2"]);
    assert_eq!(found.details[0].observed, "not read");
}

#[test]
fn a_write_that_ends_its_step_is_judged_there() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder.step(1).delete("scoped");
    ended(&mut recorder, "");
    let found = delivered(vec![apply("v1"), delete()], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1", "checkout@zone1"]);
    let steps: Vec<_> = found.details.iter().map(|d| d.step).collect();
    assert_eq!(steps, [Some(0), Some(1)]);
    assert!(found.details[0].expected.starts_with("toggle `flag`"));
    assert!(found.details[1].expected.starts_with("nothing"));
}

#[test]
fn a_write_that_is_under_way_when_its_step_ends_decides_nothing() {
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(0);
    right(&mut recorder, "v1", "");
    recorder.push(EventKind::WriteStarted {
        configuration: Some(version("v2")),
        name: "scoped".to_owned(),
    });
    recorder.finished();
    let scenario = Scenario {
        when: vec![apply("v2")],
        ..given_scenario(Expectation::Delivered)
    };
    let found = findings(&scenario, &recorder).remove(0);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(
        found.details[0].observed,
        "not certain: an earlier write failed or has no outcome"
    );
    assert_eq!(found.details[0].step, Some(0));
}
