//! Histories for `delivered`: what arrives after a write, in time or not.

use super::histories::applied;
use super::histories::apply;
use super::histories::both;
use super::histories::confined;
use super::histories::delete;
use super::histories::delivered;
use super::histories::ended;
use super::histories::expecting;
use super::histories::findings;
use super::histories::inside;
use super::histories::outside;
use super::histories::right;
use super::histories::settled;
use super::histories::version;
use super::histories::who;
use crate::checker::evidence::clock;
use crate::checker::judge;
use crate::expectation::Expectation;
use crate::history::EventKind;
use crate::history::Observation;
use crate::patience::Patience;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;
use std::collections::BTreeMap;

#[test]
fn what_is_delivered_and_confined_passes() {
    let scenario = expecting(
        vec![apply("v1")],
        vec![Expectation::Delivered, Expectation::Confined],
    );
    let found = findings(&scenario, &applied());
    assert_eq!(found[0].verdict, Verdict::Passed, "{found:#?}");
    assert_eq!(found[1].verdict, Verdict::Passed, "{found:#?}");
    // The sidecar in scope at the step and at the end; both sidecars at both.
    assert_eq!((found[0].observations, found[1].observations), (2, 4));
    assert_eq!(
        (found[0].checker.as_str(), found[1].checker.as_str()),
        ("delivered", "confined")
    );
}

#[test]
fn nothing_at_all_decides_nothing() {
    let scenario = expecting(
        vec![apply("v1")],
        vec![
            Expectation::Delivered,
            Expectation::Confined,
            Expectation::Restored {
                reference: 0,
                step: 0,
            },
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

/// One apply after which the sidecar in scope shows `value` from the given millisecond after the write on.
fn arrives(value: &str, after_ms: u64, then: impl FnOnce(&mut Recorder)) -> Recorder {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder
        .wait(after_ms - 1)
        .observe(shows(&inside(), "a", value, ""));
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
        at_end
            .rules
            .insert("route".to_owned(), "hash-v1".to_owned());
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
    assert_eq!(
        delivered_in_step(&late(4999)).verdict,
        Verdict::Inconclusive
    );
    let found = delivered_in_step(&arrives("", 5000, |r| {
        r.observe(shows(&inside(), "a", "v1", ""));
    }));
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert!(found.details[0].observed.starts_with("shown too late, at"));

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
    assert_eq!(
        found.details[0].expected,
        "toggle `flag` = `v1`, rule `route` within 5s"
    );
    assert!(found.details[0].observed.contains("toggle `flag` is `v0`"));
}

#[test]
fn who_was_right_before_the_write_and_ever_after_need_not_be_read_in_time() {
    let read_late = |first: &str| {
        let mut recorder = Recorder::new(&[inside()]);
        recorder.step(0).write(&version(first));
        recorder.observe(shows(&inside(), "a", first, ""));
        recorder.step(1).write(&version("v1"));
        recorder.wait(7000).gave_up();
        recorder.observe(shows(&inside(), "a", "v1", ""));
        recorder.finished().observe(shows(&inside(), "a", "v1", ""));
        delivered(vec![apply(first), apply("v1")], &recorder)
    };
    let found = read_late("v1");
    assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
    let found = read_late("v0");
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
}

#[test]
fn that_a_wait_of_the_harness_is_over_is_no_evidence_against_the_mesh() {
    let recorder = arrives("v0", 10, |r| {
        r.gave_up_itself();
    });
    let found = delivered_in_step(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
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
    assert!(
        found.details[0]
            .observed
            .starts_with("no toggle `flag`, no rule `route` at")
    );
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
    assert_eq!(
        delivered(vec![apply("v1")], &other).verdict,
        Verdict::Inconclusive
    );

    // Recorded only when it changes: what was so before is so until the runner gives up.
    let earlier = |gives_up: bool| {
        let mut recorder = Recorder::new(&[inside()]);
        recorder
            .step(0)
            .unreadable("checkout@zone1")
            .write(&version("v1"));
        if gives_up {
            recorder.gave_up();
        }
        delivered(vec![apply("v1")], &recorder)
    };
    assert_eq!(earlier(false).verdict, Verdict::Inconclusive);
    assert_eq!(earlier(true).verdict, Verdict::Failed);
}

#[test]
fn what_was_read_before_the_write_counts_when_nothing_new_came() {
    let known = |value: &str, gives_up: bool| {
        let mut recorder = Recorder::new(&[inside()]);
        recorder
            .observe(shows(&inside(), "a", value, ""))
            .step(0)
            .write(&version("v1"));
        if gives_up {
            recorder.gave_up();
        }
        recorder.finished().observe(shows(&inside(), "a", "v1", ""));
        delivered(vec![apply("v1")], &recorder)
    };
    let found = known("v0", true);
    assert_eq!(found.verdict, Verdict::Failed);
    assert!(found.details[0].observed.starts_with("nothing new since"));
    assert!(found.details[0].event.is_some());
    assert_eq!(known("v0", false).verdict, Verdict::Inconclusive);
    // That it was right before the write does not show that it still is.
    assert_eq!(known("v1", true).verdict, Verdict::Inconclusive);
}

#[test]
fn what_others_show_is_no_news_of_a_sidecar() {
    let mut recorder = Recorder::new(&both());
    right(&mut recorder, "v1", "");
    recorder.step(0).write(&version("v1")).gave_up();
    recorder.finished().observe(shows(&inside(), "a", "v1", ""));
    let found = delivered(vec![apply("v1")], &recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    let last_read = &recorder.events[2];
    assert_eq!(
        found.details[0].observed,
        format!("nothing new since {}", clock(last_read.at_ns))
    );
}

#[test]
fn an_effect_may_be_seen_before_the_write_is_acknowledged() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).push(EventKind::WriteStarted {
        configuration: Some(version("v1")),
        name: "scoped".to_owned(),
    });
    recorder.observe(shows(&inside(), "a", "v1", ""));
    recorder.push(EventKind::Written {
        name: "scoped".to_owned(),
        objects: BTreeMap::new(),
    });
    recorder.marker("m0");
    right(&mut recorder, "v1", "m0");
    ended(&mut recorder, "v1");
    let then = vec![Expectation::Delivered, Expectation::Confined];
    for finding in findings(&expecting(vec![apply("v1")], then), &recorder) {
        assert_eq!(finding.verdict, Verdict::Passed, "{finding:#?}");
    }
}

#[test]
fn with_no_mesh_positives_fail_and_negatives_are_open() {
    let mut recorder = Recorder::new(&both());
    recorder.step(0).write(&version("v1"));
    recorder
        .unreadable("checkout@zone1")
        .unreadable("checkout@zone2");
    recorder.wait(5000).gave_up();
    recorder.marker("m").gave_up();
    recorder.finished().marker("e").gave_up();
    let scenario = expecting(
        vec![apply("v1")],
        vec![Expectation::Delivered, Expectation::Confined],
    );
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
    assert!(
        found.details[0]
            .observed
            .starts_with("rule `route` with another content"),
        "{found:?}"
    );
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
        recorder
            .observe(shows(&inside(), "a", last, ""))
            .wait(6000)
            .observe(seen);
        recorder.finished();
        delivered(vec![apply("v1"), delete()], &recorder)
    };
    let gone = history("", |_| {});
    assert_eq!(
        (gone.verdict, gone.observations),
        (Verdict::Passed, 2),
        "{gone:?}"
    );
    for without in [
        (|_| {}) as fn(&mut Observation),
        |o| o.toggles.clear(),
        |o| o.rules.clear(),
    ] {
        let there = history("v1", without);
        assert_eq!(there.verdict, Verdict::Failed);
        assert_eq!(who(&there), ["checkout@zone1"]);
        assert!(there.details[0].observed.contains(" still at "));
    }
}

#[test]
fn what_was_never_there_does_not_count_as_a_delivery() {
    let mut recorder = Recorder::new(&[outside()]);
    recorder.step(0).write(&version("v1"));
    recorder.observe(shows(&outside(), "a", "", ""));
    recorder.finished();
    recorder.observe(shows(&outside(), "a", "", ""));
    assert_eq!(
        delivered(vec![apply("v1")], &recorder).verdict,
        Verdict::Inconclusive
    );
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
        assert_eq!(found.details[0].observed, "the write failed: no");
        assert_eq!(found.details[0].step, Some(0));
        // Refused: nobody may show it. Unknown: it may be there.
        let found = confined(vec![apply("v1")], &recorder);
        let verdict = if refused {
            Verdict::Failed
        } else {
            Verdict::Inconclusive
        };
        assert_eq!(found.verdict, verdict, "{found:?}");
    }
}
