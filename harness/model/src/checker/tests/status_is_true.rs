//! Histories for `status_is_true`.

use super::histories::applied;
use super::histories::apply;
use super::histories::delete;
use super::histories::inside;
use super::histories::one;
use super::histories::outside;
use super::histories::status;
use super::histories::version;
use super::histories::who;
use crate::expectation::Expectation;
use crate::history::DeliveryStatus;
use crate::history::EventKind;
use crate::testing::Recorder;
use crate::testing::shows;
use crate::testing::sidecar;
use crate::verdict::Finding;
use crate::verdict::Verdict;
use rstest::rstest;

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
    one(
        vec![apply("v1")],
        Expectation::StatusIsTrue,
        &recorder.whole(),
    )
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
    before
        .write(&version("v1"))
        .observe(shows(&inside(), "a", "v1", ""));
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
    recorder
        .write(&version("v1"))
        .status("scoped", status(1, 1, 1, &[]));
    assert_eq!(status_is_true(&recorder).verdict, Verdict::Inconclusive);
}

#[test]
fn every_apply_is_reported_and_nothing_else() {
    let mut recorder = reported("v1", None, |r| {
        r.status("scoped", status(2, 2, 2, &[]));
    });
    recorder.step(1).delete("scoped");
    let found = one(
        vec![apply("v1"), delete()],
        Expectation::StatusIsTrue,
        &recorder.whole(),
    );
    assert_eq!(found.verdict, Verdict::Passed);
    let found = one(
        vec![apply("v1"), apply("v2")],
        Expectation::StatusIsTrue,
        &applied(),
    );
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert!(
        found.details.iter().any(|d| d.step == Some(1)),
        "{found:#?}"
    );
}
