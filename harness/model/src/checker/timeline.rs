//! A history put in order: what was in force when, and the points at which it is judged.

mod changes;
mod faults;
mod holding;

pub(super) use changes::{Fate, Life, Write};
pub(super) use holding::{describe, has_other_modes_warming};

use super::evidence::clock;
use super::rule_hashes::RuleHashes;
use crate::directory::Sidecar;
use crate::expectation::Expectation;
use crate::history::{Event, EventKind, Observation};
use crate::oracle::Oracle;
use crate::patience::{Patience, Whose};
use crate::scenario::{Act, Scenario};
use crate::words;
use std::collections::BTreeSet;

/// A history with everything that several checkers ask of it.
pub(super) struct Timeline<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) events: &'a [Event],
    pub(super) patience: &'a Patience,
    pub(super) lives: Vec<Life<'a>>,
    pub(super) writes: Vec<Write>,
    /// What was in force before anything was written.
    pub(super) nothing: Oracle,
    pub(super) hashes: RuleHashes,
    /// The steps whose update is meant to be rejected.
    pub(super) rejected_steps: BTreeSet<usize>,
}

/// A moment at which a scenario is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// After the configurations of *given*.
    Given,
    /// After an act.
    Step(usize),
    /// After all acts.
    End,
}

impl Place {
    pub(super) fn step(self) -> Option<usize> {
        match self {
            Self::Step(step) => Some(step),
            Self::Given | Self::End => None,
        }
    }

    /// In words, with the act of a step.
    pub(super) fn name(self, scenario: &Scenario) -> String {
        match self {
            Self::Given => "given".to_owned(),
            Self::Step(step) => words::step(step, Some(scenario)),
            Self::End => "the end".to_owned(),
        }
    }
}

/// The events that belong to a [`Place`].
pub(super) struct Point {
    pub(super) place: Place,
    pub(super) first: usize,
    pub(super) last: usize,
    indices: Vec<usize>,
}

impl Point {
    pub(super) fn contains(&self, index: usize) -> bool {
        self.indices.binary_search(&index).is_ok()
    }
}

/// What the runner last heard of a sidecar.
pub(super) enum LastWord<'a> {
    /// A reading.
    Read(Reading<'a>),
    /// That it could not be read: the event with this index, and why.
    Unreadable(usize, &'a str),
}

/// One reading of one sidecar with its place in the history.
#[derive(Clone, Copy)]
pub(super) struct Reading<'a> {
    pub(super) index: usize,
    pub(super) at_ns: u64,
    pub(super) seen: &'a Observation,
}

impl Reading<'_> {
    pub(super) fn clock(self) -> String {
        clock(self.at_ns)
    }

    pub(super) fn replica(self) -> Option<String> {
        self.seen.stream.replica.clone()
    }
}

impl<'a> Timeline<'a> {
    pub(super) fn new(scenario: &'a Scenario, events: &'a [Event], patience: &'a Patience) -> Self {
        let rejected_steps = scenario
            .then
            .iter()
            .filter_map(|expectation| match expectation {
                Expectation::Rejected { step } => Some(*step),
                _ => None,
            })
            .collect();
        let nothing = changes::nothing(events);
        let mut timeline = Self {
            scenario,
            events,
            patience,
            lives: changes::lives(events),
            writes: changes::writes(events, &nothing),
            nothing,
            hashes: RuleHashes::default(),
            rejected_steps,
        };
        timeline.hashes = RuleHashes::learn(&timeline);
        timeline
    }

    /// The places at which configuration is judged.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        if !self.scenario.given.configurations.is_empty() {
            places.push(Place::Given);
        }
        for (step, act) in self.scenario.when.iter().enumerate() {
            let is_judged = match act {
                Act::Apply(_) => !self.rejected_steps.contains(&step),
                Act::Delete(_)
                | Act::Join { .. }
                | Act::Leave { .. }
                | Act::Withdraw(_)
                | Act::Offer(_)
                | Act::Restart(_)
                | Act::Reschedule { .. }
                | Act::Reconnect
                | Act::Hold(_)
                | Act::Recover
                | Act::Rotate(_) => true,
                Act::Request(_)
                | Act::Load(_)
                | Act::Stop(_)
                | Act::Inject(_)
                | Act::Ask(_)
                | Act::Handshake(_) => false,
            };
            if is_judged {
                places.push(Place::Step(step));
            }
        }
        places.push(Place::End);
        places
    }

    /// The events of a place; none when it was not reached.
    pub(super) fn point(&self, place: Place) -> Option<Point> {
        let position = |wanted: &EventKind| self.events.iter().position(|e| e.kind == *wanted);
        let indices: Vec<usize> = match place {
            Place::Given => {
                let end = position(&EventKind::StepStarted)
                    .or_else(|| position(&EventKind::Finished))
                    .unwrap_or(self.events.len());
                (0..end).collect()
            }
            Place::Step(step) => (0..self.events.len())
                .filter(|index| self.events[*index].step == Some(step))
                .collect(),
            Place::End => (position(&EventKind::Finished)?..self.events.len()).collect(),
        };
        Some(Point {
            place,
            first: *indices.first()?,
            last: *indices.last()?,
            indices,
        })
    }

    /// The sidecars that were there at the end of a point.
    pub(super) fn alive(&self, point: &Point) -> impl Iterator<Item = &Life<'a>> {
        self.alive_at(point.last)
    }

    /// The sidecars that are there at an event.
    pub(super) fn alive_at(&self, index: usize) -> impl Iterator<Item = &Life<'a>> {
        self.lives
            .iter()
            .filter(move |life| life.joined <= index && life.left.is_none_or(|left| left > index))
    }

    /// All readings of the history, in order.
    pub(super) fn all_readings(&self) -> impl Iterator<Item = Reading<'a>> + use<'a> {
        self.events
            .iter()
            .enumerate()
            .filter_map(|(index, event)| match &event.kind {
                EventKind::Observed(seen) => Some(Reading {
                    index,
                    at_ns: event.at_ns,
                    seen,
                }),
                _ => None,
            })
    }

    /// The readings of one life of a sidecar.
    pub(super) fn readings_of(
        &self,
        life: &Life<'a>,
    ) -> impl Iterator<Item = Reading<'a>> + use<'a> {
        let sidecar = life.sidecar;
        self.all_readings()
            .filter(move |reading| is_of(reading.seen, sidecar))
    }

    /// The readings of one life of a sidecar within a point.
    pub(super) fn readings(&self, point: &Point, life: &Life<'a>) -> Vec<Reading<'a>> {
        self.readings_of(life)
            .filter(|reading| point.contains(reading.index))
            .collect()
    }

    /// The life that a reading is of.
    pub(super) fn life_of(&self, seen: &Observation) -> Option<&Life<'a>> {
        self.lives.iter().find(|life| is_of(seen, life.sidecar))
    }

    /// What is in force right after the event with this index.
    pub(super) fn in_force(&self, index: usize) -> Oracle {
        self.writes
            .iter()
            .filter_map(|write| match write.fate {
                Fate::Written(written) if written <= index => Some((written, write)),
                _ => None,
            })
            .max_by_key(|(written, _)| *written)
            .map_or_else(|| self.nothing.clone(), |(_, write)| write.after.clone())
    }

    /// The last acknowledged write at or before this index, with the index of its acknowledgement.
    pub(super) fn last_write(&self, index: usize) -> Option<(usize, &Write)> {
        self.writes
            .iter()
            .filter_map(|write| match write.fate {
                Fate::Written(written) if written <= index => Some((written, write)),
                _ => None,
            })
            .max_by_key(|(written, _)| *written)
    }

    /// The last acknowledgement of a write within a point.
    pub(super) fn written_in(&self, point: &Point) -> Option<usize> {
        self.last_write(point.last)
            .map(|(written, _)| written)
            .filter(|written| point.contains(*written))
    }

    /// When the last acknowledged write of a point began: what is read from then on can show it.
    pub(super) fn started_in(&self, point: &Point) -> Option<usize> {
        self.last_write(point.last)
            .filter(|(written, _)| point.contains(*written))
            .map(|(_, write)| write.started)
    }

    /// The last acknowledged write at or before this index and the acknowledged ones of the same step before it.
    pub(super) fn writes_together(&self, index: usize) -> impl Iterator<Item = &Write> {
        let step = self.last_write(index).map(|(_, last)| last.step);
        self.writes.iter().filter(move |write| {
            Some(write.step) == step
                && matches!(write.fate, Fate::Written(written) if written <= index)
        })
    }

    /// What was in force before the first of the writes that belong together with the last one.
    pub(super) fn before_last_write(&self, index: usize) -> Oracle {
        self.writes_together(index)
            .next()
            .map_or_else(|| self.nothing.clone(), |write| write.before.clone())
    }

    /// A write began at or before this index whose fate nobody knows.
    pub(super) fn is_uncertain(&self, index: usize) -> bool {
        self.writes
            .iter()
            .any(|write| write.fate == Fate::Unknown && !precedes(index, write.started))
    }

    /// A write of the step was refused by the API server.
    pub(super) fn is_refused(&self, place: Place) -> bool {
        self.writes
            .iter()
            .any(|write| write.fate == Fate::Refused && write.step == place.step())
    }

    /// Why it is not known, or known not to be so, that what a point writes is in force; none when it is.
    pub(super) fn failed_write(&self, point: &Point) -> Option<String> {
        if !self.is_uncertain(point.last) && !self.is_refused(point.place) {
            return None;
        }
        let here = point.indices.iter().rev();
        let error = here
            .into_iter()
            .find_map(|index| match &self.events[*index].kind {
                EventKind::WriteFailed { error, .. } => Some(error),
                _ => None,
            });
        Some(match error {
            Some(error) => format!("the write failed: {error}"),
            None => "not certain: an earlier write failed or has no outcome".to_owned(),
        })
    }

    /// The runner waited for the mesh within the point until the mesh's bound was over, after this index.
    pub(super) fn gave_up_after(&self, point: &Point, index: usize) -> bool {
        let is_over = |kind: &EventKind| {
            matches!(
                kind,
                EventKind::GaveUp {
                    whose: Whose::Mesh,
                    ..
                }
            )
        };
        point
            .indices
            .iter()
            .any(|at| precedes(index, *at) && is_over(&self.events[*at].kind))
    }

    /// What was last heard of a sidecar up to the end of a point, in whichever step.
    pub(super) fn last_word(&self, point: &Point, life: &Life<'a>) -> Option<LastWord<'a>> {
        self.last_word_at(point.last, life)
    }

    /// What was last heard of a sidecar up to an event.
    pub(super) fn last_word_at(&self, last: usize, life: &Life<'a>) -> Option<LastWord<'a>> {
        let events = self.events;
        (life.joined..=last)
            .rev()
            .find_map(|index| match &events[index].kind {
                EventKind::Observed(seen) if is_of(seen, life.sidecar) => {
                    Some(LastWord::Read(Reading {
                        index,
                        at_ns: events[index].at_ns,
                        seen,
                    }))
                }
                EventKind::ObservationFailed { sidecar, reason }
                    if *sidecar == life.sidecar.name =>
                {
                    Some(LastWord::Unreadable(index, reason))
                }
                _ => None,
            })
    }
}

/// Whether one event comes before another. What is compared are events of different kinds, which never share
/// an index.
pub(super) fn precedes(earlier: usize, later: usize) -> bool {
    (..later).contains(&earlier)
}

fn is_of(seen: &Observation, sidecar: &Sidecar) -> bool {
    seen.pod_uid == sidecar.pod_uid && seen.sidecar == sidecar.name
}
