//! Histories of certificates, and of the streams that they come by.

use super::certificates::{OWN, certificate, needs_its_step, permissive, showing, turned_on};
use super::requests::{assert_told, expecting, finding};
use crate::duration::Span;
use crate::expectation::Expectation;
use crate::history::{CertificateSeen, Observation};
use crate::scenario::{Act, Rollout};
use crate::testing::Recorder;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;

/// One reading: when in ms, the serial (`waits`: it asks for one, nothing: it has none), and how often the stream has ended.
type Read<'a> = (u64, &'a str, Option<u64>);

fn reading((_, serial, stream_ends): &Read<'_>) -> Observation {
    let shown = certificate(OWN, serial).filter(|_| !serial.is_empty());
    let certificate = shown.map(|own| CertificateSeen {
        warming: *serial == "waits",
        stream_ends: *stream_ends,
        ..own
    });
    Observation {
        starts: Some(1),
        ..showing(certificate)
    }
}

/// TLS is turned on, held from 1 s to 20 s, and turned off again.
fn when() -> Vec<Act> {
    vec![
        Act::Apply(permissive()),
        Act::Hold(Span::secs(19)),
        Act::Delete("scoped".to_owned()),
    ]
}

/// The history of [`when`] with these readings, each changed by `change`, which is told its place.
fn recorded(readings: &[Read<'_>], change: impl Fn(usize, &mut Observation)) -> Recorder {
    let mut recorder = turned_on();
    for (place, read) in readings.iter().enumerate() {
        begin_until(&mut recorder, read.0);
        recorder.wait_until(read.0);
        let mut seen = reading(read);
        change(place, &mut seen);
        recorder.observe(seen);
    }
    begin_until(&mut recorder, 20_000);
    recorder
}

/// The acts that begin until then.
fn begin_until(recorder: &mut Recorder, at_ms: u64) {
    if at_ms >= 1000 && recorder.step == Some(0) {
        recorder.wait_until(1000).step(1);
    }
    if at_ms >= 20_000 && recorder.step == Some(1) {
        recorder.wait_until(20_000).step(2).delete("scoped");
    }
}

const EXPECTED: Expectation = Expectation::KeepsStream { since: 1 };

fn judged(when: Vec<Act>, recorder: &Recorder) -> Finding {
    finding(&expecting(when, EXPECTED), recorder)
}

const NONE: &str = "none that one process had in another one's place";

#[rstest]
#[case::kept(&[(500, "1", Some(0)), (9_000, "2", Some(0))], None, Verdict::Passed)]
#[case::ended_long_before(&[(500, "1", Some(3)), (9_000, "2", Some(3))], None, Verdict::Passed)]
#[case::first_read_in_the_step(&[(2_000, "1", Some(0)), (9_000, "2", Some(0))], None, Verdict::Passed)]
#[case::waited_meanwhile(
    &[(500, "1", Some(0)), (8_000, "waits", Some(9)), (9_000, "2", Some(0))],
    None,
    Verdict::Passed
)]
#[case::ended(
    &[(500, "1", Some(0)), (9_000, "2", Some(1))],
    Some("one at 9.000 s, when streams had ended 1 times in all, and 0 times"),
    Verdict::Failed
)]
#[case::ended_and_read_before_the_new_one_came(
    &[(500, "1", Some(0)), (8_900, "1", Some(2)), (9_000, "2", Some(2))],
    Some("ended 2 times in all, and 0 times"),
    Verdict::Failed
)]
#[case::ended_the_second_time(
    &[(500, "1", Some(0)), (9_000, "2", Some(0)), (18_000, "3", Some(1))],
    Some("one at 18.000 s"),
    Verdict::Failed
)]
#[case::untold(&[(500, "1", None), (9_000, "2", None)], Some("is not told"), Verdict::Inconclusive)]
#[case::told_late(&[(500, "1", None), (9_000, "2", Some(0))], Some("is not told"), Verdict::Inconclusive)]
#[case::told_no_more(&[(500, "1", Some(0)), (9_000, "2", None)], Some("is not told"), Verdict::Inconclusive)]
#[case::not_replaced(&[(500, "1", Some(0)), (9_000, "1", Some(1))], Some(NONE), Verdict::Inconclusive)]
#[case::counted_anew(&[(500, "1", Some(3)), (9_000, "2", Some(0))], Some(NONE), Verdict::Inconclusive)]
#[case::never_read(&[], Some("none was read"), Verdict::Inconclusive)]
#[case::it_has_none(&[(500, "", None)], Some("none was read"), Verdict::Inconclusive)]
#[case::replaced_before(
    &[(400, "1", Some(0)), (500, "2", Some(1)), (9_000, "2", Some(1))],
    Some(NONE),
    Verdict::Inconclusive
)]
#[case::replaced_after_the_next_act(
    &[(500, "1", Some(0)), (21_000, "2", Some(1))],
    Some(NONE),
    Verdict::Inconclusive
)]
fn a_new_certificate_must_come_on_the_stream_of_the_one_before(
    #[case] readings: &[Read<'_>],
    #[case] told: Option<&str>,
    #[case] verdict: Verdict,
) {
    let found = judged(when(), &recorded(readings, |_, _| {}));
    assert_eq!(found.verdict, verdict, "{found:#?}");
    assert_told(&found, told);
    if verdict == Verdict::Failed {
        let who = found.details[0].sidecar.as_deref();
        assert_eq!(who, Some("checkout@zone1"));
    }
}

#[test]
fn who_is_started_anew_has_reason_to_connect_again() {
    let readings = [(500, "1", Some(0)), (9_000, "2", Some(1))];
    let changes: [fn(&mut Observation); 2] =
        [|seen| seen.starts = Some(2), |seen| seen.stream.epoch = 0];
    for change in changes {
        let recorder = recorded(&readings, |place, seen| {
            if place == 1 {
                change(seen);
            }
        });
        let found = judged(when(), &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert_eq!(found.details[0].observed, NONE);
    }
    // What comes after it is judged as ever.
    let readings = [
        (500, "1", Some(4)),
        (2_000, "1", Some(0)),
        (9_000, "2", Some(1)),
    ];
    let recorder = recorded(&readings, |place, seen| {
        seen.starts = Some(if place == 0 { 1 } else { 2 });
    });
    assert_eq!(judged(when(), &recorder).verdict, Verdict::Failed);
}

#[test]
fn what_was_broken_or_rolled_out_before_leaves_it_open() {
    let readings = [(500, "1", Some(0)), (9_000, "2", Some(1))];
    let mut shaken = when();
    shaken[0] = Act::Restart(Rollout::Component("node-agent".to_owned()));
    let found = judged(shaken, &recorded(&readings, |_, _| {}));
    assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
    assert_eq!(found.details[0].observed, "something was");
}

#[test]
fn a_step_that_was_not_carried_out_shows_nothing() {
    needs_its_step(EXPECTED);
}
