//! Histories for `restored`.

use super::histories::apply;
use super::histories::both;
use super::histories::inside;
use super::histories::one;
use super::histories::right;
use super::histories::settled;
use super::histories::version;
use super::histories::who;
use crate::expectation::Expectation;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;

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
        Expectation::Restored {
            reference: 0,
            step: 2,
        },
        &recorder.whole(),
    )
}

#[test]
fn going_back_restores_every_sidecar() {
    let found = back("v1", "v2");
    // The sidecar out of scope showed the same all the time, so it says nothing.
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 1),
        "{found:?}"
    );
    assert_eq!(found.checker, "restored");
    let found = back("v3", "v2");
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert_eq!(found.details[0].step, Some(2));
    assert!(
        found.details[0]
            .observed
            .starts_with("toggles {\"flag\": \"v3\"} instead of")
    );
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
    assert_eq!(
        found.details[0].expected,
        "step 0 (apply `scoped`) and step 2 (apply `scoped`) to be carried out"
    );
}
