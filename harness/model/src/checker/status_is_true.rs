//! `status_is_true`: what the mesh says about a delivery is what the sidecars show.

use super::evidence::{Evidence, detail};
use super::rejected::rejections;
use super::timeline::{Life, Place, Point, Timeline, precedes};
use crate::history::{DeliveryStatus, EventKind};
use crate::scenario::Act;
use crate::verdict::Detail;
use std::collections::BTreeSet;

/// Compares the last status of every apply with the last readings of that step.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    for (step, act) in timeline.scenario.when.iter().enumerate() {
        if let Act::Apply(configuration) = act {
            check_step(timeline, step, &configuration.name, &mut evidence);
        }
    }
    evidence
}

/// The last status of a configuration within a point, read after this event.
pub(super) fn last_status<'a>(
    timeline: &Timeline<'a>,
    point: &Point,
    wanted: &str,
    after: usize,
) -> Option<&'a DeliveryStatus> {
    let events = timeline.events;
    (after..=point.last)
        .rev()
        .filter(|index| point.contains(*index))
        .find_map(|index| match &events[index].kind {
            EventKind::Status { name, status } if name == wanted => Some(status),
            _ => None,
        })
}

fn check_step(timeline: &Timeline<'_>, step: usize, name: &str, evidence: &mut Evidence) {
    let detail = |expected: &str, observed: String| Detail {
        step: Some(step),
        ..detail(expected, observed)
    };
    let point = timeline.point(Place::Step(step));
    let written = point.as_ref().and_then(|point| timeline.written_in(point));
    let (Some(point), Some(written)) = (point, written) else {
        evidence.open(detail(
            "the configuration to be written",
            "it was not".to_owned(),
        ));
        return;
    };
    let Some(status) = last_status(timeline, &point, name, written) else {
        let detail = detail("a status within the bound", "none".to_owned());
        if timeline.gave_up_after(&point, written) {
            evidence.contradict(detail);
        } else {
            evidence.open(detail);
        }
        return;
    };
    if status.observed_generation != status.generation {
        evidence.contradict(detail(
            &format!("a status of generation {}", status.generation),
            format!("one of generation {}", status.observed_generation),
        ));
        return;
    }
    match Truth::of(timeline, &point, name) {
        Ok(truth) => truth.compare(status, step, evidence),
        Err(unread) => evidence.open(Detail {
            sidecar: Some(unread),
            ..detail("a reading of each sidecar in scope", "none".to_owned())
        }),
    }
}

/// What the sidecars in scope show.
struct Truth {
    in_scope: u64,
    /// Stable names of those that hold it.
    holding: u64,
    /// Stable names of those that neither hold nor reject it.
    without: Vec<String>,
    rejecting_pods: BTreeSet<String>,
}

impl Truth {
    fn of(timeline: &Timeline<'_>, point: &Point, name: &str) -> Result<Self, String> {
        let in_force = timeline.in_force(point.last);
        let mut truth = Self {
            in_scope: 0,
            holding: 0,
            without: Vec::new(),
            rejecting_pods: BTreeSet::new(),
        };
        let started = timeline.started_in(point);
        let concerned: Vec<&Life<'_>> = timeline
            .alive(point)
            .filter(|life| in_force.in_scope(name, life.at(point.last)))
            .collect();
        for life in concerned {
            let last = timeline
                .readings(point, life)
                .pop()
                .filter(|reading| started.is_some_and(|started| precedes(started, reading.index)))
                .ok_or_else(|| life.sidecar.name.clone())?;
            truth.in_scope += 1;
            if !rejections(timeline, point, life).is_empty() {
                truth.rejecting_pods.insert(life.sidecar.pod.clone());
            } else if timeline
                .lacks(last.seen, &in_force.expected(life.at(point.last)))
                .is_none()
            {
                truth.holding += 1;
            } else {
                truth.without.push(life.sidecar.name.clone());
            }
        }
        Ok(truth)
    }

    fn compare(&self, status: &DeliveryStatus, step: usize, evidence: &mut Evidence) {
        let contradict = |evidence: &mut Evidence, expected: String, observed: String| {
            evidence.contradict(Detail {
                sidecar: self.without.first().cloned(),
                step: Some(step),
                ..detail(expected, observed)
            });
        };
        let counts = [
            ("matched", self.in_scope, status.matched),
            ("acknowledged", self.holding, status.acknowledged),
        ];
        for (word, true_count, said) in counts {
            if true_count == said {
                evidence.support(1);
            } else {
                contradict(
                    evidence,
                    format!("{word}: {true_count}, as the sidecars show"),
                    format!("{word}: {said}"),
                );
            }
        }
        let answered = self.holding + u64::try_from(self.rejecting_pods.len()).unwrap_or(u64::MAX);
        if status.delivered < answered || status.delivered > self.in_scope {
            contradict(
                evidence,
                format!("delivered: {answered} to {}", self.in_scope),
                format!("delivered: {}", status.delivered),
            );
        }
        let said: BTreeSet<String> = status.rejected.keys().cloned().collect();
        if said != self.rejecting_pods {
            contradict(
                evidence,
                format!("rejected by {:?}", self.rejecting_pods),
                format!("rejected by {said:?}"),
            );
        }
        for (pod, words) in &status.rejected {
            if words.is_empty() {
                contradict(
                    evidence,
                    format!("the words with which {pod} rejects it"),
                    "none".to_owned(),
                );
            }
        }
    }
}
