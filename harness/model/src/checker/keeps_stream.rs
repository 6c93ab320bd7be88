//! `keeps_stream`: a certificate that is replaced is replaced on the stream on which it came.

use super::evidence::{Evidence, detail, not_carried_out};
use super::renewed::held;
use super::timeline::{Life, Place, Point, Reading, Timeline, precedes};
use crate::history::{CertificateSeen, Observation};
use crate::scenario::Act;
use crate::verdict::Detail;

/// Judges the certificates that sidecars showed from a step on, until the next act that changes something: what is written,
/// broken or replaced may end streams. So may what was broken or rolled out before: who connects again may do it late.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let point = match unshaken(timeline, step) {
        Ok(point) => point,
        Err(open) => {
            evidence.open(open);
            return evidence;
        }
    };
    let end = calm_until(timeline, point.first);
    let in_force = timeline.in_force(point.last);
    for life in timeline.alive(&point) {
        if !in_force.expected(life.at(point.last)).certificate {
            continue;
        }
        let shown = shown(timeline, life, point.first, end);
        judge(life, step, &shown, &mut evidence);
    }
    evidence
}

/// A step before which nothing was broken or rolled out; what is open where there is none.
pub(super) fn unshaken(timeline: &Timeline<'_>, step: usize) -> Result<Point, Detail> {
    let place = Place::Step(step);
    let point = timeline.point(place);
    let point = point.ok_or_else(|| not_carried_out(timeline, place))?;
    if timeline.scenario.when.iter().take(step).any(Act::breaks) {
        return Err(Detail {
            step: Some(step),
            ..detail("nothing broken or rolled out before", "something was")
        });
    }
    Ok(point)
}

/// A reading and the certificate in it.
pub(super) type Shown<'a> = (Reading<'a>, &'a CertificateSeen);

/// The certificates that a sidecar showed between two events, and what it showed when the first one was: readings are recorded
/// when they differ from the last one.
pub(super) fn shown<'a>(
    timeline: &Timeline<'a>,
    life: &Life<'a>,
    first: usize,
    end: usize,
) -> Vec<Shown<'a>> {
    let (before, since): (Vec<_>, Vec<_>) = timeline
        .readings_of(life)
        .filter(|reading| precedes(reading.index, end))
        .partition(|reading| precedes(reading.index, first));
    let last_before = before.last().copied();
    last_before
        .into_iter()
        .chain(since)
        .filter_map(|reading| Some((reading, held(&reading)?)))
        .collect()
}

/// The index of the first event from `first` on of an act that changes something; behind the last one where there is none.
pub(super) fn calm_until(timeline: &Timeline<'_>, first: usize) -> usize {
    let acts = &timeline.scenario.when;
    let act = |step: Option<usize>| step.and_then(|step| acts.get(step));
    let mut events = timeline.events.iter().enumerate().skip(first);
    let change = events.find(|(_, event)| act(event.step).is_some_and(|act| !act.leaves_alone()));
    change.map_or(timeline.events.len(), |(index, _)| index)
}

/// Judges what one sidecar showed. A stream that ended while a certificate was shown ended before the next one came, whichever
/// reading tells it first.
fn judge(life: &Life<'_>, step: usize, shown: &[Shown<'_>], evidence: &mut Evidence) {
    let told = |expected: &str, observed: String| Detail {
        sidecar: Some(life.sidecar.name.clone()),
        step: Some(step),
        ..detail(expected, observed)
    };
    let mut replaced = false;
    // Where the certificate was shown first that is shown now.
    let mut first: Option<Shown<'_>> = None;
    for (reading, certificate) in shown.iter().copied() {
        let Some((since, before)) = first else {
            first = Some((reading, certificate));
            continue;
        };
        let is_other = is_another_process(since.seen, reading.seen);
        if !is_other && before.serial == certificate.serial {
            continue;
        }
        first = Some((reading, certificate));
        if is_other {
            continue;
        }
        let expected = "a new certificate on the stream of the one before";
        match (before.stream_ends, certificate.stream_ends) {
            (Some(then), Some(now)) if then < now => {
                let at = reading.clock();
                let observed = format!(
                    "one at {at}, when streams had ended {now} times in all, and {then} times when the one before came"
                );
                evidence.contradict(Detail {
                    event: Some(reading.index),
                    ..told(expected, observed)
                });
                return;
            }
            (Some(then), Some(now)) if then == now => {
                replaced = true;
                evidence.support(1);
            }
            // Who counts anew is another process.
            (Some(_), Some(_)) => {}
            (None, _) | (_, None) => {
                let untold = "how often its stream has ended is not told".to_owned();
                evidence.open(told(expected, untold));
                return;
            }
        }
    }
    if !replaced {
        let observed = match shown {
            [] => "none was read",
            _ => "none that one process had in another one's place",
        };
        evidence.open(told("a new certificate", observed.to_owned()));
    }
}

/// Who is started anew connects anew: as in another container, whose connections are counted from the beginning.
pub(super) fn is_another_process(before: &Observation, after: &Observation) -> bool {
    before.starts != after.starts || after.stream.epoch < before.stream.epoch
}
