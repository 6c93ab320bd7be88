//! Histories for `rejected`.

use super::histories::apply;
use super::histories::both;
use super::histories::delete;
use super::histories::ended;
use super::histories::expecting;
use super::histories::findings;
use super::histories::inside;
use super::histories::one;
use super::histories::outside;
use super::histories::settled;
use super::histories::status;
use super::histories::version;
use super::histories::who;
use crate::expectation::Expectation;
use crate::history::EventKind;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;

fn rejected(recorder: &Recorder) -> Finding {
    one(
        vec![apply("v1")],
        Expectation::Rejected { step: 0 },
        &recorder.whole(),
    )
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
    assert_eq!(
        (found.verdict, found.observations),
        (Verdict::Passed, 2),
        "{found:#?}"
    );
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
    recorder
        .events
        .retain(|e| !matches!(&e.kind, EventKind::Observed(_)));
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
    assert_eq!(rejected(&unwritten).details[0].step, Some(0));
    let found = one(
        vec![delete()],
        Expectation::Rejected { step: 0 },
        &unwritten,
    );
    assert_eq!(found.details[0].observed, "it does not");
    let found = one(
        vec![apply("v1")],
        Expectation::Rejected { step: 1 },
        &unwritten,
    );
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

#[test]
fn with_nobody_in_scope_nothing_is_rejected() {
    let mut recorder = Recorder::new(&[outside()]);
    recorder.step(0).write(&version("v1"));
    recorder.observe(shows(&outside(), "a", "", ""));
    let found = rejected(&recorder);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:?}");
    assert_eq!(found.details[0].observed, "nobody is");
    assert_eq!(found.details[0].step, Some(0));
}

#[test]
fn the_status_says_why_too() {
    let found = rejected(&rejecting(Some("bad"), None, |r| {
        r.status("scoped", status(1, 1, 0, &[("checkout-zone1-0", "")]));
    }));
    assert_eq!(found.verdict, Verdict::Failed);
    assert_eq!(
        found.details[0].expected,
        "the status to say why it rejects the update"
    );
}
