//! `delivered`: each sidecar shows what it must, within the mesh's bound.

use super::evidence::{Evidence, detail};
use super::timeline::{LastWord, Life, Place, Point, Reading, Timeline, describe};
use crate::oracle::{Expected, Oracle};
use crate::verdict::Detail;

/// Judges what must be there. What must not be there is judged by `confined`.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
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
        check_point(timeline, &point, &mut evidence);
    }
    evidence
}

fn check_point(timeline: &Timeline<'_>, point: &Point, evidence: &mut Evidence) {
    if timeline.is_uncertain(point.last) || timeline.is_refused(point.place) {
        evidence.open(Detail {
            step: point.place.step(),
            ..detail("the configuration to be written", "the write failed")
        });
        return;
    }
    let written = timeline.written_in(point);
    let after = timeline.in_force(point.last);
    let before = match written {
        Some(_) => timeline.before_last_write(point.last),
        None => Oracle::default(),
    };
    for life in timeline.alive(point) {
        let expected = after.expected(life.sidecar);
        let previous = before.expected(life.sidecar);
        let is_concerned = !expected.is_empty() || (written.is_some() && !previous.is_empty());
        if is_concerned {
            let duty = Duty::new(timeline, point, life, written, expected, previous);
            duty.check(evidence);
        }
    }
}

/// What one sidecar owes at one point.
struct Duty<'t, 'a> {
    timeline: &'t Timeline<'a>,
    point: &'t Point,
    life: &'t Life<'a>,
    /// Readings count after this event.
    since: usize,
    deadline_ns: u64,
    expected: Expected,
    previous: Expected,
}

impl<'t, 'a> Duty<'t, 'a> {
    fn new(
        timeline: &'t Timeline<'a>,
        point: &'t Point,
        life: &'t Life<'a>,
        written: Option<usize>,
        expected: Expected,
        previous: Expected,
    ) -> Self {
        let since = timeline.started_in(point).unwrap_or(point.first);
        // A sidecar that has just joined owes nothing earlier than a bound after that.
        let begin_ns = match written {
            Some(written) => timeline.events[written.max(life.joined)].at_ns,
            None => timeline.events[life.joined].at_ns,
        };
        let delivery = u64::try_from(timeline.patience.delivery.0.as_nanos()).unwrap_or(u64::MAX);
        Self {
            timeline,
            point,
            life,
            since,
            deadline_ns: begin_ns.saturating_add(delivery),
            expected,
            previous,
        }
    }

    fn check(&self, evidence: &mut Evidence) {
        let readings: Vec<Reading<'_>> = self
            .timeline
            .readings(self.point, self.life)
            .into_iter()
            .filter(|reading| reading.index >= self.since)
            .collect();
        match readings.last().copied() {
            None => self.never_read(evidence),
            Some(last) if self.holds(last) => self.shown(&readings, evidence),
            Some(last) => self.not_shown(last, evidence),
        }
    }

    fn holds(&self, reading: Reading<'_>) -> bool {
        self.timeline
            .shows(reading.seen, &self.expected, &self.previous)
    }

    /// Readings are recorded when they differ from the last one. Where the runner watched until it gave up and
    /// nothing new came, what was known before is still so.
    fn never_read(&self, evidence: &mut Evidence) {
        let gave_up = self.timeline.gave_up_after(self.point, self.since);
        let (observed, is_wrong, event) = match self.timeline.last_word(self.point, self.life) {
            Some(LastWord::Unreadable(index, reason)) => {
                let is_late = self.timeline.events[index].at_ns >= self.deadline_ns;
                (
                    format!("could not be read until the bound was over: {reason}"),
                    gave_up || (index >= self.since && is_late),
                    Some(index),
                )
            }
            Some(LastWord::Read(known)) => (
                format!("nothing new since {}", known.clock()),
                gave_up && !self.holds(known),
                Some(known.index),
            ),
            None => ("not read".to_owned(), false, None),
        };
        let detail = self.detail(observed, event);
        if is_wrong {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }

    /// The last reading holds: was it in time?
    fn shown(&self, readings: &[Reading<'_>], evidence: &mut Evidence) {
        let wrong = readings.iter().rposition(|reading| !self.holds(*reading));
        let first = &readings[wrong.map_or(0, |wrong| wrong + 1)];
        let is_write = self.timeline.written_in(self.point).is_some();
        if !is_write || first.at_ns <= self.deadline_ns {
            evidence.support(1);
            return;
        }
        let detail = self.detail(format!("only at {}", first.clock()), Some(first.index));
        let was_wrong_too_late = wrong.is_some_and(|w| readings[w].at_ns >= self.deadline_ns);
        if was_wrong_too_late || self.timeline.gave_up_after(self.point, self.since) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }

    fn not_shown(&self, last: Reading<'_>, evidence: &mut Evidence) {
        let observed = self
            .timeline
            .lacks(last.seen, &self.expected)
            .unwrap_or_else(|| "what was there before is still there".to_owned());
        let detail = self.detail(format!("{observed} at {}", last.clock()), Some(last.index));
        if last.at_ns >= self.deadline_ns || self.timeline.gave_up_after(self.point, last.index) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }

    fn detail(&self, observed: String, event: Option<usize>) -> Detail {
        let bound = match self.point.place {
            Place::End => String::new(),
            Place::Given | Place::Step(_) => {
                format!(" within {}", self.timeline.patience.delivery)
            }
        };
        Detail {
            sidecar: Some(self.life.sidecar.name.clone()),
            step: self.point.place.step(),
            expected: format!("{}{bound}", describe(&self.expected)),
            observed,
            event,
        }
    }
}
