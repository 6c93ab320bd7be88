//! Histories of configurations and readings.

use crate::checker::judge;
use crate::configuration::Configuration;
use crate::directory::Sidecar;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::{DeliveryStatus, EventKind, Observation};
use crate::patience::Patience;
use crate::scenario::{Act, Given, Scenario};
use crate::testing::{Recorder, configuration, entry_application, entry_zone, scenario, shows, sidecar};
use crate::verdict::{Finding, Verdict};
use rstest::rstest;
use std::collections::BTreeMap;

fn inside() -> Sidecar {
    sidecar("checkout", 1, 2)
}

fn outside() -> Sidecar {
    sidecar("checkout", 2, 2)
}

/// Both, the first of which zone 1 is the scope of.
fn both() -> [Sidecar; 2] {
    [inside(), outside()]
}

fn version(value: &str) -> Configuration {
    configuration("scoped", vec![entry_zone("zone1")], value)
}

fn apply(value: &str) -> Act {
    Act::Apply(version(value))
}

fn delete() -> Act {
    Act::Delete("scoped".to_owned())
}

fn expecting(when: Vec<Act>, then: Vec<Expectation>) -> Scenario {
    Scenario {
        then,
        ..scenario(when)
    }
}

fn findings(scenario: &Scenario, recorder: &Recorder) -> Vec<Finding> {
    let judgement = judge(scenario, &recorder.events, &Patience::default());
    let worst = judgement.findings.iter().map(|f| f.verdict).max();
    assert_eq!(Some(judgement.verdict), worst);
    for finding in &judgement.findings {
        if finding.verdict == Verdict::Passed {
            assert!(finding.observations > 0 && finding.details.is_empty(), "{finding:?}");
        } else {
            assert!(!finding.details.is_empty(), "{finding:?}");
        }
    }
    judgement.findings
}

fn one(when: Vec<Act>, then: Expectation, recorder: &Recorder) -> Finding {
    findings(&expecting(when, vec![then]), recorder).remove(0)
}

fn delivered(when: Vec<Act>, recorder: &Recorder) -> Finding {
    one(when, Expectation::Delivered, recorder)
}

fn confined(when: Vec<Act>, recorder: &Recorder) -> Finding {
    one(when, Expectation::Confined, recorder)
}

fn who(finding: &Finding) -> Vec<&str> {
    finding.details.iter().filter_map(|d| d.sidecar.as_deref()).collect()
}

/// What the two sidecars show when only the first holds `value`.
fn right(recorder: &mut Recorder, value: &str, marker: &str) {
    recorder.observe(shows(&inside(), "a", value, marker));
    recorder.observe(shows(&outside(), "a", "", marker));
}

/// A settled and proven step.
fn settled(recorder: &mut Recorder, value: &str, marker: &str) {
    right(recorder, value, "");
    recorder.marker(marker);
    right(recorder, value, marker);
}

/// The end: everything read once more with a fresh marker.
fn ended(recorder: &mut Recorder, value: &str) {
    recorder.finished();
    recorder.marker("end");
    right(recorder, value, "end");
}

/// One apply of `v1`, settled, proven and ended.
fn applied() -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    ended(&mut recorder, "v1");
    recorder
}

/// The same, with every reading changed by `change`.
fn applied_but(change: impl Fn(usize, &mut Observation)) -> Recorder {
    let mut recorder = applied();
    let mut number = 0;
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind {
            change(number, seen);
            number += 1;
        }
    }
    recorder
}

#[test]
fn what_is_delivered_and_confined_passes() {
    let scenario = expecting(vec![apply("v1")], vec![Expectation::Delivered, Expectation::Confined]);
    let found = findings(&scenario, &applied());
    assert_eq!(found[0].verdict, Verdict::Passed, "{found:#?}");
    assert_eq!(found[1].verdict, Verdict::Passed, "{found:#?}");
    // The sidecar in scope at the step and at the end; both sidecars at both.
    assert_eq!((found[0].observations, found[1].observations), (2, 4));
    assert_eq!((found[0].checker.as_str(), found[1].checker.as_str()), ("delivered", "confined"));
}

#[test]
fn nothing_at_all_decides_nothing() {
    let scenario = expecting(
        vec![apply("v1")],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored { reference: 0, step: 0 },
            Expectation::StatusIsTrue,
            Expectation::Rejected { step: 0 },
        ],
    );
    for recorder in [Recorder::default(), Recorder::new(&both())] {
        for finding in findings(&scenario, &recorder) {
            assert_eq!(finding.verdict, Verdict::Inconclusive, "{finding:?}");
        }
    }
    let nothing_expected = judge(&expecting(vec![], vec![]), &[], &Patience::default());
    assert_eq!(nothing_expected.verdict, Verdict::Inconclusive);
}

// --- delivered

/// One apply after which the sidecar in scope shows `value` from the given millisecond after the write on.
fn arrives(value: &str, after_ms: u64, then: impl FnOnce(&mut Recorder)) -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder.wait(after_ms - 1).observe(shows(&inside(), "a", value, ""));
    then(&mut recorder);
    recorder
}

/// Judged without the end, which these histories do not reach.
fn delivered_in_step(recorder: &Recorder) -> Finding {
    let mut recorder = recorder.clone();
    let last = recorder.events.iter().rev().find_map(|e| match &e.kind {
        EventKind::Observed(seen) => Some(seen.as_ref().clone()),
        _ => None,
    });
    recorder.finished();
    let mut at_end = shows(&inside(), "a", "v1", "");
    if let Some(last) = last {
        at_end.rules = at_end.rules.into_iter().chain(last.rules).collect();
        at_end.rules.insert("route".to_owned(), "hash-v1".to_owned());
    }
    recorder.observe(at_end);
    delivered(vec![apply("v1")], &recorder)
}

#[rstest]
#[case::at_once(1, Verdict::Passed)]
#[case::at_the_bound(5000, Verdict::Passed)]
#[case::seen_only_after_the_bound(5001, Verdict::Inconclusive)]
fn delivery_has_a_bound(#[case] after_ms: u64, #[case] verdict: Verdict) {
    let found = delivered_in_step(&arrives("v1", after_ms, |_| {}));
    assert_eq!(found.verdict, verdict, "{found:?}");
}

#[test]
fn late_is_late_when_it_was_wrong_at_the_bound() {
    let late = |wrong_at| {
        arrives("", wrong_at, |r| {
            r.wait(5000 - wrong_at);
            r.wait(5).observe(shows(&inside(), "a", "v1", ""));
        })
    };
    assert_eq!(delivered_in_step(&late(4999)).verdict, Verdict::Inconclusive);
    let found = delivered_in_step(&arrives("", 5000, |r| {
        r.observe(shows(&inside(), "a", "v1", ""));
    }));
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert!(found.details[0].observed.starts_with("only at"));

    let given_up = arrives("", 10, |r| {
        r.wait(6000).gave_up();
        r.observe(shows(&inside(), "a", "v1", ""));
    });
    assert_eq!(delivered_in_step(&given_up).verdict, Verdict::Failed);
}

#[rstest]
#[case::early_and_then_nobody_looked(10, false, Verdict::Inconclusive)]
#[case::just_before_the_bound(4999, false, Verdict::Inconclusive)]
#[case::at_the_bound(5000, false, Verdict::Failed)]
#[case::early_and_the_runner_gave_up(10, true, Verdict::Failed)]
fn what_never_arrives(#[case] after_ms: u64, #[case] gives_up: bool, #[case] verdict: Verdict) {
    let recorder = arrives("v0", after_ms, |r| {
        if gives_up {
            r.gave_up();
        }
    });
    let found = delivered_in_step(&recorder);
    assert_eq!(found.verdict, verdict, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert_eq!(found.details[0].step, Some(0));
    assert_eq!(found.details[0].expected, "toggle `flag` = `v1`, rule `route` within 5s");
    assert!(found.details[0].observed.contains("toggle `flag` is `v0`"));
}

#[test]
fn giving_up_before_the_last_reading_is_no_evidence_against_it() {
    let recorder = arrives("", 10, |r| {
        r.gave_up();
        r.observe(shows(&inside(), "a", "", ""));
    });
    assert_eq!(delivered_in_step(&recorder).verdict, Verdict::Inconclusive);
}

#[test]
fn what_comes_and_goes_again_is_not_delivered() {
    let recorder = arrives("v1", 10, |r| {
        r.wait(6000).observe(shows(&inside(), "a", "", ""));
    });
    let found = delivered_in_step(&recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.details[0].observed.starts_with("no toggle `flag`, no rule `route` at"));
}

#[test]
fn a_sidecar_that_cannot_be_read_until_the_bound_is_over_has_not_got_it() {
    let unread = |at_ms: u64, gives_up: bool| {
        let mut recorder = Recorder::new(&[inside()]);
        recorder.step(0).write(&version("v1"));
        recorder.wait(at_ms - 1).unreadable("checkout@zone1");
        if gives_up {
            recorder.gave_up();
        }
        recorder.finished();
        delivered(vec![apply("v1")], &recorder)
    };
    assert_eq!(unread(10, true).verdict, Verdict::Failed);
    assert_eq!(unread(5000, false).verdict, Verdict::Failed);
    assert_eq!(unread(4999, false).verdict, Verdict::Inconclusive);
    assert!(unread(10, true).details[0].observed.contains("no sidecar"));

    let mut other = Recorder::new(&[inside()]);
    other.step(0).write(&version("v1"));
    other.unreadable("frontend@zone1").gave_up();
    assert_eq!(delivered(vec![apply("v1")], &other).verdict, Verdict::Inconclusive);

    let mut earlier = Recorder::new(&[inside()]);
    earlier.step(0).unreadable("checkout@zone1").wait(9000).write(&version("v1"));
    assert_eq!(delivered(vec![apply("v1")], &earlier).verdict, Verdict::Inconclusive);
}

#[test]
fn with_no_mesh_positives_fail_and_negatives_are_open() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder.unreadable("checkout@zone1").unreadable("checkout@zone2");
    recorder.wait(5000).gave_up();
    recorder.marker("m").gave_up();
    recorder.finished().marker("e").gave_up();
    let scenario = expecting(vec![apply("v1")], vec![Expectation::Delivered, Expectation::Confined]);
    let found = findings(&scenario, &recorder);
    assert_eq!(found[0].verdict, Verdict::Failed);
    assert_eq!(found[1].verdict, Verdict::Inconclusive);
}

#[test]
fn a_wrong_rule_is_not_delivered_though_toggles_are() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(1).write(&version("v2"));
    let mut stale = shows(&inside(), "a", "v2", "");
    stale.rules = shows(&inside(), "a", "v1", "").rules;
    recorder.wait(6000).observe(stale.clone());
    recorder.finished().observe(stale);
    let found = delivered(vec![apply("v1"), apply("v2")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.details[0].observed.starts_with("rule `route` with another content"), "{found:?}");
}

#[test]
fn two_sidecars_with_different_content_cannot_both_be_right() {
    let twice = [inside(), sidecar("frontend", 1, 1), sidecar("inventory", 1, 3)];
    let mut recorder = Recorder::new(&twice);
    recorder.step(0).write(&version("v1"));
    let read = |recorder: &mut Recorder| {
        for sidecar in &twice {
            let mut seen = shows(sidecar, "a", "v1", "");
            if sidecar.application == "inventory" {
                seen.rules = shows(sidecar, "a", "other", "").rules;
            }
            recorder.observe(seen);
        }
    };
    read(&mut recorder);
    recorder.wait(6000);
    read(&mut recorder);
    recorder.finished();
    read(&mut recorder);
    let found = delivered(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(who(&found), ["inventory@zone1", "inventory@zone1"]);
}

#[test]
fn a_deletion_is_delivered_too() {
    let history = |last: &str, without: fn(&mut Observation)| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder.step(1).delete("scoped");
        let mut seen = shows(&inside(), "a", last, "");
        without(&mut seen);
        recorder.observe(shows(&inside(), "a", last, "")).wait(6000).observe(seen);
        recorder.finished();
        delivered(vec![apply("v1"), delete()], &recorder)
    };
    let gone = history("", |_| {});
    assert_eq!((gone.verdict, gone.observations), (Verdict::Passed, 2), "{gone:?}");
    for without in [(|_| {}) as fn(&mut Observation), |o| o.toggles.clear(), |o| o.rules.clear()] {
        let there = history("v1", without);
        assert_eq!(there.verdict, Verdict::Failed);
        assert_eq!(who(&there), ["checkout@zone1"]);
        assert!(there.details[0].observed.starts_with("what was there before is still there"));
    }
}

#[test]
fn what_was_never_there_does_not_count_as_a_delivery() {
    let mut recorder = Recorder::new(&[outside()]);
    recorder.step(0).write(&version("v1"));
    recorder.observe(shows(&outside(), "a", "", ""));
    recorder.finished();
    recorder.observe(shows(&outside(), "a", "", ""));
    assert_eq!(delivered(vec![apply("v1")], &recorder).verdict, Verdict::Inconclusive);
}

#[test]
fn a_write_that_failed_decides_nothing() {
    for refused in [true, false] {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).push(EventKind::WriteStarted {
            configuration: Some(version("v1")),
            name: "scoped".to_owned(),
        });
        recorder.push(EventKind::WriteFailed {
            name: "scoped".to_owned(),
            error: "no".to_owned(),
            refused,
        });
        recorder.observe(shows(&inside(), "a", "v1", ""));
        recorder.finished();
        recorder.observe(shows(&inside(), "a", "v1", ""));
        let found = delivered(vec![apply("v1")], &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
        assert_eq!(found.details[0].observed, "the write failed");
        // Refused: nobody may show it. Unknown: it may be there.
        let found = confined(vec![apply("v1")], &recorder);
        let verdict = if refused { Verdict::Failed } else { Verdict::Inconclusive };
        assert_eq!(found.verdict, verdict, "{found:?}");
    }
}

#[test]
fn a_step_that_was_not_carried_out_decides_nothing() {
    let found = delivered(vec![apply("v1"), Act::Reconnect], &applied());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].expected, "step 1 to be carried out");
    assert_eq!(found.details[0].step, Some(1));
    let mut unfinished = applied();
    unfinished.events.retain(|e| e.kind != EventKind::Finished);
    let found = delivered(vec![apply("v1")], &unfinished);
    assert_eq!(found.details[0].expected, "the end to be carried out");
    let found = confined(vec![apply("v1"), Act::Reconnect], &applied());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].expected, "step 1 to be carried out");
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

fn given_scenario(then: Expectation) -> Scenario {
    Scenario {
        given: Given {
            configurations: vec![version("v1")],
        },
        ..expecting(vec![Act::Hold(Span::secs(1))], vec![then])
    }
}

/// Given `v1`, then a hold of a second with a marker `after_ms` after its beginning.
fn held(after_ms: u64) -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(0).wait(after_ms - 1).marker("m1");
    right(&mut recorder, "v1", "m1");
    ended(&mut recorder, "v1");
    recorder
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
    assert!(found.details[0].observed.starts_with("(b) no marker that was written when"));
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

/// Given `v1`, a pod joins in scope and shows `value` from `after_ms` on.
fn joins(after_ms: u64, value: &str) -> Finding {
    let newcomer = Sidecar {
        name: "checkout@zone1#2".to_owned(),
        pod_uid: "new".to_owned(),
        ..inside()
    };
    let mut recorder = Recorder::new(&both());
    recorder.write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.wait(20_000).step(0).push(EventKind::SidecarJoined {
        sidecar: newcomer.clone(),
    });
    recorder.wait(after_ms - 1).observe(shows(&newcomer, "a", value, ""));
    right(&mut recorder, "v1", "");
    ended(&mut recorder, "v1");
    recorder.observe(shows(&newcomer, "a", "v1", ""));
    let scenario = Scenario {
        when: vec![Act::Join {
            application: "checkout".to_owned(),
            data_center: "zone1".to_owned(),
        }],
        ..given_scenario(Expectation::Delivered)
    };
    findings(&scenario, &recorder).remove(0)
}

#[test]
fn a_newcomer_has_its_own_bound() {
    let found = joins(10, "v1");
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 5), "{found:?}");
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
    recorder.marker("m1").observe(shows(&outside(), "a", "", "m1"));
    recorder.finished().marker("e").observe(shows(&outside(), "a", "", "e"));
    let leave = Act::Leave {
        application: "checkout".to_owned(),
        data_center: "zone1".to_owned(),
    };
    let found = delivered(vec![apply("v1"), leave.clone()], &recorder);
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 1), "{found:?}");
    let found = confined(vec![apply("v1"), leave], &recorder);
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 4), "{found:?}");
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
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 2), "{found:?}");
}

// --- confined

#[rstest]
#[case::toggle(|o: &mut Observation| { o.toggles.insert("flag".to_owned(), "v1".to_owned()); }, "toggle `flag` = `v1`")]
#[case::rule(|o: &mut Observation| { o.rules.insert("route".to_owned(), "hash-v1".to_owned()); }, "rule `route` (hash-v1)")]
#[case::warming(|o: &mut Observation| { o.warming_rules.insert("route".to_owned(), "hash-v1".to_owned()); }, "warming rule `route`")]
#[case::unknown_toggle(|o: &mut Observation| { o.toggles.insert("other".to_owned(), "x".to_owned()); }, "toggle `other` = `x`")]
fn one_reading_out_of_scope_is_a_leak(#[case] leak: fn(&mut Observation), #[case] observed: &str) {
    // Readings 1, 3 and 5 are of the sidecar out of scope.
    for leaking in [1, 3, 5] {
        let recorder = applied_but(|number, seen| {
            if number == leaking {
                leak(seen);
            }
        });
        let found = confined(vec![apply("v1")], &recorder);
        assert_eq!(found.verdict, Verdict::Failed);
        let first = &found.details[0];
        assert_eq!(first.sidecar.as_deref(), Some("checkout@zone2"));
        assert_eq!(first.step, (leaking < 5).then_some(0));
        assert!(first.observed.starts_with(observed), "{first:?}");
        assert_eq!(first.expected, "nothing");
        assert!(first.event.is_some());
    }
}

#[test]
fn the_same_leak_is_told_once_in_a_step() {
    let recorder = applied_but(|number, seen| {
        if number % 2 == 1 {
            seen.toggles.insert("flag".to_owned(), "v1".to_owned());
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    let leaks = found.details.iter().filter(|d| d.observed.starts_with("toggle")).count();
    assert_eq!(leaks, 2, "{found:#?}");
}

#[test]
fn too_much_in_scope_is_a_leak_too() {
    let recorder = applied_but(|number, seen| {
        if number == 0 {
            seen.toggles.insert("flag".to_owned(), "v7".to_owned());
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].expected, "toggle `flag` = `v1`, rule `route`");
}

#[rstest]
#[case::not_on_a_named_stream(|o: &mut Observation| o.stream.replica = None, "(c) not read on a named stream")]
#[case::on_a_replica_without_witness(|o: &mut Observation| o.stream.replica = Some("b".to_owned()), "(a) the payload was not seen on replica b")]
#[case::no_toggle_marker(|o: &mut Observation| o.marker_toggle = None, "(b) marker as toggle not seen, as rule seen")]
#[case::no_rule_marker(|o: &mut Observation| o.marker_rule = None, "(b) marker as toggle seen, as rule not seen")]
#[case::an_unwritten_marker(|o: &mut Observation| o.marker_rule = Some("ghost".to_owned()), "(b) marker as toggle seen, as rule not seen")]
fn each_condition_of_a_proof_is_needed(
    #[case] spoil: fn(&mut Observation),
    #[case] observed: &str,
) {
    let recorder = applied_but(|number, seen| {
        if number == 3 {
            spoil(seen);
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details.len(), 1, "{found:#?}");
    assert_eq!(found.details[0].sidecar.as_deref(), Some("checkout@zone2"));
    assert_eq!(found.details[0].expected, "a proof of absence at step 0");
    assert_eq!(found.details[0].step, Some(0));
    assert!(found.details[0].observed.starts_with(observed), "{found:#?}");
    // Three proofs of four.
    assert_eq!(found.observations, 3);
}

#[test]
fn an_unread_sidecar_has_no_proof() {
    let mut recorder = applied();
    recorder.events.retain(
        |e| !matches!(&e.kind, EventKind::Observed(seen) if seen.sidecar == "checkout@zone2" && e.step == Some(0)),
    );
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "(c) not read");
}

#[test]
fn the_marker_must_be_written_after_the_payload_was_seen() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1")).marker("m0");
    right(&mut recorder, "v1", "m0");
    ended(&mut recorder, "v1");
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["checkout@zone1", "checkout@zone2"]);
    assert!(found.details[0].observed.starts_with("(a)"), "{found:#?}");
}

#[test]
fn a_marker_of_an_earlier_step_proves_nothing_new() {
    let mut recorder = applied();
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind
            && seen.marker_toggle.as_deref() == Some("end")
        {
            seen.marker_rule = Some("m0".to_owned());
        }
    }
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].expected, "a proof of absence at the end");
    assert!(found.details[0].observed.starts_with("(b) no marker that was written when"));
}

#[test]
fn a_marker_written_before_the_change_proves_nothing() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).marker("m0").write(&version("v1"));
    right(&mut recorder, "v1", "m0");
    ended(&mut recorder, "v1");
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details.len(), 2);
    assert!(found.details[0].observed.starts_with("(b) no marker"));
}

#[test]
fn a_marker_that_was_not_written_yet_cannot_be_seen() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    right(&mut recorder, "v1", "m0");
    right(&mut recorder, "v1", "m0");
    recorder.marker("m0");
    ended(&mut recorder, "v1");
    assert_eq!(confined(vec![apply("v1")], &recorder).verdict, Verdict::Inconclusive);
}

#[test]
fn a_witness_must_go_on_showing_the_payload() {
    // Reading 2 is of the witness, right before the proof of the other: it has lost the payload.
    for lost in [0, 2] {
        let recorder = applied_but(|number, seen| {
            if number == lost {
                seen.toggles.clear();
            }
        });
        let found = confined(vec![apply("v1")], &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert!(
            found.details.iter().any(|d| d.sidecar.as_deref() == Some("checkout@zone2")
                && d.observed.starts_with("(a)")),
            "{found:#?}"
        );
    }
}

#[test]
fn a_witness_on_another_replica_does_not_count() {
    let recorder = applied_but(|number, seen| {
        if number == 0 {
            seen.stream.replica = Some("b".to_owned());
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details[0].observed.starts_with("(a) the payload was not seen on replica a"));
}

#[test]
fn nobody_in_scope_leaves_absence_unproven_and_a_canary_proves_it() {
    let history = |entries: Vec<crate::configuration::ScopeEntry>, canary_value: &str| {
        let canary = sidecar("canary", 1, 9);
        let nobody = configuration("scoped", entries, "v1");
        let mut recorder = Recorder::new(&[outside(), canary.clone()]);
        recorder.step(0).write(&nobody);
        let read = |recorder: &mut Recorder, marker: &str| {
            recorder.observe(shows(&canary, "a", canary_value, marker));
            recorder.observe(shows(&outside(), "a", "", marker));
        };
        read(&mut recorder, "");
        recorder.marker("m0");
        read(&mut recorder, "m0");
        recorder.finished().marker("e");
        read(&mut recorder, "e");
        confined(vec![Act::Apply(nobody)], &recorder)
    };
    let found = history(vec![], "");
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details[0].observed.starts_with("(a)"));
    let found = history(vec![entry_application("canary")], "v1");
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

#[test]
fn what_is_only_missing_is_not_confined_but_unproven() {
    let recorder = applied_but(|number, seen| {
        if number == 4 {
            seen.rules.clear();
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details.iter().any(|d| d.observed.starts_with("(a)") || d.observed.starts_with("(e)")));
}

#[test]
fn what_is_warming_in_scope_leaves_the_proof_open() {
    let recorder = applied_but(|number, seen| {
        if number == 2 {
            seen.warming_rules.insert("route".to_owned(), "hash-v1".to_owned());
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "(d) something is warming");
    assert_eq!(who(&found), ["checkout@zone1"]);
}

#[test]
fn a_reading_without_the_whole_state_proves_nothing() {
    // Its last reading in the step lacks the rule; nobody depends on it as a witness any more.
    let recorder = applied_but(|number, seen| {
        if number == 2 {
            seen.rules.clear();
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    let own = found.details.iter().find(|d| d.sidecar.as_deref() == Some("checkout@zone1"));
    assert_eq!(
        own.map(|d| d.observed.as_str()),
        Some("(e) the reading does not show the whole expected state"),
        "{found:#?}"
    );
}

#[test]
fn during_a_change_old_and_new_are_allowed_and_nothing_else() {
    let history = |between: &dyn Fn(&mut Recorder)| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder.step(1).push(EventKind::WriteStarted {
            configuration: Some(version("v2")),
            name: "scoped".to_owned(),
        });
        recorder.observe(shows(&inside(), "a", "v2", ""));
        recorder.push(EventKind::Written {
            name: "scoped".to_owned(),
            objects: BTreeMap::new(),
        });
        between(&mut recorder);
        settled(&mut recorder, "v2", "m1");
        ended(&mut recorder, "v2");
        confined(vec![apply("v1"), apply("v2")], &recorder)
    };
    let nothing = history(&|_| {});
    assert_eq!(nothing.verdict, Verdict::Passed, "{nothing:#?}");
    let old = |r: &mut Recorder| {
        r.observe(shows(&inside(), "a", "v1", ""));
    };
    assert_eq!(history(&old).verdict, Verdict::Passed);
    let at_the_bound = |r: &mut Recorder| {
        r.wait(4999).observe(shows(&inside(), "a", "v1", ""));
    };
    assert_eq!(history(&at_the_bound).verdict, Verdict::Passed);
    let too_late = |r: &mut Recorder| {
        r.wait(5000).observe(shows(&inside(), "a", "v1", ""));
    };
    let found = history(&too_late);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].expected, "toggle `flag` = `v2`, rule `route`");
    let never = |r: &mut Recorder| {
        r.observe(shows(&outside(), "a", "v1", ""));
    };
    assert_eq!(who(&history(&never))[0], "checkout@zone2");
}

#[test]
fn the_old_value_is_over_when_the_next_step_begins() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(1).delete("scoped");
    settled(&mut recorder, "", "m1");
    recorder.step(2);
    recorder.observe(shows(&inside(), "a", "v1", ""));
    settled(&mut recorder, "", "m2");
    ended(&mut recorder, "");
    let when = vec![apply("v1"), delete(), Act::Hold(Span::millis(1))];
    let found = confined(when.clone(), &recorder);
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
    assert_eq!((who(&found)[0], found.details[0].step), ("checkout@zone1", Some(2)));

    // Nor does it come back at the end.
    let mut at_end = Recorder::new(&both());
    at_end.write(&version("v1"));
    settled(&mut at_end, "v1", "m0");
    at_end.delete("scoped");
    settled(&mut at_end, "", "m1");
    at_end.finished().observe(shows(&inside(), "a", "v1", ""));
    assert_eq!(confined(when, &at_end).verdict, Verdict::Failed);
}

#[test]
fn a_deletion_is_proven_by_its_effect() {
    let history = |seen_gone: bool| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder.step(1).delete("scoped");
        if seen_gone {
            right(&mut recorder, "", "m0");
        }
        recorder.marker("m1");
        right(&mut recorder, "", "m1");
        ended(&mut recorder, "");
        confined(vec![apply("v1"), delete()], &recorder)
    };
    assert_eq!(history(true).verdict, Verdict::Passed);
    let found = history(false);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details[0].observed.starts_with("(a)"), "{found:#?}");
}

#[test]
fn a_change_under_way_leaves_the_payload_uncertain() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    right(&mut recorder, "v1", "");
    recorder.marker("m0").push(EventKind::WriteStarted {
        configuration: Some(version("v1")),
        name: "scoped".to_owned(),
    });
    right(&mut recorder, "v1", "m0");
    recorder.push(EventKind::Written {
        name: "scoped".to_owned(),
        objects: BTreeMap::new(),
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found.details.iter().any(|d| d.observed.starts_with("(c) it is not certain")),
        "{found:#?}"
    );
}

#[test]
fn a_reading_of_nobody_known_is_never_green() {
    let mut recorder = applied();
    let mut ghost = shows(&inside(), "a", "v1", "");
    ghost.pod_uid = "ghost".to_owned();
    recorder.observe(ghost.clone());
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "a reading of an unknown pod");
    ghost.pod_uid = inside().pod_uid;
    ghost.sidecar = "ghost@zone1".to_owned();
    recorder.events.pop();
    recorder.observe(ghost);
    assert_eq!(confined(vec![apply("v1")], &recorder).verdict, Verdict::Inconclusive);
}

/// Both sidecars go to each of the replicas; `change` spoils readings by replica and sidecar.
fn reconnected(replicas: &[&str], change: impl Fn(&str, &mut Observation)) -> Recorder {
    let canary = sidecar("canary", 3, 9);
    let mut recorder = Recorder::new(&[inside(), outside(), canary.clone()]);
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.observe(shows(&canary, "a", "", "m0"));
    recorder.step(1);
    for replica in replicas {
        recorder.reconnected("checkout@zone1", replica);
        recorder.reconnected("checkout@zone2", replica);
        let read = |recorder: &mut Recorder, marker: &str| {
            for (sidecar, value) in [(inside(), "v1"), (outside(), "")] {
                let mut seen = shows(&sidecar, replica, value, marker);
                change(replica, &mut seen);
                recorder.observe(seen);
            }
        };
        read(&mut recorder, "");
        let marker = format!("m-{replica}");
        recorder.marker(&marker);
        read(&mut recorder, &marker);
        if *replica == "a" {
            recorder.observe(shows(&canary, "a", "", &marker));
        }
    }
    recorder.finished().marker("end");
    let last = replicas.last().copied().unwrap_or("a");
    recorder.observe(shows(&inside(), last, "v1", "end"));
    recorder.observe(shows(&outside(), last, "", "end"));
    recorder.observe(shows(&canary, last, "", "end"));
    recorder
}

fn over_reconnect(recorder: &Recorder) -> Finding {
    confined(vec![apply("v1"), Act::Reconnect], recorder)
}

#[test]
fn a_reconnect_is_proven_on_every_replica() {
    let found = over_reconnect(&reconnected(&["a", "b"], |_, _| {}));
    // Three at the first step and at the end, two on two replicas, and the canary once.
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 11), "{found:#?}");

    let unproven = over_reconnect(&reconnected(&["a", "b"], |replica, seen| {
        if replica == "b" && seen.sidecar == "checkout@zone2" {
            seen.marker_rule = None;
        }
    }));
    assert_eq!(unproven.verdict, Verdict::Inconclusive);
    assert_eq!(unproven.details.len(), 1);
    assert_eq!(unproven.details[0].expected, "a proof of absence at step 1 on replica b");

    let leak = over_reconnect(&reconnected(&["a", "b"], |replica, seen| {
        if replica == "b" {
            seen.toggles = shows(&inside(), "b", "v1", "").toggles;
        }
    }));
    assert_eq!(leak.verdict, Verdict::Failed);
    assert_eq!(who(&leak)[0], "checkout@zone2");
}

#[test]
fn a_reconnect_to_nowhere_proves_nothing() {
    let found = over_reconnect(&reconnected(&[], |_, _| {}));
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details.iter().any(|d| d.expected.ends_with("on replica ?")), "{found:#?}");
}

#[test]
fn a_proof_before_the_reconnect_does_not_count() {
    let mut recorder = reconnected(&["a"], |_, _| {});
    let at = recorder.events.iter().position(
        |e| matches!(&e.kind, EventKind::Reconnected { sidecar, .. } if sidecar == "checkout@zone2"),
    );
    let event = recorder.events.remove(at.expect("it was told to"));
    let missing = over_reconnect(&recorder);
    assert_eq!(missing.verdict, Verdict::Inconclusive);
    assert_eq!(who(&missing), ["checkout@zone2"]);
    let finished = recorder.events.iter().position(|e| e.kind == EventKind::Finished);
    recorder.events.insert(finished.expect("it ended"), event);
    let found = over_reconnect(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["checkout@zone2"]);
    assert!(found.details[0].observed.starts_with("(b) no marker"), "{found:#?}");
}

#[test]
fn a_replica_that_only_shows_up_in_readings_is_demanded_too() {
    let mut recorder = reconnected(&["a"], |_, _| {});
    for event in &mut recorder.events {
        if let EventKind::Observed(seen) = &mut event.kind
            && event.step == Some(1)
            && seen.sidecar.starts_with("canary")
        {
            seen.stream.replica = Some("b".to_owned());
        }
    }
    let found = over_reconnect(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details.iter().any(|d| d.expected.ends_with("on replica b")), "{found:#?}");
}

// --- restored

fn back(last: &str, between: &str) -> Finding {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(1).write(&version("v2"));
    settled(&mut recorder, between, "m1");
    recorder.step(2).write(&version("v1"));
    // Only the last reading counts.
    right(&mut recorder, "v2", "");
    settled(&mut recorder, last, "m2");
    restored(&recorder)
}

fn restored(recorder: &Recorder) -> Finding {
    one(
        vec![apply("v1"), apply("v2"), apply("v1")],
        Expectation::Restored { reference: 0, step: 2 },
        recorder,
    )
}

#[test]
fn going_back_restores_every_sidecar() {
    let found = back("v1", "v2");
    // The sidecar out of scope showed the same all the time, so it says nothing.
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 1), "{found:?}");
    assert_eq!(found.checker, "restored");
    let found = back("v3", "v2");
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert_eq!(found.details[0].step, Some(2));
    assert!(found.details[0].observed.starts_with("toggles {\"flag\": \"v3\"} instead of"));
}

#[test]
fn other_rules_are_not_what_was_there() {
    let mut recorder = Recorder::new(&[inside()]);
    recorder.step(0).observe(shows(&inside(), "a", "v1", ""));
    recorder.step(1).observe(shows(&inside(), "a", "v2", ""));
    let mut other = shows(&inside(), "a", "v1", "");
    other.rules.insert("route".to_owned(), "hash-x".to_owned());
    recorder.step(2).observe(other);
    let found = restored(&recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.details[0].observed.starts_with("rules"));
}

#[test]
fn what_never_changed_was_not_restored() {
    let mut recorder = Recorder::new(&[inside()]);
    for step in 0..3 {
        recorder.step(step).observe(shows(&inside(), "a", "v1", ""));
    }
    assert_eq!(restored(&recorder).verdict, Verdict::Inconclusive);
    // A difference after the end or before the beginning is none in between.
    let mut around = Recorder::new(&[inside()]);
    around.observe(shows(&inside(), "a", "v0", ""));
    for step in 0..3 {
        around.step(step).observe(shows(&inside(), "a", "v1", ""));
    }
    around.finished().observe(shows(&inside(), "a", "v0", ""));
    assert_eq!(restored(&around).verdict, Verdict::Inconclusive);
}

#[rstest]
#[case::unread(false, false, Verdict::Inconclusive)]
#[case::given_up_without_a_reason(false, true, Verdict::Inconclusive)]
#[case::unreadable(true, false, Verdict::Inconclusive)]
#[case::unreadable_and_given_up(true, true, Verdict::Failed)]
fn what_cannot_be_read_after_going_back(
    #[case] unreadable: bool,
    #[case] gives_up: bool,
    #[case] verdict: Verdict,
) {
    let mut recorder = Recorder::new(&[inside()]);
    recorder.step(0).observe(shows(&inside(), "a", "v1", ""));
    recorder.step(1).observe(shows(&inside(), "a", "v2", ""));
    recorder.step(2);
    if unreadable {
        recorder.unreadable("checkout@zone1");
    }
    if gives_up {
        recorder.gave_up();
    }
    let found = restored(&recorder);
    assert_eq!(found.verdict, verdict);
    assert_eq!(who(&found), ["checkout@zone1"]);
}

#[test]
fn a_step_that_is_missing_restores_nothing() {
    let mut recorder = Recorder::new(&[inside()]);
    recorder.step(2).observe(shows(&inside(), "a", "v1", ""));
    let found = restored(&recorder);
    assert_eq!(found.details[0].expected, "steps 0 and 2 to be carried out");
}

// --- status_is_true

fn status(matched: u64, delivered: u64, acknowledged: u64, rejected: &[(&str, &str)]) -> DeliveryStatus {
    DeliveryStatus {
        observed_generation: 1,
        generation: 1,
        matched,
        delivered,
        acknowledged,
        rejected: rejected.iter().map(|(p, w)| ((*p).to_owned(), (*w).to_owned())).collect(),
    }
}

/// Two sidecars in scope: the first holds `v1`, the second shows `second`, which it may reject with words.
fn reported(second: &str, words: Option<&str>, report: impl FnOnce(&mut Recorder)) -> Recorder {
    let other = sidecar("frontend", 1, 1);
    let mut recorder = Recorder::new(&[inside(), other.clone(), outside()]);
    recorder.step(0).write(&version("v1"));
    recorder.observe(shows(&inside(), "a", "v1", ""));
    let mut seen = shows(&other, "a", second, "");
    if let Some(words) = words {
        seen.rejected.insert("RDS".to_owned(), words.to_owned());
    }
    recorder.observe(seen);
    recorder.observe(shows(&outside(), "a", "", ""));
    report(&mut recorder);
    recorder
}

fn status_is_true(recorder: &Recorder) -> Finding {
    one(vec![apply("v1")], Expectation::StatusIsTrue, recorder)
}

#[rstest]
#[case::true_for_all("v1", None, status(2, 2, 2, &[]), Verdict::Passed)]
#[case::matched_too_many("v1", None, status(3, 2, 2, &[]), Verdict::Failed)]
#[case::matched_too_few("v1", None, status(1, 2, 2, &[]), Verdict::Failed)]
#[case::acknowledged_too_few("v1", None, status(2, 2, 1, &[]), Verdict::Failed)]
#[case::delivered_too_few("v1", None, status(2, 1, 2, &[]), Verdict::Failed)]
#[case::delivered_too_many("v1", None, status(2, 3, 2, &[]), Verdict::Failed)]
#[case::a_lie_about_one_without("", None, status(2, 2, 2, &[]), Verdict::Failed)]
#[case::true_about_one_without("", None, status(2, 2, 1, &[]), Verdict::Passed)]
#[case::true_about_one_undelivered("", None, status(2, 1, 1, &[]), Verdict::Passed)]
#[case::true_about_a_rejection("", Some("bad"), status(2, 2, 1, &[("frontend-zone1-0", "bad")]), Verdict::Passed)]
#[case::a_lie_about_a_rejection("", Some("bad"), status(2, 2, 2, &[]), Verdict::Failed)]
#[case::a_hidden_rejection("", Some("bad"), status(2, 2, 1, &[]), Verdict::Failed)]
#[case::an_undelivered_rejection("", Some("bad"), status(2, 1, 1, &[("frontend-zone1-0", "bad")]), Verdict::Failed)]
#[case::another_rejecting("", Some("bad"), status(2, 2, 1, &[("checkout-zone1-0", "bad")]), Verdict::Failed)]
#[case::a_made_up_rejection("v1", None, status(2, 2, 2, &[("frontend-zone1-0", "bad")]), Verdict::Failed)]
#[case::a_rejection_without_words("", Some("bad"), status(2, 2, 1, &[("frontend-zone1-0", "")]), Verdict::Failed)]
fn a_status_is_compared_with_the_sidecars(
    #[case] second: &str,
    #[case] words: Option<&str>,
    #[case] said: DeliveryStatus,
    #[case] verdict: Verdict,
) {
    let recorder = reported(second, words, |r| {
        r.status("scoped", said);
    });
    let found = status_is_true(&recorder);
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert_eq!(found.checker, "status_is_true");
    if verdict == Verdict::Passed {
        assert_eq!(found.observations, 2);
    } else {
        assert_eq!(found.details[0].step, Some(0));
        assert_eq!(found.details.len(), 1 + usize::from(said_twice(&found)));
    }
    if second.is_empty() && words.is_none() && verdict == Verdict::Failed {
        assert_eq!(who(&found), ["frontend@zone1"]);
    }
}

/// A lie about a rejection is wrong in two ways.
fn said_twice(finding: &Finding) -> bool {
    finding.details.len() > 1
}

#[test]
fn the_last_status_after_the_write_counts() {
    let wrong = || status(9, 9, 9, &[]);
    let recorder = reported("v1", None, |r| {
        r.status("scoped", wrong());
        r.status("scoped", status(2, 2, 2, &[]));
        r.status("another", wrong());
    });
    assert_eq!(status_is_true(&recorder).verdict, Verdict::Passed);

    let mut before = Recorder::new(&[inside()]);
    before.step(0).status("scoped", wrong());
    before.write(&version("v1")).observe(shows(&inside(), "a", "v1", ""));
    assert_eq!(status_is_true(&before).details[0].observed, "none");
    before.gave_up();
    assert_eq!(status_is_true(&before).verdict, Verdict::Failed);
}

#[test]
fn a_status_of_another_generation_is_none() {
    let recorder = reported("v1", None, |r| {
        let mut old = status(2, 2, 2, &[]);
        old.generation = 2;
        r.status("scoped", old);
    });
    let found = status_is_true(&recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].observed, "one of generation 1");
}

#[test]
fn a_status_needs_a_reading_to_be_compared_with() {
    let mut recorder = reported("v1", None, |r| {
        r.status("scoped", status(2, 2, 2, &[]));
    });
    recorder.events.retain(
        |e| !matches!(&e.kind, EventKind::Observed(seen) if seen.sidecar == "frontend@zone1"),
    );
    let found = status_is_true(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["frontend@zone1"]);
}

#[test]
fn a_reading_before_the_write_says_nothing_about_it() {
    let mut recorder = Recorder::new(&[inside()]);
    recorder.step(0).observe(shows(&inside(), "a", "v1", ""));
    recorder.write(&version("v1")).status("scoped", status(1, 1, 1, &[]));
    assert_eq!(status_is_true(&recorder).verdict, Verdict::Inconclusive);
}

#[test]
fn every_apply_is_reported_and_nothing_else() {
    let mut recorder = reported("v1", None, |r| {
        r.status("scoped", status(2, 2, 2, &[]));
    });
    recorder.step(1).delete("scoped");
    let found = one(vec![apply("v1"), delete()], Expectation::StatusIsTrue, &recorder);
    assert_eq!(found.verdict, Verdict::Passed);
    let found = one(vec![apply("v1"), apply("v2")], Expectation::StatusIsTrue, &applied());
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(found.details.iter().any(|d| d.step == Some(1)), "{found:#?}");
}

// --- rejected

fn rejected(recorder: &Recorder) -> Finding {
    one(vec![apply("v1")], Expectation::Rejected { step: 0 }, recorder)
}

/// The sidecar in scope rejects with `words`; the one out of scope with `others`.
fn rejecting(
    words: Option<&str>,
    others: Option<&str>,
    then: impl FnOnce(&mut Recorder),
) -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    for (sidecar, words) in [(inside(), words), (outside(), others)] {
        let mut seen = shows(&sidecar, "a", "", "");
        if let Some(words) = words {
            seen.rejected.insert("RDS".to_owned(), words.to_owned());
        }
        recorder.observe(seen);
    }
    then(&mut recorder);
    recorder
}

fn says_so(recorder: &mut Recorder) {
    recorder.status("scoped", status(1, 1, 0, &[("checkout-zone1-0", "bad")]));
}

#[test]
fn a_rejection_is_shown_said_and_reported() {
    let found = rejected(&rejecting(Some("bad"), None, says_so));
    assert_eq!((found.verdict, found.observations), (Verdict::Passed, 2), "{found:#?}");
    assert_eq!(found.checker, "rejected");
}

#[rstest]
#[case::without_words(Some(""), None, "no words")]
#[case::by_others_too(Some("bad"), Some("worse"), "rejects with `worse`")]
fn a_wrong_rejection_fails(
    #[case] words: Option<&str>,
    #[case] others: Option<&str>,
    #[case] observed: &str,
) {
    let found = rejected(&rejecting(words, others, says_so));
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(found.details[0].observed, observed);
    assert_eq!(found.details[0].step, Some(0));
}

#[test]
fn a_rejection_must_come_and_be_reported() {
    let none = rejected(&rejecting(None, None, |_| {}));
    assert_eq!(none.verdict, Verdict::Inconclusive);
    assert_eq!(none.details[0].observed, "no rejection");
    let none = rejected(&rejecting(None, None, |r| {
        r.gave_up();
    }));
    assert_eq!(none.verdict, Verdict::Failed);
    assert_eq!(who(&none), ["checkout@zone1"]);

    let unnamed = rejected(&rejecting(Some("bad"), None, |r| {
        r.status("scoped", status(1, 1, 0, &[("checkout-zone2-0", "bad")]));
    }));
    assert_eq!(unnamed.verdict, Verdict::Failed);
    assert_eq!(unnamed.details[0].observed, "the status does not name it");

    let unreported = rejected(&rejecting(Some("bad"), None, |_| {}));
    assert_eq!(unreported.verdict, Verdict::Inconclusive);
    let unreported = rejected(&rejecting(Some("bad"), None, |r| {
        r.gave_up();
    }));
    assert_eq!(unreported.verdict, Verdict::Failed);
    assert_eq!(unreported.details[0].observed, "no status within the bound");
}

#[test]
fn who_was_not_read_neither_rejects_nor_accepts() {
    let mut recorder = rejecting(Some("bad"), None, says_so);
    recorder.events.retain(
        |e| !matches!(&e.kind, EventKind::Observed(seen) if seen.sidecar == "checkout@zone2"),
    );
    let found = rejected(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(who(&found), ["checkout@zone2"]);
    recorder.events.retain(|e| !matches!(&e.kind, EventKind::Observed(_)));
    let found = rejected(&recorder);
    assert_eq!(found.details[0].observed, "not read");
}

#[test]
fn an_old_rejection_is_not_one_of_this_update() {
    let mut before = shows(&outside(), "a", "", "");
    before.rejected.insert("RDS".to_owned(), "old".to_owned());
    let mut recorder = Recorder::new(&both());
    recorder.observe(before.clone());
    recorder.step(0).write(&version("v1"));
    recorder.observe(before.clone());
    let mut seen = shows(&inside(), "a", "", "");
    seen.rejected.insert("RDS".to_owned(), "bad".to_owned());
    recorder.observe(seen);
    says_so(&mut recorder);
    assert_eq!(rejected(&recorder).verdict, Verdict::Passed);
    before.rejected.insert("RDS".to_owned(), "new".to_owned());
    recorder.observe(before);
    assert_eq!(rejected(&recorder).verdict, Verdict::Failed);
}

#[test]
fn only_a_written_apply_can_be_rejected() {
    let mut unwritten = Recorder::new(&both());
    unwritten.step(0);
    assert_eq!(rejected(&unwritten).details[0].observed, "it was not");
    let found = one(vec![delete()], Expectation::Rejected { step: 0 }, &unwritten);
    assert_eq!(found.details[0].observed, "it does not");
    let found = one(vec![apply("v1")], Expectation::Rejected { step: 1 }, &unwritten);
    assert_eq!(found.verdict, Verdict::Inconclusive);
}

#[test]
fn a_rejected_step_is_not_judged_for_delivery_and_its_old_state_may_stay() {
    let scenario = expecting(
        vec![apply("v1"), apply("v2"), apply("v1")],
        vec![
            Expectation::Rejected { step: 1 },
            Expectation::Delivered,
            Expectation::Confined,
        ],
    );
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    settled(&mut recorder, "v1", "m0");
    recorder.step(1).write(&version("v2"));
    let mut stuck = shows(&inside(), "a", "v1", "m0");
    stuck.toggles = shows(&inside(), "a", "v2", "").toggles;
    stuck.rejected.insert("RDS".to_owned(), "bad".to_owned());
    recorder.wait(6000).observe(stuck);
    recorder.observe(shows(&outside(), "a", "", "m0"));
    says_so(&mut recorder);
    recorder.step(2).write(&version("v1"));
    settled(&mut recorder, "v1", "m2");
    ended(&mut recorder, "v1");
    for finding in findings(&scenario, &recorder) {
        assert_eq!(finding.verdict, Verdict::Passed, "{finding:#?}");
    }
}

// --- garbage

#[test]
fn no_history_makes_a_checker_panic() {
    let scenario = Scenario {
        then: vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored { reference: 0, step: 1 },
            Expectation::StatusIsTrue,
            Expectation::Rejected { step: 0 },
            Expectation::Unchanged,
        ],
        ..given_scenario(Expectation::Delivered)
    };
    let whole = reconnected(&["a", "b"], |_, _| {});
    let count = whole.events.len();
    for seed in 0..200_usize {
        let mut garbled = whole.clone();
        // A linear congruence is shuffle enough, and the same every time.
        let mut state = seed * 7919 + 1;
        let mut next = |below: usize| {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            state / 8 % below
        };
        for _ in 0..10 {
            let (a, b) = (next(count), next(count));
            garbled.events.swap(a, b);
            let copy = garbled.events[next(count)].clone();
            garbled.events[a] = copy;
            garbled.events[b].step = Some(next(5));
            garbled.events[next(count)].at_ns = u64::MAX;
        }
        let judgement = judge(&scenario, &garbled.events, &Patience::default());
        assert_eq!(judgement.findings.len(), 6);
        for finding in judgement.findings {
            assert!(finding.verdict != Verdict::Passed || finding.observations > 0);
        }
    }
}
