//! Histories of batches that are refused by sidecars that count whom they turn away.

use super::requests::{TRAFFIC, assert_told, batch, expecting, finding, recorder};
use crate::expectation::Expectation;
use crate::history::{Event, EventKind, RefusalCause};
use crate::testing::Recorder;
use crate::verdict::{Finding, Verdict};
use rstest::rstest;
use std::collections::BTreeMap;

const ONE: &str = "checkout@zone1";
const OTHER: &str = "checkout@zone2";

/// What sidecars say that they have turned away.
type Counts<'a> = &'a [(&'a str, u64)];

/// The batch that they say it of, and the cause.
type Of<'a> = (&'a str, RefusalCause);

/// The causes that a caller is told nothing of, where it sends bytes.
const SILENT: [RefusalCause; 2] = [RefusalCause::Plaintext, RefusalCause::NotAllowed];

/// Nobody tells it where there are none.
fn count(recorder: &mut Recorder, (traffic, because): Of<'_>, counts: Counts<'_>) {
    if !counts.is_empty() {
        recorder.push(EventKind::TurnedAway {
            traffic: traffic.to_owned(),
            because,
            sidecars: counts
                .iter()
                .map(|(sidecar, count)| ((*sidecar).to_owned(), *count))
                .collect(),
        });
    }
}

/// A batch of one request that was refused for this cause, between two counts `of` something.
fn judged(cause: RefusalCause, of: Of<'_>, [before, after]: [Counts<'_>; 2]) -> Finding {
    let mut recorder = recorder();
    count(&mut recorder, of, before);
    recorder.request(0, |request| {
        request.status = Some(503);
        request.cause = Some(cause);
    });
    count(&mut recorder, of, after);
    let expectation = Expectation::Refused {
        traffic: TRAFFIC.to_owned(),
        because: cause,
    };
    finding(&expecting(vec![batch(1)], expectation), &recorder)
}

#[rstest]
#[case::one_has(&[(ONE, 0), (OTHER, 3)], &[(ONE, 1), (OTHER, 3)], None)]
#[case::one_has_and_another_does_not_tell(&[(ONE, 0), (OTHER, 3)], &[(ONE, 1)], None)]
#[case::none_has(&[(ONE, 2), (OTHER, 3)], &[(ONE, 2), (OTHER, 3)], Some("none has: somebody"))]
#[case::one_was_started_anew(&[(ONE, 2)], &[(ONE, 0)], Some("none tells"))]
#[case::one_was_not_there_before(&[(ONE, 2)], &[(ONE, 2), (OTHER, 3)], Some("none has that tells"))]
#[case::one_does_not_tell_afterwards(&[(ONE, 2), (OTHER, 3)], &[(ONE, 2)], Some("none has that tells"))]
#[case::another_tells_afterwards(&[(ONE, 2)], &[(OTHER, 3)], Some("none tells"))]
#[case::not_told_afterwards(&[(ONE, 2)], &[], Some("counted once"))]
#[case::not_told_before(&[], &[(ONE, 2)], Some("counted once"))]
fn who_crashes_does_not_refuse(
    #[case] before: &[(&str, u64)],
    #[case] after: &[(&str, u64)],
    #[case] open: Option<&str>,
) {
    let counts = [before, after];
    for cause in SILENT {
        let found = judged(cause, (TRAFFIC, cause), counts);
        match open {
            None => assert_eq!(found.verdict, Verdict::Passed, "{found:#?}"),
            Some(words) => {
                assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
                assert!(found.details[0].observed.contains(words), "{found:#?}");
            }
        }
    }
    // An alert of TLS says by itself who has refused.
    let of_plaintext = (TRAFFIC, RefusalCause::Plaintext);
    let found = judged(RefusalCause::Untrusted, of_plaintext, counts);
    assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
}

/// Who turns plaintext away has not looked at its list by that, nor the other way round.
#[test]
fn what_was_turned_away_for_another_cause_does_not_count() {
    for [cause, other] in [SILENT, [SILENT[1], SILENT[0]]] {
        let mut recorder = recorder();
        let counted: [(RefusalCause, [u64; 2]); 2] = [(cause, [1, 1]), (other, [0, 5])];
        for (because, [before, _]) in counted {
            count(&mut recorder, (TRAFFIC, because), &[(ONE, before)]);
        }
        recorder.request(0, |request| {
            request.status = Some(503);
            request.cause = Some(cause);
        });
        for (because, [_, after]) in counted {
            count(&mut recorder, (TRAFFIC, because), &[(ONE, after)]);
        }
        let expectation = Expectation::Refused {
            traffic: TRAFFIC.to_owned(),
            because: cause,
        };
        let found = finding(&expecting(vec![batch(1)], expectation), &recorder);
        assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
        assert_told(&found, Some("none has: somebody"));
    }
}

#[test]
fn what_was_counted_before_causes_were_told_is_of_plaintext() {
    let stored = serde_json::json!({
        "atNs": 1, "event": "turnedAway", "traffic": TRAFFIC, "sidecars": { ONE: 2 },
    });
    let event: Event = serde_json::from_value(stored).expect("it is read as ever");
    let sidecars = BTreeMap::from([(ONE.to_owned(), 2)]);
    let of_plaintext = EventKind::TurnedAway {
        traffic: TRAFFIC.to_owned(),
        because: RefusalCause::Plaintext,
        sidecars,
    };
    assert_eq!(event.kind, of_plaintext);
}

/// Those that could be read the one time tell nothing where that is not recorded: it is known how connections ended.
#[rstest]
#[case::both_times(2, Some("none tells"))]
#[case::once(1, None)]
fn where_nobody_could_be_read_before_and_after_nothing_is_decided(
    #[case] times: usize,
    #[case] open: Option<&str>,
) {
    let mut recorder = recorder();
    recorder.request(0, |request| {
        request.status = Some(503);
        request.cause = Some(RefusalCause::Plaintext);
    });
    for _ in 0..times {
        recorder.push(EventKind::TurnedAway {
            traffic: TRAFFIC.to_owned(),
            because: RefusalCause::Plaintext,
            sidecars: BTreeMap::new(),
        });
    }
    let expectation = Expectation::Refused {
        traffic: TRAFFIC.to_owned(),
        because: RefusalCause::Plaintext,
    };
    let found = finding(&expecting(vec![batch(1)], expectation), &recorder);
    let observed = found.details.first().map(|detail| detail.observed.as_str());
    match open {
        None => assert_eq!(found.verdict, Verdict::Passed, "{found:#?}"),
        Some(words) => {
            assert_eq!(found.verdict, Verdict::Inconclusive, "{found:#?}");
            assert!(observed.is_some_and(|observed| observed.contains(words)));
        }
    }
}

#[test]
fn where_nobody_counts_it_is_told_by_how_connections_end() {
    let nothing: Counts<'_> = &[];
    let something: Counts<'_> = &[(ONE, 2)];
    for cause in SILENT {
        for (of, told) in [(TRAFFIC, nothing), ("another", something)] {
            let found = judged(cause, (of, cause), [told, told]);
            assert_eq!(found.verdict, Verdict::Passed, "{found:#?}");
        }
    }
}
