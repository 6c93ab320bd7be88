//! `restored`: after going back, every sidecar shows what it showed before, hash for hash.

use super::evidence::{Evidence, detail};
use super::timeline::{LastWord, Life, Place, Reading, Timeline, precedes};
use crate::verdict::Detail;
use crate::words;

/// Compares the last readings of two steps. Something must have been different in between, or nothing was
/// there to be restored.
pub(super) fn check(timeline: &Timeline<'_>, reference: usize, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let name = |step| words::step(step, Some(timeline.scenario));
    let points = (
        timeline.point(Place::Step(reference)),
        timeline.point(Place::Step(step)),
    );
    let (Some(from), Some(to)) = points else {
        evidence.open(detail(
            format!("{} and {} to be carried out", name(reference), name(step)),
            "no event of one of them",
        ));
        return evidence;
    };
    for life in timeline.alive(&to) {
        let detail = |observed: String, event| Detail {
            sidecar: Some(life.sidecar.name.clone()),
            step: Some(step),
            expected: format!("what it showed after {}", name(reference)),
            observed,
            event,
        };
        let before = timeline.readings(&from, life).pop();
        let after = timeline.readings(&to, life).pop();
        match (before, after) {
            (Some(before), Some(after)) => {
                if let Some(difference) = difference(before, after) {
                    let observed = format!("{difference} at {}", after.clock());
                    evidence.contradict(detail(observed, Some(after.index)));
                } else if was_different(timeline, life, before, after) {
                    evidence.support(1);
                }
            }
            (Some(_), None)
                if matches!(
                    timeline.last_word(&to, life),
                    Some(LastWord::Unreadable(..))
                ) && timeline.gave_up_after(&to, to.first) =>
            {
                evidence.contradict(detail(
                    "could not be read until the bound was over".to_owned(),
                    None,
                ));
            }
            _ => evidence.open(detail("not read after both steps".to_owned(), None)),
        }
    }
    evidence
}

fn difference(before: Reading<'_>, after: Reading<'_>) -> Option<String> {
    if before.seen.toggles != after.seen.toggles {
        return Some(format!(
            "toggles {:?} instead of {:?}",
            after.seen.toggles, before.seen.toggles
        ));
    }
    (before.seen.rules != after.seen.rules).then(|| {
        format!(
            "rules {:?} instead of {:?}",
            after.seen.rules, before.seen.rules
        )
    })
}

fn was_different(
    timeline: &Timeline<'_>,
    life: &Life<'_>,
    before: Reading<'_>,
    after: Reading<'_>,
) -> bool {
    timeline
        .readings_of(life)
        .filter(|reading| {
            precedes(before.index, reading.index) && precedes(reading.index, after.index)
        })
        .any(|reading| difference(before, reading).is_some())
}
