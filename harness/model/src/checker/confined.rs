//! `confined`: no sidecar shows what it must not, and that is proven (design, proof of non-delivery).

use super::evidence::{Evidence, detail};
use super::timeline::{Fate, Life, Place, Point, Reading, Timeline, Write, describe};
use crate::history::EventKind;
use crate::oracle::{Expected, Oracle};
use crate::scenario::{Act, CANARY_APPLICATION};
use crate::verdict::Detail;
use std::collections::{BTreeMap, BTreeSet};

/// Judges what must not be there, at any time, and demands a proof of absence of every sidecar at every point.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    find_leaks(timeline, &mut evidence);
    for place in timeline.places() {
        let Some(point) = timeline.point(place) else {
            evidence.open(Detail {
                step: place.step(),
                ..detail(
                    format!("{} to be carried out", place.name()),
                    "no event of it",
                )
            });
            continue;
        };
        for life in timeline.alive(&point) {
            for demand in demands(timeline, &point, life) {
                match prove(timeline, &point, life, &demand) {
                    Ok(()) => evidence.support(1),
                    Err(missing) => evidence.open(Detail {
                        sidecar: Some(life.sidecar.name.clone()),
                        step: place.step(),
                        expected: demand.describe(place),
                        observed: missing.describe(),
                        event: None,
                    }),
                }
            }
        }
    }
    evidence
}

/// Every reading that shows what is not allowed at its time.
fn find_leaks(timeline: &Timeline<'_>, evidence: &mut Evidence) {
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
}

/// What a sidecar may show in a reading: what is in force, and around a change what was or will be.
fn allowed(timeline: &Timeline<'_>, life: &Life<'_>, reading: Reading<'_>) -> Vec<Expected> {
    let mut states = vec![timeline.in_force(reading.index)];
    for write in timeline
        .writes
        .iter()
        .filter(|write| write.started < reading.index)
    {
        match write.fate {
            Fate::Written(written) if written < reading.index => {
                if is_settling(timeline, write, written, reading) {
                    states.push(write.before.clone());
                }
            }
            Fate::Written(_) | Fate::Unknown => states.push(write.after.clone()),
            Fate::Refused => {}
        }
    }
    let expected = |state: &Oracle| state.expected(life.sidecar);
    states.iter().map(expected).collect()
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
    let delivery = u64::try_from(timeline.patience.delivery.0.as_nanos()).unwrap_or(u64::MAX);
    let deadline_ns = timeline.events[written].at_ns.saturating_add(delivery);
    timeline.events[reading.index].step == write.step
        && !is_finished(timeline, reading.index)
        && reading.at_ns <= deadline_ns
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
    leaks
}

/// What a proof must be made of.
struct Demand {
    /// The proof must be on a stream to this replica, if one is named.
    replica: Option<String>,
    /// The marker must have been written after this event.
    marker_after: usize,
    /// The marker must not have been written before this time.
    marker_not_before_ns: u64,
}

impl Demand {
    fn describe(&self, place: Place) -> String {
        match &self.replica {
            Some(replica) => format!(
                "a proof of absence at {} on replica {replica}",
                place.name()
            ),
            None => format!("a proof of absence at {}", place.name()),
        }
    }
}

/// The proofs that are demanded of one sidecar at one point: one, or one on each replica after a reconnect.
fn demands(timeline: &Timeline<'_>, point: &Point, life: &Life<'_>) -> Vec<Demand> {
    let act = point
        .place
        .step()
        .and_then(|step| timeline.scenario.when.get(step));
    let once = |marker_not_before_ns| Demand {
        replica: None,
        marker_after: timeline.written_in(point).unwrap_or(point.first),
        marker_not_before_ns,
    };
    match act {
        Some(Act::Hold(span)) => {
            let span = u64::try_from(span.0.as_nanos()).unwrap_or(u64::MAX);
            let begin_ns = timeline.events[point.first].at_ns;
            vec![once(begin_ns.saturating_add(span))]
        }
        Some(Act::Reconnect) if life.sidecar.application != CANARY_APPLICATION => {
            let replicas = replicas(timeline, point);
            if replicas.is_empty() {
                // Demanded of a replica that nobody named, so that it cannot be met.
                return vec![Demand {
                    replica: Some("?".to_owned()),
                    ..once(0)
                }];
            }
            replicas
                .into_iter()
                .map(|replica| Demand {
                    marker_after: reconnected(timeline, point, life, &replica)
                        .unwrap_or(usize::MAX),
                    replica: Some(replica),
                    marker_not_before_ns: 0,
                })
                .collect()
        }
        _ => vec![once(0)],
    }
}

/// The replicas that sidecars were on or were sent to within a point.
fn replicas(timeline: &Timeline<'_>, point: &Point) -> BTreeSet<String> {
    (point.first..=point.last)
        .filter(|index| point.contains(*index))
        .filter_map(|index| match &timeline.events[index].kind {
            EventKind::Reconnected { replica, .. } => replica.clone(),
            EventKind::Observed(seen) => seen.stream.replica.clone(),
            _ => None,
        })
        .collect()
}

/// When a sidecar was last made to dial a replica within a point.
fn reconnected(
    timeline: &Timeline<'_>,
    point: &Point,
    life: &Life<'_>,
    wanted: &str,
) -> Option<usize> {
    (point.first..=point.last)
        .filter(|index| point.contains(*index))
        .rfind(|index| match &timeline.events[*index].kind {
            EventKind::Reconnected {
                sidecar,
                replica: Some(replica),
            } => *sidecar == life.sidecar.name && replica == wanted,
            _ => false,
        })
}

/// What a proof lacks; the one that got furthest is reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    NotRead,
    Marker { toggle: bool, rule: bool },
    NewMarker,
    Stream,
    InForce,
    Witness(String),
    Warming,
    Whole,
}

impl Missing {
    fn describe(&self) -> String {
        match self {
            Self::NotRead => "(c) not read".to_owned(),
            Self::Stream => "(c) not read on a named stream as demanded".to_owned(),
            Self::InForce => "(c) it is not certain that the payload was in force".to_owned(),
            Self::Marker { toggle, rule } => {
                let word = |is_there: &bool| if *is_there { "seen" } else { "not seen" };
                format!(
                    "(b) marker as toggle {}, as rule {}",
                    word(toggle),
                    word(rule)
                )
            }
            Self::NewMarker => "(b) no marker that was written when it had to be".to_owned(),
            Self::Witness(replica) => format!(
                "(a) the payload was not seen on replica {replica} before the marker was written"
            ),
            Self::Warming => "(d) something is warming".to_owned(),
            Self::Whole => "(e) the reading does not show the whole expected state".to_owned(),
        }
    }
}

fn prove(
    timeline: &Timeline<'_>,
    point: &Point,
    life: &Life<'_>,
    demand: &Demand,
) -> Result<(), Missing> {
    let expected = timeline.in_force(point.last).expected(life.sidecar);
    let mut furthest = Missing::NotRead;
    for reading in timeline.readings(point, life) {
        match prove_by(timeline, demand, &expected, reading) {
            Ok(()) => return Ok(()),
            Err(missing) => furthest = furthest.max(missing),
        }
    }
    Err(furthest)
}

fn prove_by(
    timeline: &Timeline<'_>,
    demand: &Demand,
    expected: &Expected,
    reading: Reading<'_>,
) -> Result<(), Missing> {
    let toggle = marker(
        timeline,
        reading.seen.marker_toggle.as_deref(),
        reading.index,
    );
    let rule = marker(timeline, reading.seen.marker_rule.as_deref(), reading.index);
    let (Some(toggle), Some(rule)) = (toggle, rule) else {
        return Err(Missing::Marker {
            toggle: toggle.is_some(),
            rule: rule.is_some(),
        });
    };
    let marker = toggle.min(rule);
    if marker <= demand.marker_after || timeline.events[marker].at_ns < demand.marker_not_before_ns
    {
        return Err(Missing::NewMarker);
    }
    let replica = reading.replica().ok_or(Missing::Stream)?;
    if demand
        .replica
        .as_ref()
        .is_some_and(|wanted| *wanted != replica)
    {
        return Err(Missing::Stream);
    }
    if timeline.is_uncertain(reading.index) {
        return Err(Missing::InForce);
    }
    let (written, write) = timeline.last_write(reading.index).ok_or(Missing::InForce)?;
    let is_changing = timeline.writes.iter().any(|write| {
        write.started > written && write.started < reading.index && write.fate != Fate::Refused
    });
    if is_changing {
        return Err(Missing::InForce);
    }
    if !is_witnessed(timeline, &replica, (written, write), marker, reading) {
        return Err(Missing::Witness(replica));
    }
    if !reading.seen.warming_rules.is_empty() {
        return Err(Missing::Warming);
    }
    if !timeline.is_exact(reading.seen, expected) {
        return Err(Missing::Whole);
    }
    Ok(())
}

/// When the marker with this value was first written, if that was before `before`.
fn marker(timeline: &Timeline<'_>, value: Option<&str>, before: usize) -> Option<usize> {
    let value = value?;
    timeline.events[..before].iter().position(
        |event| matches!(&event.kind, EventKind::MarkerWritten { marker } if marker == value),
    )
}

/// Whether between the last write and the marker a sidecar on the same replica showed what that write
/// changed for it, and went on showing it. The API server may acknowledge a write after its effect was seen,
/// so its beginning counts.
fn is_witnessed(
    timeline: &Timeline<'_>,
    replica: &str,
    (written, write): (usize, &Write),
    marker: usize,
    proof: Reading<'_>,
) -> bool {
    let before = timeline.before_last_write(written);
    timeline.lives.iter().any(|life| {
        let expected = write.after.expected(life.sidecar);
        if expected == before.expected(life.sidecar) {
            return false;
        }
        let is_exact = |reading: &Reading<'_>| timeline.is_exact(reading.seen, &expected);
        let readings: Vec<Reading<'_>> = timeline
            .readings_of(life)
            .filter(|reading| reading.index > write.started && reading.index < proof.index)
            .collect();
        readings.iter().enumerate().any(|(position, reading)| {
            reading.index < marker
                && reading.seen.stream.replica.as_deref() == Some(replica)
                && readings[position..].iter().all(is_exact)
        })
    })
}
