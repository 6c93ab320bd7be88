//! The proof of absence: which ones are demanded at a point, and what each of them needs (`ARCHITECTURE.md`, proof of
//! absence).

use super::timeline::{
    Fate, Life, Place, Point, Reading, Timeline, Write, has_other_modes_warming, precedes,
};
use crate::history::EventKind;
use crate::oracle::Expected;
use crate::scenario::{Act, CANARY_APPLICATION, Scenario};
use std::collections::BTreeSet;

/// What a proof must be made of.
pub(super) struct Demand {
    /// The proof must be on a stream to this replica, if one is named.
    replica: Option<String>,
    /// The proof must be on a stream with at least this epoch.
    epoch: u64,
    /// The marker must have been written after this event.
    marker_after: usize,
    /// The marker must not have been written before this time.
    marker_not_before_ns: u64,
}

impl Demand {
    /// The demand in words.
    pub(super) fn describe(&self, place: Place, scenario: &Scenario) -> String {
        let place = place.name(scenario);
        match &self.replica {
            Some(replica) => format!("a proof of absence at {place} on replica {replica}"),
            None => format!("a proof of absence at {place}"),
        }
    }
}

/// The proofs that are demanded of one sidecar at one point: one, or one on each replica after a reconnect.
pub(super) fn demands(timeline: &Timeline<'_>, point: &Point, life: &Life<'_>) -> Vec<Demand> {
    let act = point
        .place
        .step()
        .and_then(|step| timeline.scenario.when.get(step));
    let once = |marker_not_before_ns| Demand {
        replica: None,
        epoch: 0,
        marker_after: timeline.written_in(point).unwrap_or(point.first),
        marker_not_before_ns,
    };
    match act {
        Some(Act::Hold(span)) => {
            let begin_ns = timeline.events[point.first].at_ns;
            vec![once(begin_ns.saturating_add(span.as_nanos()))]
        }
        Some(Act::Reconnect) if life.sidecar.application != CANARY_APPLICATION => {
            let replicas = replicas(timeline, point, life);
            if replicas.is_empty() {
                // Demanded of a replica that nobody named, so that it cannot be met.
                return vec![Demand {
                    replica: Some("?".to_owned()),
                    ..once(0)
                }];
            }
            replicas
                .into_iter()
                .map(|replica| {
                    let (marker_after, epoch) = reconnected(timeline, point, life, &replica)
                        .unwrap_or((usize::MAX, u64::MAX));
                    Demand {
                        replica: Some(replica),
                        epoch,
                        marker_after,
                        marker_not_before_ns: 0,
                    }
                })
                .collect()
        }
        Some(Act::Recover) => vec![Demand {
            marker_after: once(0)
                .marker_after
                .max(timeline.recovered_in(point).unwrap_or(point.first)),
            ..once(0)
        }],
        _ => vec![once(0)],
    }
}

/// The replicas that sidecars of the same cluster were on or were sent to within a point.
fn replicas(timeline: &Timeline<'_>, point: &Point, life: &Life<'_>) -> BTreeSet<String> {
    let is_beside = |name: &str| {
        timeline.lives.iter().any(|other| {
            other.sidecar.name == name && other.sidecar.cluster == life.sidecar.cluster
        })
    };
    (point.first..=point.last)
        .filter(|index| point.contains(*index))
        .filter_map(|index| match &timeline.events[index].kind {
            EventKind::Reconnected {
                sidecar, replica, ..
            } if is_beside(sidecar) => replica.clone(),
            EventKind::Observed(seen) if is_beside(&seen.sidecar) => seen.stream.replica.clone(),
            _ => None,
        })
        .collect()
}

/// When a sidecar was last made to dial a replica within a point, and the epoch that its streams have from then on.
fn reconnected(
    timeline: &Timeline<'_>,
    point: &Point,
    life: &Life<'_>,
    wanted: &str,
) -> Option<(usize, u64)> {
    (point.first..=point.last)
        .rev()
        .filter(|index| point.contains(*index))
        .find_map(|index| match &timeline.events[index].kind {
            EventKind::Reconnected {
                sidecar,
                replica: Some(replica),
                epoch,
            } if *sidecar == life.sidecar.name && replica == wanted => Some((index, *epoch)),
            _ => None,
        })
}

/// What a proof lacks; the one that got furthest is reported.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Missing {
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
    /// A leak in the same readings explains it.
    pub(super) fn follows_from_leak(&self) -> bool {
        matches!(self, Self::Warming | Self::Whole)
    }

    /// What is missing, in words, with the condition of the design that asks for it.
    pub(super) fn describe(&self) -> String {
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

/// Whether one reading of the sidecar at this point meets the demand.
pub(super) fn prove(
    timeline: &Timeline<'_>,
    point: &Point,
    life: &Life<'_>,
    demand: &Demand,
) -> Result<(), Missing> {
    let expected = timeline.in_force(point.last).expected(life.at(point.last));
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
    if !precedes(demand.marker_after, marker)
        || timeline.events[marker].at_ns < demand.marker_not_before_ns
    {
        return Err(Missing::NewMarker);
    }
    let replica = reading.replica().ok_or(Missing::Stream)?;
    let is_elsewhere = demand
        .replica
        .as_ref()
        .is_some_and(|wanted| *wanted != replica);
    if is_elsewhere || reading.seen.stream.epoch < demand.epoch {
        return Err(Missing::Stream);
    }
    if timeline.is_uncertain(reading.index) {
        return Err(Missing::InForce);
    }
    let (written, write) = timeline.last_write(reading.index).ok_or(Missing::InForce)?;
    let is_changing = timeline.writes.iter().any(|write| {
        precedes(written, write.started)
            && precedes(write.started, reading.index)
            && write.fate != Fate::Refused
    });
    if is_changing {
        return Err(Missing::InForce);
    }
    if !is_witnessed(timeline, &replica, (written, write), marker, reading) {
        return Err(Missing::Witness(replica));
    }
    if !reading.seen.warming_rules.is_empty() || has_other_modes_warming(reading.seen, expected) {
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

/// Whether on the same replica, between the last write and the marker, sidecars showed what that write and
/// those that belong together with it changed for them, and went on showing it. The API server may acknowledge
/// a write after its effect was seen, so its beginning counts.
fn is_witnessed(
    timeline: &Timeline<'_>,
    replica: &str,
    (written, last): (usize, &Write),
    marker: usize,
    proof: Reading<'_>,
) -> bool {
    timeline.writes_together(written).all(|write| {
        timeline.lives.iter().any(|life| {
            let sidecar = life.at(marker);
            let expected = last.after.expected(sidecar);
            let before = write.before.expected(sidecar);
            if expected == before || write.after.expected(sidecar) == before {
                return false;
            }
            let is_exact = |reading: &Reading<'_>| timeline.is_exact(reading.seen, &expected);
            let readings: Vec<Reading<'_>> = timeline
                .readings_of(life)
                .filter(|reading| {
                    precedes(last.started, reading.index) && precedes(reading.index, proof.index)
                })
                .collect();
            readings.iter().enumerate().any(|(position, reading)| {
                precedes(reading.index, marker)
                    && reading.seen.stream.replica.as_deref() == Some(replica)
                    && readings[position..].iter().all(is_exact)
            })
        })
    })
}
