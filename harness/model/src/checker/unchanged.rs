//! `unchanged`: sidecars that lost their control plane go on with what they have (static stability).

use super::evidence::{Evidence, detail};
use super::fails_over::{Outage, outages};
use super::timeline::{Life, Reading, Timeline};
use crate::verdict::Detail;

/// Compares the readings during each fault with the last one before it, at every sidecar that the fault hit
/// or whose control-plane replica it hit.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    for outage in outages(timeline) {
        for life in &timeline.lives {
            let before = timeline
                .readings_of(life)
                .filter(|reading| reading.index < outage.begin)
                .last();
            if is_hit(&outage, life, before) {
                check_life(timeline, &outage, life, before, &mut evidence);
            }
        }
    }
    evidence
}

fn is_hit(outage: &Outage, life: &Life<'_>, before: Option<Reading<'_>>) -> bool {
    let lived = life.joined < outage.begin && life.left.is_none_or(|left| left > outage.begin);
    let replica = before.and_then(Reading::replica);
    lived
        && (outage.hits.contains(&life.sidecar.name)
            || replica.is_some_and(|replica| outage.hits.contains(&replica)))
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
        .filter(|reading| reading.index > outage.begin && reading.index < outage.end)
        .collect();
    if during.is_empty() {
        evidence.open(detail("not read during the fault".to_owned(), None));
    }
    let has_something = !before.seen.toggles.is_empty() || !before.seen.rules.is_empty();
    for reading in during {
        let is_same = reading.seen.toggles == before.seen.toggles
            && reading.seen.rules == before.seen.rules;
        if !is_same {
            let observed = format!(
                "toggles {:?}, rules {:?} at {}",
                reading.seen.toggles,
                reading.seen.rules,
                reading.clock()
            );
            evidence.contradict(detail(observed, Some(reading.index)));
        } else if has_something {
            evidence.support(1);
        }
    }
}
