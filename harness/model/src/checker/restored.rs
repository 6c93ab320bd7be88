//! `restored`: after going back, every sidecar shows what it showed before, hash for hash, and is set up for TLS as it was.

use super::evidence::{Evidence, detail};
use super::timeline::{LastWord, Life, Place, Reading, Timeline, precedes};
use crate::history::{Guard, Observation, offered};
use crate::verdict::Detail;
use crate::words;
use std::collections::BTreeSet;

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
            (Some(before), Some(after)) if has_another_scope(timeline, life, before, after) => {
                let observed = "at another address, where it must show something else";
                evidence.open(detail(observed.to_owned(), Some(after.index)));
            }
            (Some(before), Some(after)) => {
                if let Some(difference) = difference(before, after) {
                    let observed = format!("{difference} at {}", after.clock());
                    evidence.contradict(detail(observed, Some(after.index)));
                } else if before.seen.tls.is_some() != after.seen.tls.is_some() {
                    let observed = "how it is set up for TLS not told after both steps";
                    evidence.open(detail(observed.to_owned(), Some(after.index)));
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

/// Whether the sidecar got another address between two readings, and with it something else to show.
fn has_another_scope(
    timeline: &Timeline<'_>,
    life: &Life<'_>,
    before: Reading<'_>,
    after: Reading<'_>,
) -> bool {
    let expected = |reading: Reading<'_>| {
        let in_force = timeline.in_force(reading.index);
        in_force.expected(life.at(reading.index))
    };
    life.at(before.index) != life.at(after.index) && expected(before) != expected(after)
}

/// What a sidecar shows otherwise than before, in words.
fn difference(before: Reading<'_>, after: Reading<'_>) -> Option<String> {
    in_force(before.seen, after.seen).or_else(|| warming(before.seen, after.seen))
}

/// What is in force and is otherwise than before. How a sidecar is set up for TLS is compared where both readings tell.
fn in_force(before: &Observation, after: &Observation) -> Option<String> {
    if before.toggles != after.toggles {
        return Some(format!(
            "toggles {:?} instead of {:?}",
            after.toggles, before.toggles
        ));
    }
    if before.rules != after.rules {
        return Some(format!(
            "rules {:?} instead of {:?}",
            after.rules, before.rules
        ));
    }
    let (before, after) = (before.tls.as_ref()?, after.tls.as_ref()?);
    instead(&before.inbound, &after.inbound, Guard::describe)
        .or_else(|| instead(&before.outbound, &after.outbound, |mode| offered(*mode)))
}

/// Modes of TLS that are otherwise than before.
fn instead<T: Ord>(
    before: &BTreeSet<T>,
    after: &BTreeSet<T>,
    describe: impl Fn(&T) -> String,
) -> Option<String> {
    let in_words = |modes: &BTreeSet<T>| {
        if modes.is_empty() {
            return "nothing".to_owned();
        }
        let words: Vec<String> = modes.iter().map(&describe).collect();
        words.join(" and ")
    };
    (before != after).then(|| format!("{} instead of {}", in_words(after), in_words(before)))
}

/// Modes of TLS that only wait to be in force, and were not in force before.
fn warming(before: &Observation, after: &Observation) -> Option<String> {
    let (before, after) = (before.tls.as_ref()?, after.tls.as_ref()?);
    let guards = after.warming_inbound.difference(&before.inbound);
    let offers = after.warming_outbound.difference(&before.outbound);
    let others: Vec<String> = guards
        .map(Guard::describe)
        .chain(offers.copied().map(offered))
        .collect();
    (!others.is_empty()).then(|| format!("warming {}", others.join(" and ")))
}

/// Something else was in force in between.
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
        .any(|reading| in_force(before.seen, reading.seen).is_some())
}
