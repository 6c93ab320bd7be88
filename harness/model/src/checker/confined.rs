//! `confined`: no sidecar shows what it must not, and that is proven (`ARCHITECTURE.md`, proof of absence).

use super::evidence::{Evidence, detail, not_carried_out};
use super::proof::{demands, prove};
use super::timeline::{Fate, Life, Point, Reading, Timeline, Write, describe, precedes};
use crate::configuration::OutboundTls;
use crate::directory::Sidecar;
use crate::history::{EventKind, Guard, TlsSeen, offered};
use crate::oracle::Expected;
use crate::verdict::Detail;
use std::collections::{BTreeMap, BTreeSet};

/// Judges what must not be there, at any time, and demands a proof of absence of every sidecar at every point.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    let leaks = find_leaks(timeline, &mut evidence);
    for place in timeline.places() {
        let Some(point) = timeline.point(place) else {
            evidence.open(not_carried_out(timeline, place));
            continue;
        };
        if timeline.alive(&point).next().is_none() {
            evidence.open(Detail {
                step: place.step(),
                ..detail(
                    format!("somebody to be there at {}", place.name(timeline.scenario)),
                    "nobody",
                )
            });
        }
        for life in timeline.alive(&point) {
            for demand in demands(timeline, &point, life) {
                match prove(timeline, &point, life, &demand) {
                    Ok(()) => evidence.support(1),
                    // The leak was told, and that its absence cannot be proven is no news.
                    Err(missing) if missing.follows_from_leak() && leaks.are_in(&point, life) => {}
                    Err(missing) => evidence.open(Detail {
                        sidecar: Some(life.sidecar.name.clone()),
                        step: place.step(),
                        expected: demand.describe(place, timeline.scenario),
                        observed: missing.describe(),
                        event: None,
                    }),
                }
            }
        }
    }
    evidence
}

/// The readings that showed a leak: sidecar and index.
struct Leaks(Vec<(String, usize)>);

impl Leaks {
    fn are_in(&self, point: &Point, life: &Life<'_>) -> bool {
        let Self(leaks) = self;
        leaks
            .iter()
            .any(|(sidecar, index)| *sidecar == life.sidecar.name && point.contains(*index))
    }
}

/// Every reading that shows what is not allowed at its time.
fn find_leaks(timeline: &Timeline<'_>, evidence: &mut Evidence) -> Leaks {
    let mut found = Vec::new();
    let mut known = BTreeSet::new();
    for reading in timeline.all_readings() {
        let step = timeline.events[reading.index].step;
        let Some(life) = timeline.life_of(reading.seen) else {
            evidence.open(Detail {
                sidecar: Some(reading.seen.sidecar.clone()),
                step,
                event: Some(reading.index),
                ..detail(
                    "a reading of a pod that is known",
                    "a reading of an unknown pod",
                )
            });
            continue;
        };
        let allowed = allowed(timeline, life, reading);
        for observed in leaks(timeline, reading, &allowed) {
            found.push((life.sidecar.name.clone(), reading.index));
            if known.insert((life.sidecar.name.clone(), step, observed.clone())) {
                evidence.contradict(Detail {
                    sidecar: Some(life.sidecar.name.clone()),
                    step,
                    expected: allowed
                        .first()
                        .map_or_else(|| "nothing".to_owned(), describe),
                    observed: format!("{observed} at {}", reading.clock()),
                    event: Some(reading.index),
                });
            }
        }
    }
    Leaks(found)
}

/// What a sidecar may show in a reading: what is in force, and around a change what was or will be.
fn allowed(timeline: &Timeline<'_>, life: &Life<'_>, reading: Reading<'_>) -> Vec<Expected> {
    let mut states = vec![timeline.in_force(reading.index)];
    for write in timeline
        .writes
        .iter()
        .filter(|write| precedes(write.started, reading.index))
    {
        match write.fate {
            Fate::Written(written) if precedes(written, reading.index) => {
                if is_settling(timeline, write, written, reading) {
                    states.push(write.before.clone());
                }
            }
            Fate::Written(_) | Fate::Unknown => states.push(write.after.clone()),
            Fate::Refused => {}
        }
    }
    let expected = |sidecar: &Sidecar| -> Vec<Expected> {
        let states = states.iter();
        states.map(|state| state.expected(sidecar)).collect()
    };
    let mut allowed = expected(life.at(reading.index));
    // A replica may have known it by its last address still when it came back.
    if let Some(moved) = life.moved_by(reading.index)
        && reading.at_ns <= deadline_ns(timeline, moved)
    {
        allowed.extend(expected(life.at(moved.saturating_sub(1))));
    }
    allowed
}

/// Until when sidecars may show what was right before an event.
fn deadline_ns(timeline: &Timeline<'_>, index: usize) -> u64 {
    timeline.events[index]
        .at_ns
        .saturating_add(timeline.patience.delivery.as_nanos())
}

/// Whether the state before a write may still be shown: within the bound and before the next act, or for
/// good where the write is one that sidecars reject.
fn is_settling(
    timeline: &Timeline<'_>,
    write: &Write,
    written: usize,
    reading: Reading<'_>,
) -> bool {
    if write
        .step
        .is_some_and(|step| timeline.rejected_steps.contains(&step))
    {
        return true;
    }
    timeline.events[reading.index].step == write.step
        && !is_finished(timeline, reading.index)
        && reading.at_ns <= deadline_ns(timeline, written)
}

fn is_finished(timeline: &Timeline<'_>, index: usize) -> bool {
    timeline.events[..index]
        .iter()
        .any(|event| event.kind == EventKind::Finished)
}

fn leaks(timeline: &Timeline<'_>, reading: Reading<'_>, allowed: &[Expected]) -> Vec<String> {
    let mut leaks = Vec::new();
    for (key, value) in &reading.seen.toggles {
        if !allowed
            .iter()
            .any(|state| state.toggles.get(key) == Some(value))
        {
            leaks.push(format!("toggle `{key}` = `{value}`"));
        }
    }
    let rules = |rules: &BTreeMap<String, String>, words: &str, leaks: &mut Vec<String>| {
        for (name, hash) in rules {
            let is_allowed = |state: &Expected| {
                state
                    .rules
                    .get(name)
                    .is_some_and(|rule| timeline.hashes.agrees(name, rule, hash))
            };
            if !allowed.iter().any(is_allowed) {
                leaks.push(format!("{words} `{name}` ({hash})"));
            }
        }
    };
    rules(&reading.seen.rules, "rule", &mut leaks);
    rules(&reading.seen.warming_rules, "warming rule", &mut leaks);
    if let Some(certificate) = &reading.seen.certificate
        && !allowed.iter().any(|state| state.certificate)
    {
        leaks.push(if certificate.warming {
            "a request for a certificate".to_owned()
        } else {
            format!("a certificate of {}", certificate.identities.join(", "))
        });
    }
    if let Some(tls) = &reading.seen.tls {
        leaks.extend(leaked_modes(tls, allowed));
    }
    leaks
}

/// Everything that a sidecar does about TLS, or waits to do, and is not allowed to.
fn leaked_modes(tls: &TlsSeen, allowed: &[Expected]) -> Vec<String> {
    let modes = || allowed.iter().filter_map(|state| state.modes.as_ref());
    let inbound = |guards: &BTreeSet<Guard>, words: &str| -> Vec<String> {
        let others = guards
            .iter()
            .filter(|guard| !modes().any(|modes| modes.inbound == **guard));
        others
            .map(|guard| format!("{words}{}", guard.describe()))
            .collect()
    };
    let outbound = |offers: &BTreeSet<OutboundTls>, words: &str| -> Vec<String> {
        let others = offers
            .iter()
            .filter(|mode| !modes().any(|modes| modes.outbound == **mode));
        others
            .map(|mode| format!("{words}{}", offered(*mode)))
            .collect()
    };
    [
        inbound(&tls.inbound, ""),
        inbound(&tls.warming_inbound, "warming "),
        outbound(&tls.outbound, ""),
        outbound(&tls.warming_outbound, "warming "),
    ]
    .concat()
}
