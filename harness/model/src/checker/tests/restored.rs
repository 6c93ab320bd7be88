//! Histories for `restored`.

use super::histories::apply;
use super::histories::both;
use super::histories::inside;
use super::histories::one;
use super::histories::right;
use super::histories::settled;
use super::histories::version;
use super::histories::who;
use crate::configuration::InboundTls;
use crate::configuration::OutboundTls;
use crate::expectation::Expectation;
use crate::history::Guard;
use crate::history::Observation;
use crate::history::TlsSeen;
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

/// A step's write, which is acknowledged.
fn written(recorder: &mut Recorder, step: usize) -> &mut Recorder {
    let to = if step == 1 { "v2" } else { "v1" };
    recorder.step(step).write(&version(to))
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
        written(&mut recorder, step).observe(shows(&inside(), "a", "v1", ""));
    }
    let found = restored(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(
        found.details[0].expected,
        "an observation that could decide"
    );
    // A difference after the end or before the beginning is none in between.
    let mut around = Recorder::new(&[inside()]);
    around.observe(shows(&inside(), "a", "v0", ""));
    for step in 0..3 {
        written(&mut around, step).observe(shows(&inside(), "a", "v1", ""));
    }
    around.finished().observe(shows(&inside(), "a", "v0", ""));
    let found = restored(&around);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(
        found.details[0].expected,
        "an observation that could decide"
    );
}

fn guard(takes: InboundTls, allow: Option<&[&str]>) -> Guard {
    Guard {
        takes,
        allow: allow.map(|all| all.iter().map(|who| (*who).to_owned()).collect()),
    }
}

fn permissive() -> TlsSeen {
    TlsSeen {
        inbound: [guard(InboundTls::Permissive, None)].into(),
        outbound: [OutboundTls::Plaintext].into(),
        ..TlsSeen::default()
    }
}

fn strict() -> TlsSeen {
    TlsSeen {
        inbound: [guard(InboundTls::Strict, Some(&["frontend"]))].into(),
        outbound: [OutboundTls::Strict].into(),
        ..TlsSeen::default()
    }
}

/// Step after step the sidecar is set up for TLS like this. Toggles and rules stay.
fn set_up(steps: [Option<TlsSeen>; 3]) -> Finding {
    let mut recorder = Recorder::new(&[inside()]);
    for (step, tls) in steps.into_iter().enumerate() {
        written(&mut recorder, step).observe(Observation {
            tls,
            ..shows(&inside(), "a", "v1", "")
        });
    }
    restored(&recorder)
}

#[test]
fn going_back_restores_how_a_sidecar_is_set_up_for_tls() {
    let found = set_up([Some(permissive()), Some(strict()), Some(permissive())]);
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 1),
        "{found:?}"
    );
    // What warms will be as it was.
    let warms = TlsSeen {
        warming_inbound: permissive().inbound,
        warming_outbound: permissive().outbound,
        ..permissive()
    };
    let found = set_up([Some(permissive()), Some(strict()), Some(warms)]);
    assert_eq!(found.verdict, Verdict::Passed, "{found:?}");
}

#[rstest]
#[case::inbound(
    TlsSeen { inbound: [guard(InboundTls::Strict, None)].into(), ..permissive() },
    "inbound `strict` instead of inbound `permissive`"
)]
#[case::list(
    TlsSeen { inbound: [guard(InboundTls::Permissive, Some(&["frontend"]))].into(), ..permissive() },
    "inbound `permissive` of `frontend` only instead of inbound `permissive`"
)]
#[case::way_around(
    TlsSeen { inbound: &permissive().inbound | &strict().inbound, ..permissive() },
    "inbound `permissive` and inbound `strict` of `frontend` only instead of inbound `permissive`"
)]
#[case::outbound(
    TlsSeen { outbound: [OutboundTls::Strict].into(), ..permissive() },
    "outbound `strict` instead of outbound `plaintext`"
)]
#[case::nothing(
    TlsSeen { outbound: [].into(), ..permissive() },
    "nothing instead of outbound `plaintext`"
)]
#[case::warming_inbound(
    TlsSeen { warming_inbound: strict().inbound, ..permissive() },
    "warming inbound `strict` of `frontend` only"
)]
#[case::warming_outbound(
    TlsSeen { warming_outbound: [OutboundTls::Strict].into(), ..permissive() },
    "warming outbound `strict`"
)]
fn another_mode_is_not_what_was_there(#[case] last: TlsSeen, #[case] words: &str) {
    let found = set_up([Some(permissive()), Some(strict()), Some(last)]);
    assert_eq!(found.verdict, Verdict::Failed, "{found:?}");
    assert_eq!(who(&found), ["checkout@zone1"]);
    assert!(
        found.details[0]
            .observed
            .starts_with(&format!("{words} at ")),
        "{found:?}"
    );
}

/// What only warmed in between was not there to be taken back, and what is not told is not known.
#[rstest]
#[case::only_warmed([
    Some(permissive()),
    Some(TlsSeen { warming_inbound: strict().inbound, ..permissive() }),
    Some(permissive()),
])]
#[case::never_told([None, None, None])]
#[case::not_told_at_last([Some(permissive()), Some(strict()), None])]
#[case::not_told_at_first([None, Some(strict()), Some(permissive())])]
fn modes_that_do_not_tell_of_a_way_back(#[case] steps: [Option<TlsSeen>; 3]) {
    let found = set_up(steps);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
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
