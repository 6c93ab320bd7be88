//! `rejected`: the sidecars in scope reject an update and say why, nobody else does, and the status says so.

use super::evidence::{Evidence, detail};
use super::status_is_true;
use super::timeline::{Life, Place, Point, Timeline, precedes};
use crate::scenario::Act;
use crate::verdict::Detail;
use crate::words;

/// Judges the update of one step.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let applied = match timeline.scenario.when.get(step) {
        Some(Act::Apply(configuration)) => Some(configuration),
        _ => None,
    };
    let point = timeline.point(Place::Step(step));
    let (Some(configuration), Some(point)) = (applied, point) else {
        evidence.open(detail(
            format!(
                "{} to apply something",
                words::step(step, Some(timeline.scenario))
            ),
            "it does not",
        ));
        return evidence;
    };
    let Some(written) = timeline.written_in(&point) else {
        evidence.open(Detail {
            step: Some(step),
            ..detail("the update to be written", "it was not")
        });
        return evidence;
    };
    let in_force = timeline.in_force(point.last);
    let status = status_is_true::last_status(timeline, &point, &configuration.name, written);
    let is_in_scope = |life: &Life<'_>| in_force.in_scope(&configuration.name, life.at(point.last));
    if !timeline.alive(&point).any(is_in_scope) {
        evidence.open(Detail {
            step: Some(step),
            ..detail("a sidecar in scope, to reject the update", "nobody is")
        });
    }
    for life in timeline.alive(&point) {
        let name = &life.sidecar.name;
        let detail = |expected: &str, observed: String| Detail {
            sidecar: Some(name.clone()),
            step: Some(step),
            expected: expected.to_owned(),
            observed,
            event: None,
        };
        let started = timeline.started_in(&point);
        let rejections = rejections(timeline, &point, life);
        let was_read = timeline
            .readings(&point, life)
            .iter()
            .any(|reading| started.is_some_and(|started| precedes(started, reading.index)));
        match (is_in_scope(life), rejections.first()) {
            (true, Some(words)) if words.is_empty() => {
                evidence.contradict(detail("a rejection that says why", "no words".to_owned()));
            }
            (true, Some(_)) => match status.map(|status| status.rejected.get(&life.sidecar.pod)) {
                Some(Some(words)) if words.is_empty() => evidence.contradict(detail(
                    "the status to say why it rejects the update",
                    "no words".to_owned(),
                )),
                Some(Some(_)) => evidence.support(1),
                Some(None) => evidence.contradict(detail(
                    "the status to say that it rejects the update",
                    "the status does not name it".to_owned(),
                )),
                None if timeline.gave_up_after(&point, written) => evidence.contradict(detail(
                    "the status to say that it rejects the update",
                    "no status within the bound".to_owned(),
                )),
                None => evidence.open(detail("a status", "none was read".to_owned())),
            },
            (true, None) => {
                let observed = if was_read { "no rejection" } else { "not read" };
                let detail = detail("the update to be rejected", observed.to_owned());
                if timeline.gave_up_after(&point, written) {
                    evidence.contradict(detail);
                } else {
                    evidence.open(detail);
                }
            }
            (false, Some(words)) => evidence.contradict(detail(
                "no rejection, being out of scope",
                format!("rejects with `{words}`"),
            )),
            (false, None) if was_read => evidence.support(1),
            (false, None) => evidence.open(detail("no rejection", "not read".to_owned())),
        }
    }
    evidence
}

/// The words of the rejections that a sidecar shows within a point and did not show before it.
pub(super) fn rejections(timeline: &Timeline<'_>, point: &Point, life: &Life<'_>) -> Vec<String> {
    let Some(started) = timeline.started_in(point) else {
        return Vec::new();
    };
    let earlier = timeline
        .readings_of(life)
        .filter(|reading| precedes(reading.index, started))
        .last()
        .map(|reading| reading.seen.rejected.clone())
        .unwrap_or_default();
    timeline
        .readings(point, life)
        .into_iter()
        .filter(|reading| precedes(started, reading.index))
        .flat_map(|reading| reading.seen.rejected.clone())
        .filter(|(kind, words)| earlier.get(kind) != Some(words))
        .map(|(_, words)| words)
        .collect()
}
