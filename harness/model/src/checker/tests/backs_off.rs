//! Histories of what is refused while a fault is in force.

use super::certificates::{permissive, showing, turned_on, valid_for};
use super::requests::{expecting, finding};
use crate::asking::Answer;
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::fault::Fault;
use crate::history::EventKind;
use crate::scenario::Act;
use crate::testing::Recorder;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

const AUTHORITY: &str = "certificate-authority";

fn denial() -> Fault {
    Fault::ClientDenial {
        component: "key-service".to_owned(),
        client: AUTHORITY.to_owned(),
        duration: Span::secs(10),
    }
}

fn refusals(component: &str, pods: &[(&str, u64)]) -> EventKind {
    EventKind::Refusals {
        component: component.to_owned(),
        pods: pods
            .iter()
            .map(|(pod, count)| ((*pod).to_owned(), *count))
            .collect(),
    }
}

/// A denial, counted when it has begun, and two seconds later, when it has ended; `meanwhile` happens in between. One sidecar is
/// to hold a certificate.
fn recorded(
    before: &[(&str, u64)],
    after: Option<&[(&str, u64)]>,
    meanwhile: impl Fn(&mut Recorder),
) -> Recorder {
    let mut recorder = turned_on();
    recorder.step(1).fault_started(denial(), &["authority-0"]);
    recorder.push(refusals(AUTHORITY, before));
    let ends_ms = recorder.at_ms + 2000;
    meanwhile(&mut recorder);
    recorder.step(2).fault_ended();
    if let Some(after) = after {
        recorder.wait_until(ends_ms);
        recorder.push(refusals(AUTHORITY, after));
    }
    recorder
}

fn judged(recorder: &Recorder) -> Finding {
    let when = vec![
        Act::Apply(permissive()),
        Act::Inject(denial()),
        Act::Recover,
    ];
    finding(&expecting(when, at_most_two()), recorder)
}

fn at_most_two() -> Expectation {
    Expectation::BacksOff {
        component: AUTHORITY.to_owned(),
        at_most: 2,
    }
}

#[rstest]
#[case::pauses(&[("a", 3), ("b", 0)], &[("a", 6), ("b", 1)], Verdict::Passed, "")]
#[case::at_once(&[("a", 3), ("b", 0)], &[("a", 6), ("b", 2)], Verdict::Failed, "5 refused by certificate-authority in 2000 ms")]
#[case::a_new_pod_counts_from_nothing(&[("a", 3)], &[("a", 4), ("b", 4)], Verdict::Failed, "5 refused")]
#[case::nobody_is_refused(&[("a", 3)], &[("a", 3)], Verdict::Inconclusive, "0 refused")]
#[case::one_is_gone(&[("a", 3), ("b", 1)], &[("a", 5)], Verdict::Inconclusive, "one is gone")]
#[case::one_counts_anew(&[("a", 3), ("b", 1)], &[("a", 2), ("b", 9)], Verdict::Inconclusive, "started anew")]
fn who_is_refused_may_not_ask_again_at_once(
    #[case] before: &[(&str, u64)],
    #[case] after: &[(&str, u64)],
    #[case] verdict: Verdict,
    #[case] told: &str,
) {
    let found = judged(&recorded(before, Some(after), |_| {}));
    assert_eq!(found.verdict, verdict, "{found:#?}");
    match found.details.first() {
        None => assert_eq!(found.observations, 4),
        Some(detail) => assert!(detail.observed.contains(told), "{found:#?}"),
    }
}

#[test]
fn what_is_not_counted_at_both_ends_decides_nothing() {
    let uncounted = recorded(&[("a", 3)], None, |_| {});
    let found = judged(&uncounted);
    assert_eq!(found.verdict, Verdict::Inconclusive);
    assert_eq!(found.details[0].observed, "it was not");
    // Of another part it says nothing.
    let mut of_another = uncounted;
    of_another.push(refusals("another", &[("a", 900)]));
    assert_eq!(judged(&of_another).details[0].observed, "it was not");
    // Nor before a fault or after it.
    let mut calm = turned_on();
    calm.push(refusals(AUTHORITY, &[("a", 3)]));
    calm.step(1).fault_started(denial(), &["authority-0"]);
    calm.step(2).fault_ended();
    calm.push(refusals(AUTHORITY, &[("a", 900)]));
    assert_eq!(judged(&calm).details[0].observed, "it was not");
}

#[test]
fn a_fault_in_which_nobody_is_refused_leaves_the_others_to_decide() {
    for (refused, verdict) in [(4, Verdict::Passed), (5, Verdict::Failed)] {
        let mut recorder = recorded(&[("a", 3)], Some(&[("a", 3)]), |_| {});
        recorder.step(3).fault_started(denial(), &["authority-0"]);
        recorder.push(refusals(AUTHORITY, &[("a", 3)]));
        recorder.step(4).wait(1997).fault_ended();
        recorder.push(refusals(AUTHORITY, &[("a", 3 + refused)]));
        let when = vec![
            Act::Apply(permissive()),
            Act::Inject(denial()),
            Act::Recover,
            Act::Inject(denial()),
            Act::Recover,
        ];
        let found = finding(&expecting(when, at_most_two()), &recorder);
        assert_eq!(found.verdict, verdict, "{found:#?}");
        assert_eq!(found.observations, refused);
    }
}

#[test]
fn what_a_probe_asks_is_not_an_agents() {
    let asks = |recorder: &mut Recorder| {
        recorder.push(EventKind::Asked {
            ask: "while-denied".to_owned(),
            from: "frontend@zone1".to_owned(),
            answer: Answer::Served,
        });
    };
    let found = judged(&recorded(&[("a", 3)], Some(&[("a", 8)]), asks));
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
    assert_eq!(found.observations, 4);
    let alone = judged(&recorded(&[("a", 3)], Some(&[("a", 4)]), asks));
    assert_eq!(alone.verdict, Verdict::Inconclusive, "{alone:#?}");
}

/// A certificate that comes now and is valid for so many milliseconds.
fn comes(recorder: &mut Recorder, serial: &str, life_ms: i64) {
    let shown = valid_for(life_ms, serial, recorder.at_ms);
    recorder.observe(showing(shown));
}

/// One certificate after another comes before a denial of two seconds in which two are refused, and one more after a second of it,
/// where `meanwhile` says for how many milliseconds it is valid.
fn holding(before: &[i64], meanwhile: Option<i64>) -> Finding {
    let mut recorder = turned_on();
    for (place, life_ms) in before.iter().enumerate() {
        comes(&mut recorder, &place.to_string(), *life_ms);
    }
    recorder.step(1).fault_started(denial(), &["authority-0"]);
    recorder.push(refusals(AUTHORITY, &[("a", 3)]));
    recorder.wait(1000);
    if let Some(life_ms) = meanwhile {
        comes(&mut recorder, "meanwhile", life_ms);
    }
    recorder.wait(1000).step(2).fault_ended();
    recorder.push(refusals(AUTHORITY, &[("a", 5)]));
    judged(&recorder)
}

#[rstest]
#[case::due(&[20_000, 3_000], None)]
// The denial ends after two fifths of its life, and before half of it.
#[case::soon_due(&[20_000, 4_500], None)]
// It was asked for while others were refused, though the one before was not due.
#[case::another_came_meanwhile(&[20_000, 60_000], Some(60_000))]
#[case::another_came_for_one_that_was_due(&[20_000, 3_000], Some(60_000))]
// Nobody knows for how long the first one has been there.
#[case::the_first_one_that_is_known(&[60_000], None)]
fn whose_certificate_may_be_due_may_ask(#[case] before: &[i64], #[case] meanwhile: Option<i64>) {
    let found = holding(before, meanwhile);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

/// After a third of its life the second one is not due: that makes it one that was seen 7.4 s before a denial's end and 19.5 s
/// before its own, while nobody asked for another.
#[rstest]
#[case::for_long_not(60_000)]
#[case::after_a_third(5_286)]
fn whose_certificate_is_not_due_asks_for_none(#[case] life_ms: i64) {
    let found = holding(&[20_000, life_ms], None);
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert!(
        found.details[0].expected.contains("of 0 sidecars"),
        "{found:#?}"
    );
}
