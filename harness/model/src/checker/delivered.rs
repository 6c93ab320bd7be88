//! `delivered`: each sidecar shows what it must, within the mesh's bound.

use super::evidence::{Evidence, detail, not_carried_out};
use super::timeline::{LastWord, Life, Place, Point, Reading, Timeline, describe, precedes};
use crate::oracle::Expected;
use crate::verdict::Detail;

/// Judges what must be there. What must not be there is judged by `confined`.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    for place in timeline.places() {
        let Some(point) = timeline.point(place) else {
            evidence.open(not_carried_out(timeline, place));
            continue;
        };
        check_point(timeline, &point, &mut evidence);
    }
    evidence
}

fn check_point(timeline: &Timeline<'_>, point: &Point, evidence: &mut Evidence) {
    if let Some(failed) = timeline.failed_write(point) {
        evidence.open(Detail {
            step: point.place.step(),
            ..detail("the configuration to be written", failed)
        });
        return;
    }
    let written = timeline.written_in(point);
    let after = timeline.in_force(point.last);
    let before = match written {
        Some(_) => timeline.before_last_write(point.last),
        None => timeline.nothing.clone(),
    };
    let mut is_anybody_concerned = false;
    for life in timeline.alive(point) {
        let sidecar = life.at(point.last);
        let expected = after.expected(sidecar);
        let previous = before.expected(sidecar);
        let is_concerned = !expected.is_empty() || (written.is_some() && !previous.is_empty());
        if is_concerned {
            is_anybody_concerned = true;
            let duty = Duty::new(timeline, point, life, written, expected, previous);
            duty.check(evidence);
        }
    }
    if written.is_some() && !is_anybody_concerned {
        evidence.open(Detail {
            step: point.place.step(),
            ..detail("somebody to deliver it to", "nobody")
        });
    }
}

/// What one sidecar owes at one point.
struct Duty<'t, 'a> {
    timeline: &'t Timeline<'a>,
    point: &'t Point,
    life: &'t Life<'a>,
    /// Something was written at this point.
    is_write: bool,
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
        // What it showed at another address says nothing of what it shows now.
        let moved = life.moved_by(point.last);
        let came = moved.unwrap_or(life.joined);
        let delivery = timeline.patience.delivery;
        // A sidecar that has just joined, or has another address, owes nothing earlier than a bound after that, and what a fault
        // may have taken nothing earlier than the other bound after the fault's end.
        let begin = life.joined.max(point.first);
        let (begin_ns, bound) = match (written, timeline.end_of_fault_at(begin)) {
            (Some(written), _) => (timeline.events[written.max(came)].at_ns, delivery),
            (None, Some(end_ns)) => (end_ns, timeline.patience.recovery),
            (None, None) => (timeline.events[came].at_ns, delivery),
        };
        Self {
            timeline,
            point,
            life,
            is_write: written.is_some(),
            since: since.max(moved.unwrap_or(0)),
            deadline_ns: begin_ns.saturating_add(bound.as_nanos()),
            expected,
            previous,
        }
    }

    fn check(&self, evidence: &mut Evidence) {
        let readings: Vec<Reading<'_>> = self
            .timeline
            .readings(self.point, self.life)
            .into_iter()
            .filter(|reading| precedes(self.since, reading.index))
            .collect();
        match readings.last().copied() {
            None => self.never_read(evidence),
            Some(last) if !self.holds(last) => self.not_shown(last, evidence),
            Some(_) if self.is_write => self.shown(&readings, evidence),
            Some(_) => self.kept(&readings, evidence),
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
                    gave_up || (precedes(self.since, index) && is_late),
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

    /// Nothing was written and the last reading holds: it must have held all the time.
    fn kept(&self, readings: &[Reading<'_>], evidence: &mut Evidence) {
        let grace_ns = self.grace_ns(readings);
        let lost = readings
            .iter()
            .find(|reading| reading.at_ns >= grace_ns && !self.holds(**reading));
        match lost {
            None => evidence.support(1),
            Some(lost) => evidence.contradict(self.wrong(*lost)),
        }
    }

    /// From when on it must hold what it holds at the end, where nothing was written: who is new has the mesh's
    /// bound from its first reading on, what a fault has hit the other one from its end on, and who has another address is as
    /// new where no fault has ended.
    fn grace_ns(&self, readings: &[Reading<'_>]) -> u64 {
        let patience = self.timeline.patience;
        let (begin_ns, bound) = if self.point.contains(self.life.joined) {
            (readings[0].at_ns, patience.delivery)
        } else if let Some(recovered) = self.timeline.recovered_in(self.point) {
            (self.timeline.events[recovered].at_ns, patience.recovery)
        } else if self.has_moved() {
            (readings[0].at_ns, patience.delivery)
        } else {
            return 0;
        };
        begin_ns.saturating_add(bound.as_nanos())
    }

    fn has_moved(&self) -> bool {
        let moved = self.life.moved_by(self.point.last);
        moved.is_some_and(|moved| self.point.contains(moved))
    }

    /// The last reading holds: was it in time?
    fn shown(&self, readings: &[Reading<'_>], evidence: &mut Evidence) {
        let wrong = readings.iter().rposition(|reading| !self.holds(*reading));
        let first = &readings[wrong.map_or(0, |wrong| wrong + 1)];
        // Who was right before the write and was never seen otherwise need not be read in time.
        let was_right_all_the_time = || wrong.is_none() && self.held_before();
        if first.at_ns <= self.deadline_ns || was_right_all_the_time() {
            evidence.support(1);
            return;
        }
        let detail = self.detail(
            format!("shown too late, at {}", first.clock()),
            Some(first.index),
        );
        let was_wrong_too_late = wrong.is_some_and(|w| readings[w].at_ns >= self.deadline_ns);
        if was_wrong_too_late || self.timeline.gave_up_after(self.point, self.since) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }

    fn held_before(&self) -> bool {
        self.timeline
            .readings_of(self.life)
            .filter(|reading| precedes(reading.index, self.since))
            .filter(|reading| self.life.at(reading.index) == self.life.at(self.point.last))
            .last()
            .is_some_and(|reading| self.holds(reading))
    }

    fn not_shown(&self, last: Reading<'_>, evidence: &mut Evidence) {
        let detail = self.wrong(last);
        if last.at_ns >= self.deadline_ns || self.timeline.gave_up_after(self.point, last.index) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
    }

    /// What is wrong with a reading that does not hold.
    fn wrong(&self, reading: Reading<'_>) -> Detail {
        let difference = self
            .timeline
            .difference(reading.seen, &self.expected, &self.previous);
        let observed = format!("{} at {}", difference.observed, reading.clock());
        self.detail_of(difference.expected, observed, Some(reading.index))
    }

    fn detail(&self, observed: String, event: Option<usize>) -> Detail {
        self.detail_of(describe(&self.expected), observed, event)
    }

    fn detail_of(&self, expected: String, observed: String, event: Option<usize>) -> Detail {
        let bound = match self.point.place {
            Place::End => String::new(),
            Place::Given | Place::Step(_) => {
                format!(" within {}", self.timeline.patience.delivery)
            }
        };
        Detail {
            sidecar: Some(self.life.sidecar.name.clone()),
            step: self.point.place.step(),
            expected: format!("{expected}{bound}"),
            observed,
            event,
        }
    }
}
