//! Histories of certificates that are renewed again and again.

use super::certificates::{needs_its_step, permissive, showing, turned_on, valid_for};
use super::requests::{assert_told, expecting, finding};
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::{EventKind, Observation};
use crate::scenario::{Act, Rollout};
use crate::testing::Recorder;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

/// How long a certificate is valid from when it is shown first.
const LIFE_MS: i64 = 20_000;
/// 22 certificates, of which the first took no other one's place and the last was not replaced.
const ENOUGH: usize = 22;

/// TLS is turned on, and held.
fn when() -> Vec<Act> {
    vec![Act::Apply(permissive()), Act::Hold(Span::secs(300))]
}

/// So many certificates, each replaced after its pause in ms; `change` is told the place of a reading.
fn recorded(
    count: usize,
    pause_ms: impl Fn(usize) -> u64,
    change: impl Fn(usize, &mut Observation),
) -> Recorder {
    let mut recorder = turned_on();
    for place in 0..count {
        let own = valid_for(LIFE_MS, &place.to_string(), recorder.at_ms + 1);
        let mut seen = Observation {
            starts: Some(1),
            ..showing(own)
        };
        change(place, &mut seen);
        recorder.observe(seen);
        if place == 0 {
            recorder.step(1);
        }
        recorder.wait(pause_ms(place) - 1);
    }
    recorder
}

const EXPECTED: Expectation = Expectation::SpreadsRenewals { since: 1 };

fn judged(when: Vec<Act>, recorder: &Recorder) -> Finding {
    finding(&expecting(when, EXPECTED), recorder)
}

/// As readings make it of a part of 0.55: nothing later than by 0.4 s.
fn same_ms(place: usize) -> u64 {
    10_800 + [0, 400, 200, 300][place % 4]
}

/// The first one was there already when the sidecar asked for it.
fn kept_first_ms(place: usize) -> u64 {
    if place == 0 { 3000 } else { same_ms(place) }
}

/// Between a half and six tenths.
fn spread_ms(place: usize) -> u64 {
    10_000 + [0, 1900, 700, 1300, 400, 1600][place % 6]
}

#[rstest]
#[case::spread(ENOUGH, spread_ms, Verdict::Passed, None)]
#[case::together(
    ENOUGH,
    same_ms,
    Verdict::Failed,
    Some("renewed after 0.540 to 0.560 of")
)]
#[case::kept_first(ENOUGH, kept_first_ms, Verdict::Failed, Some("20 certificates"))]
#[case::too_few(ENOUGH - 1, same_ms, Verdict::Inconclusive, Some("19 of them"))]
#[case::too_few_and_spread(ENOUGH - 1, spread_ms, Verdict::Inconclusive, Some("19 of them"))]
#[case::none(0, same_ms, Verdict::Inconclusive, Some("no event of it"))]
fn certificates_must_not_be_renewed_together(
    #[case] count: usize,
    #[case] pause_ms: fn(usize) -> u64,
    #[case] verdict: Verdict,
    #[case] told: Option<&str>,
) {
    let found = judged(when(), &recorded(count, pause_ms, |_, _| {}));
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert_told(&found, told);
    if verdict != Verdict::Inconclusive {
        assert_eq!(found.observations, 20);
    }
}

/// So many parts, each second one of them longer by `longer_ms`.
#[rstest]
#[case::of_few(20, 500, Verdict::Failed)]
#[case::of_few_and_apart(20, 540, Verdict::Passed)]
#[case::of_some_fewer_than_nine_sidecars(26, 660, Verdict::Passed)]
#[case::of_nine_sidecars(27, 660, Verdict::Failed)]
#[case::of_nine_sidecars_and_apart(27, 700, Verdict::Passed)]
#[case::of_some_fewer_than_eleven_sidecars(32, 700, Verdict::Passed)]
#[case::of_eleven_sidecars(33, 700, Verdict::Failed)]
#[case::of_eleven_sidecars_and_apart(33, 740, Verdict::Passed)]
#[case::of_many(60, 700, Verdict::Failed)]
#[case::of_many_and_apart(60, 740, Verdict::Passed)]
fn the_more_there_are_the_more_they_must_differ(
    #[case] count: usize,
    #[case] longer_ms: u64,
    #[case] verdict: Verdict,
) {
    let pause_ms = |place: usize| 10_000 + u64::from(place % 2 == 1) * longer_ms;
    let found = judged(when(), &recorded(count + 2, pause_ms, |_, _| {}));
    assert_eq!(found.verdict, verdict, "{found:#?}");
}

/// Of 33 parts three are left out at either end: three readings that come late by 1.5 s hide nothing, four do.
#[rstest]
#[case::few(3, Verdict::Failed)]
#[case::many(4, Verdict::Passed)]
fn a_few_late_readings_are_no_spread(#[case] late: usize, #[case] verdict: Verdict) {
    let pause_ms = |place: usize| match place {
        0 => 11_000,
        // The one before a late reading, and the one after it.
        _ if place <= 2 * late && place % 2 == 1 => 12_500,
        _ if place <= 2 * late => 9_500,
        _ => same_ms(place),
    };
    let found = judged(when(), &recorded(35, pause_ms, |_, _| {}));
    assert_eq!(found.verdict, verdict, "{found:#?}");
    if let Some(detail) = found.details.first() {
        let told = "33 certificates were renewed after 0.540 to 0.560 of theirs, 3 at either end";
        assert!(detail.observed.starts_with(told), "{found:#?}");
    }
}

#[test]
fn what_says_nothing_of_pauses_does_not_count() {
    let changes: [fn(usize, &mut Observation); 3] = [
        // Each is another process's.
        |place, seen| seen.starts = u64::try_from(place).ok(),
        |_, seen| {
            if let Some(own) = &mut seen.certificate {
                own.valid = None;
            }
        },
        // It has ended when it is shown.
        |_, seen| {
            if let Some(valid) = seen.certificate.as_mut().and_then(|own| own.valid.as_mut()) {
                valid.until_ms = valid.from_ms;
            }
        },
    ];
    for change in changes {
        let found = judged(when(), &recorded(ENOUGH, same_ms, change));
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert_eq!(found.details[0].observed, "0 of them");
    }
}

#[test]
fn the_same_certificate_is_read_more_than_once() {
    // Every second reading shows the one before again, for another reason.
    let recorder = recorded(
        2 * ENOUGH,
        |_| 5_500,
        |place, seen| {
            if let Some(own) = &mut seen.certificate {
                own.serial = (place / 2).to_string();
            }
        },
    );
    let found = judged(when(), &recorder);
    assert_eq!(found.verdict, Verdict::Failed, "{found:#?}");
    assert!(found.details[0].observed.contains("0.550 to 0.550"));
}

#[test]
fn what_comes_after_the_next_act_that_changes_something_does_not_count() {
    let mut recorder = recorded(10, same_ms, |_, _| {});
    recorder.step(2).delete("scoped");
    let mut when = when();
    when.push(Act::Delete("scoped".to_owned()));
    let late = recorded(ENOUGH, same_ms, |_, _| {});
    for event in &late.events {
        if let EventKind::Observed(seen) = &event.kind {
            recorder.wait(11_000).observe(Observation::clone(seen));
        }
    }
    let found = judged(when, &recorder);
    assert_eq!(found.details[0].observed, "8 of them", "{found:#?}");
}

#[test]
fn what_was_broken_or_rolled_out_before_leaves_it_open() {
    let mut shaken = when();
    shaken[0] = Act::Restart(Rollout::Component("node-agent".to_owned()));
    let found = judged(shaken, &recorded(ENOUGH, same_ms, |_, _| {}));
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert_eq!(found.details[0].observed, "something was");
}

#[test]
fn a_step_that_was_not_carried_out_shows_nothing() {
    needs_its_step(EXPECTED);
}
