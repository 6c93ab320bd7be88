//! `rotated`: after an operator's act every certificate leads to what is new, in time.

use super::evidence::{Evidence, detail};
use super::timeline::{Life, Place, Point, Reading, Timeline, precedes};
use crate::history::{CertificateSeen, EventKind};
use crate::rotation::{LedTo, Rotation};
use crate::scenario::Act;
use crate::verdict::Detail;
use std::collections::{BTreeMap, BTreeSet};

/// Judges the certificates that sidecars showed last in the step.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let place = Place::Step(step);
    let point = timeline.point(place);
    let rotated = timeline.events.iter().position(|event| {
        event.step == Some(step) && matches!(event.kind, EventKind::Rotated { .. })
    });
    let (Some(Act::Rotate(rotation)), Some(point), Some(rotated)) =
        (timeline.scenario.when.get(step), point, rotated)
    else {
        evidence.open(Detail {
            step: Some(step),
            ..detail(
                format!("{} to be carried out", place.name(timeline.scenario)),
                "it was not",
            )
        });
        return evidence;
    };
    let judge = Judge {
        timeline,
        step,
        rotation,
        rotated,
        point,
    };
    judge.check(&mut evidence);
    evidence
}

struct Judge<'t, 'a> {
    timeline: &'t Timeline<'a>,
    step: usize,
    rotation: &'t Rotation,
    /// The acknowledgement.
    rotated: usize,
    point: Point,
}

impl<'a> Judge<'_, 'a> {
    fn check(&self, evidence: &mut Evidence) {
        let before = self.before();
        let in_force = self.timeline.in_force(self.point.last);
        let mut roots: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for life in self.timeline.alive(&self.point) {
            if !in_force.expected(life.at(self.point.last)).certificate {
                continue;
            }
            let told = |expected: &str, observed: String| Detail {
                sidecar: Some(life.sidecar.name.clone()),
                step: Some(self.step),
                ..detail(expected, observed)
            };
            let Some(before) = before.get(life.sidecar.cluster.as_str()) else {
                evidence.open(told("a certificate before", "none was read".to_owned()));
                continue;
            };
            let Some((reading, certificate)) = self.last(life) else {
                evidence.open(told("a certificate afterwards", "none was read".to_owned()));
                continue;
            };
            match before.lacking(self.rotation, certificate) {
                None => {
                    evidence.support(1);
                    let all = roots.entry(&life.sidecar.cluster).or_default();
                    all.extend(certificate.root.as_deref());
                }
                Some((expected, observed)) => {
                    let observed = format!("{observed}, at {}", reading.clock());
                    let detail = told(expected, observed);
                    if self.is_over(reading) {
                        evidence.contradict(detail);
                    } else {
                        evidence.open(detail);
                    }
                }
            }
        }
        for (cluster, roots) in roots.iter().filter(|(_, roots)| roots.len() > 1) {
            evidence.contradict(Detail {
                step: Some(self.step),
                ..detail(
                    "certificates that all lead to one root",
                    format!("{} roots in cluster {cluster}", roots.len()),
                )
            });
        }
    }

    /// By cluster, from what each sidecar that was there had shown last when the act was acknowledged.
    fn before(&self) -> BTreeMap<&'a str, LedTo> {
        let mut before: BTreeMap<&str, LedTo> = BTreeMap::new();
        for life in self.timeline.alive_at(self.rotated) {
            let readings = self.timeline.readings_of(life);
            let shown = readings
                .filter(|reading| precedes(reading.index, self.rotated))
                .filter_map(|reading| reading.seen.certificate.as_ref())
                .filter(|certificate| !certificate.warming)
                .last();
            if let Some(shown) = shown {
                let all = before.entry(life.sidecar.cluster.as_str()).or_default();
                all.note(shown);
            }
        }
        before
    }

    /// What a sidecar showed last in the step. A reading from before the act says nothing of it.
    fn last(&self, life: &Life<'a>) -> Option<(Reading<'a>, &'a CertificateSeen)> {
        let readings = self.timeline.readings_of(life);
        readings
            .filter(|reading| precedes(self.rotated, reading.index))
            .filter(|reading| !precedes(self.point.last, reading.index))
            .filter_map(|reading| Some((reading, reading.seen.certificate.as_ref()?)))
            .filter(|(_, certificate)| !certificate.warming)
            .last()
    }

    /// The mesh's time was over when this was read, or nothing else was read until it was over.
    fn is_over(&self, reading: Reading<'_>) -> bool {
        let bound = self.timeline.patience.rotation.as_nanos();
        let deadline_ns = self.timeline.events[self.rotated]
            .at_ns
            .saturating_add(bound);
        reading.at_ns >= deadline_ns || self.timeline.gave_up_after(&self.point, self.rotated)
    }
}
