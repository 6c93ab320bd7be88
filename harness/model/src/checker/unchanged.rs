//! `unchanged`: sidecars that lost their control plane go on with what they have (static stability).

use super::evidence::{Evidence, detail};
use super::fails_over::{Outage, outages};
use super::timeline::{Life, Place, Reading, Timeline, precedes};
use crate::verdict::Detail;

/// Compares the readings from the step of each fault on with the last one before that step (the fault bites
/// before it is measured to), at every sidecar that it hit or whose control-plane replica it hit. A sidecar that is another
/// process afterwards has not gone on, whatever it shows by then.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    for outage in outages(timeline) {
        let calm = calm_before(timeline, &outage);
        let mut is_anybody_hit = false;
        for life in &timeline.lives {
            let before = timeline
                .readings_of(life)
                .filter(|reading| precedes(reading.index, calm))
                .last();
            let is_there = precedes(life.joined, calm)
                && life.left.is_none_or(|left| precedes(outage.begin, left));
            if is_there && is_hit(&outage, life, before) {
                is_anybody_hit = true;
                check_life(timeline, &outage, life, before, &mut evidence);
            }
        }
        if !is_anybody_hit {
            evidence.open(detail("a sidecar that the fault hits", "none"));
        }
    }
    evidence
}

/// Where the step of a fault begins, or the fault itself where no step is told.
fn calm_before(timeline: &Timeline<'_>, outage: &Outage) -> usize {
    timeline.events[outage.begin]
        .step
        .and_then(|step| timeline.point(Place::Step(step)))
        .map_or(outage.begin, |point| point.first.min(outage.begin))
}

fn is_hit(outage: &Outage, life: &Life<'_>, before: Option<Reading<'_>>) -> bool {
    let replica = before.and_then(Reading::replica);
    outage.hits.contains(&life.sidecar.name)
        || replica.is_some_and(|replica| outage.hits.contains(&replica))
}

fn check_life(
    timeline: &Timeline<'_>,
    outage: &Outage,
    life: &Life<'_>,
    before: Option<Reading<'_>>,
    evidence: &mut Evidence,
) {
    let detail = |observed: String, event| Detail {
        sidecar: Some(life.sidecar.name.clone()),
        event,
        ..detail("the same configuration as before the fault", observed)
    };
    let Some(before) = before else {
        evidence.open(detail("not read before the fault".to_owned(), None));
        return;
    };
    let during: Vec<Reading<'_>> = timeline
        .readings_of(life)
        .filter(|reading| {
            precedes(before.index, reading.index) && precedes(reading.index, outage.end)
        })
        .collect();
    // Who was started anew has lost what it held, though nobody could read it then: the first reading after the fault tells, too.
    let after = timeline
        .readings_of(life)
        .find(|reading| precedes(outage.end, reading.index));
    let anew = during.iter().copied().chain(after).find(|reading| {
        // Histories from before starts were told have none.
        let starts = (before.seen.starts, reading.seen.starts);
        // Who counts both is in the same container: where that was started anew, the epoch is not greater, too.
        let counts_anew = reading.seen.stream.epoch < before.seen.stream.epoch;
        matches!(starts, (Some(then), Some(now)) if then != now || counts_anew)
    });
    if let Some(reading) = anew {
        let observed = format!(
            "another process by {}, which began with nothing",
            reading.clock()
        );
        evidence.contradict(detail(observed, Some(reading.index)));
        return;
    }
    if !during
        .iter()
        .any(|reading| precedes(outage.begin, reading.index))
    {
        evidence.open(detail("not read during the fault".to_owned(), None));
    }
    // Who holds nothing could lose nothing: it supports nothing.
    let has_something = !before.seen.toggles.is_empty() || !before.seen.rules.is_empty();
    for reading in during {
        let is_same =
            reading.seen.toggles == before.seen.toggles && reading.seen.rules == before.seen.rules;
        if !is_same {
            let observed = format!(
                "toggles {:?}, rules {:?} at {}",
                reading.seen.toggles,
                reading.seen.rules,
                reading.clock()
            );
            evidence.contradict(detail(observed, Some(reading.index)));
        } else if has_something && precedes(outage.begin, reading.index) {
            evidence.support(1);
        }
    }
}
