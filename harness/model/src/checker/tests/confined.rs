//! Histories for `confined`.

use super::histories::applied;
use super::histories::applied_but;
use super::histories::apply;
use super::histories::both;
use super::histories::confined;
use super::histories::delete;
use super::histories::ended;
use super::histories::inside;
use super::histories::outside;
use super::histories::right;
use super::histories::settled;
use super::histories::version;
use super::histories::who;
use crate::configuration::ScopeEntry;
use crate::duration::Span;
use crate::history::EventKind;
use crate::history::Observation;
use crate::scenario::Act;
use crate::testing::Recorder;
use crate::testing::configuration;
use crate::testing::entry_application;
use crate::testing::entry_zone;
use crate::testing::shows;
use crate::testing::sidecar;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;
use std::collections::BTreeMap;

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
fn the_leak_of_one_does_not_hide_that_another_proves_nothing() {
    let lacking = sidecar("frontend", 1, 1);
    let mut recorder = Recorder::new(&[inside(), lacking.clone(), outside()]);
    let read = |recorder: &mut Recorder, lacks: bool, marker: &str| {
        let (held, leaked) = if lacks { ("", "v1") } else { ("v1", "") };
        recorder.observe(shows(&inside(), "a", "v1", marker));
        recorder.observe(shows(&lacking, "a", held, marker));
        recorder.observe(shows(&outside(), "a", leaked, marker));
    };
    recorder.step(0).write(&version("v1"));
    read(&mut recorder, false, "");
    recorder.marker("m0");
    read(&mut recorder, true, "m0");
    recorder.finished().marker("end");
    read(&mut recorder, false, "end");
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    // The toggle and the rule that leaked, and the proof that is missing.
    let told = ["checkout@zone2", "checkout@zone2", "frontend@zone1"];
    assert_eq!(who(&found), told, "{found:#?}");
}

#[test]
fn a_marker_that_is_missing_does_not_follow_from_a_leak() {
    let recorder = applied_but(|number, seen| {
        // The sidecar out of scope, where it should show the marker of the step.
        if number == 3 {
            seen.toggles.insert("flag".to_owned(), "v1".to_owned());
            seen.marker_toggle = None;
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    let observed: Vec<&str> = found.details.iter().map(|d| d.observed.as_str()).collect();
    assert_eq!(observed.len(), 2, "{found:#?}");
    assert!(observed[0].starts_with("toggle `flag`"), "{observed:?}");
    assert!(observed[1].starts_with("(b)"), "{observed:?}");
}

#[test]
fn the_same_leak_is_told_once_in_a_step() {
    let recorder = applied_but(|number, seen| {
        if number % 2 == 1 {
            seen.toggles.insert("flag".to_owned(), "v1".to_owned());
        }
    });
    let found = confined(vec![apply("v1")], &recorder);
    let leaks = found
        .details
        .iter()
        .filter(|d| d.observed.starts_with("toggle"))
        .count();
    assert_eq!(leaks, 2, "{found:#?}");
    assert_eq!(
        found.details.len(),
        2,
        "no proof is missed where it leaked: {found:#?}"
    );
}

#[test]
fn a_proof_that_is_missing_elsewhere_is_told_beside_a_leak() {
    // Reading 3 is of the sidecar out of scope in the step, 4 of the one in scope at the end.
    let recorder = applied_but(|number, seen| match number {
        3 => {
            seen.toggles.insert("flag".to_owned(), "v1".to_owned());
        }
        4 => seen.toggles.clear(),
        _ => {}
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Failed);
    let missing: Vec<(Option<&str>, Option<usize>)> = found
        .details
        .iter()
        .filter(|detail| detail.expected.starts_with("a proof of absence"))
        .map(|detail| (detail.sidecar.as_deref(), detail.step))
        .collect();
    // At the end the other one lacks its witness too; in the step, where it leaked, nothing more is asked of it.
    let at_the_end = [
        (Some("checkout@zone1"), None),
        (Some("checkout@zone2"), None),
    ];
    assert_eq!(missing, at_the_end, "{found:#?}");
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
    assert_eq!(
        found.details[0].expected,
        "toggle `flag` = `v1`, rule `route`"
    );
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
    assert_eq!(
        found.details[0].expected,
        "a proof of absence at step 0 (apply `scoped`)"
    );
    assert_eq!(found.details[0].step, Some(0));
    assert!(
        found.details[0].observed.starts_with(observed),
        "{found:#?}"
    );
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
    assert!(
        found.details[0]
            .observed
            .starts_with("(b) no marker that was written when")
    );
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
    assert_eq!(
        confined(vec![apply("v1")], &recorder).verdict,
        Verdict::Inconclusive
    );
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
            found
                .details
                .iter()
                .any(|d| d.sidecar.as_deref() == Some("checkout@zone2")
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
    assert!(
        found.details[0]
            .observed
            .starts_with("(a) the payload was not seen on replica a")
    );
}

#[test]
fn nobody_in_scope_leaves_absence_unproven_and_a_canary_proves_it() {
    let history = |entries: Vec<ScopeEntry>, canary_value: &str| {
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
    assert!(
        found
            .details
            .iter()
            .any(|d| d.observed.starts_with("(a)") || d.observed.starts_with("(e)"))
    );
}

#[test]
fn what_is_warming_in_scope_leaves_the_proof_open() {
    let recorder = applied_but(|number, seen| {
        if number == 2 {
            seen.warming_rules
                .insert("route".to_owned(), "hash-v1".to_owned());
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
    let own = found
        .details
        .iter()
        .find(|d| d.sidecar.as_deref() == Some("checkout@zone1"));
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
    assert_eq!(
        found.details[0].expected,
        "toggle `flag` = `v2`, rule `route`"
    );
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
    assert_eq!(
        (who(&found)[0], found.details[0].step),
        ("checkout@zone1", Some(2))
    );

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
    recorder.step(1);
    recorder.push(EventKind::Written {
        name: "scoped".to_owned(),
        objects: BTreeMap::new(),
    });
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found
            .details
            .iter()
            .any(|d| d.observed.starts_with("(c) it is not certain")),
        "{found:#?}"
    );
}

#[test]
fn a_reading_of_nobody_known_is_never_green() {
    let mut recorder = applied();
    let mut ghost = shows(&inside(), "a", "v1", "");
    ghost.pod_uid = "ghost".to_owned();
    recorder.step = Some(0);
    recorder.observe(ghost.clone());
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "a reading of an unknown pod");
    assert_eq!(found.details[0].step, Some(0));
    assert_eq!(found.details[0].event, Some(recorder.events.len() - 1));
    assert_eq!(who(&found), ["checkout@zone1"]);
    ghost.pod_uid = inside().pod_uid;
    ghost.sidecar = "ghost@zone1".to_owned();
    recorder.events.pop();
    recorder.observe(ghost);
    assert_eq!(
        confined(vec![apply("v1")], &recorder).verdict,
        Verdict::Inconclusive
    );
}

#[test]
fn with_nobody_left_nothing_is_proven() {
    let mut recorder = applied();
    let finished = recorder
        .events
        .iter()
        .position(|e| e.kind == EventKind::Finished)
        .expect("it ended");
    recorder.events.truncate(finished);
    recorder.step = Some(0);
    for sidecar in both() {
        recorder.push(EventKind::SidecarLeft {
            sidecar: sidecar.name,
            pod_uid: sidecar.pod_uid,
        });
    }
    recorder.finished().marker("end");
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(
        found.details[0].expected,
        "somebody to be there at step 0 (apply `scoped`)"
    );
    assert_eq!(found.details[0].step, Some(0));
    assert_eq!(found.details[1].expected, "somebody to be there at the end");
}

/// Which of two writes comes first.
#[derive(Clone, Copy)]
enum First {
    WithWitness,
    Other,
}

/// Two configurations at once, one for zone 1 and another one for zone 2, whose sidecar may be missing.
fn two_at_once(first: First, is_other_witnessed: bool) -> Finding {
    let third = sidecar("checkout", 3, 2);
    let mut other = configuration("other", vec![entry_zone("zone2")], "x");
    other.toggles = [("second".to_owned(), "x".to_owned())].into();
    other.rules.clear();
    let mut sidecars = vec![inside(), third.clone()];
    if is_other_witnessed {
        sidecars.push(outside());
    }
    let mut recorder = Recorder::new(&sidecars);
    match first {
        First::WithWitness => recorder.write(&version("v1")).write(&other),
        First::Other => recorder.write(&other).write(&version("v1")),
    };
    let read = |recorder: &mut Recorder, marker: &str| {
        for sidecar in &sidecars {
            let value = if sidecar.data_center == "zone1" {
                "v1"
            } else {
                ""
            };
            let mut seen = shows(sidecar, "a", value, marker);
            if sidecar.data_center == "zone2" {
                seen.toggles = other.toggles.clone();
            }
            recorder.observe(seen);
        }
    };
    read(&mut recorder, "");
    recorder.marker("m0");
    read(&mut recorder, "m0");
    recorder.step(0).wait(10).marker("m1");
    read(&mut recorder, "m1");
    recorder.finished().marker("e");
    read(&mut recorder, "e");
    confined(vec![Act::Hold(Span::millis(1))], &recorder)
}

#[test]
fn each_of_several_writes_needs_a_witness() {
    for first in [First::WithWitness, First::Other] {
        assert_eq!(two_at_once(first, true).verdict, Verdict::Passed);
        let found = two_at_once(first, false);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert!(found.details[0].observed.starts_with("(a)"), "{found:#?}");
    }
}

#[test]
fn a_recovery_is_proven_after_the_fault() {
    let history = |marker_first: bool| {
        let mut recorder = Recorder::new(&both());
        recorder.step(0).write(&version("v1"));
        settled(&mut recorder, "v1", "m0");
        recorder.step(1);
        if marker_first {
            recorder.marker("m1").fault_ended();
        } else {
            recorder.fault_ended().marker("m1");
        }
        right(&mut recorder, "v1", "m1");
        ended(&mut recorder, "v1");
        confined(vec![apply("v1"), Act::Recover], &recorder)
    };
    let found = history(false);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    let found = history(true);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found.details[0].observed.starts_with("(b) no marker"),
        "{found:#?}"
    );
}

#[test]
fn writes_that_cancel_each_other_out_have_no_witness() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1")).delete("scoped");
    settled(&mut recorder, "", "m0");
    ended(&mut recorder, "");
    let found = confined(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert!(found.details[0].observed.starts_with("(a)"), "{found:#?}");
}
