//! What must have happened before anything can be proven: that nothing bad was seen says nothing when a fault
//! did not bite, a pod did not come or go, or the history ends early.

use super::evidence::detail;
use super::fails_over::outages;
use super::timeline::{Life, Place, Timeline};
use crate::history::{Event, EventKind};
use crate::scenario::{Act, CANARY_APPLICATION, Rollout};
use crate::verdict::Detail;
use std::collections::BTreeMap;
use std::time::Duration;

/// What the scenario says and the history does not show to have happened.
pub(super) fn lacking(timeline: &Timeline<'_>) -> Vec<Detail> {
    let mut lacking: Vec<Detail> = faults(timeline);
    lacking.extend(ended_early(timeline));
    lacking.extend(failed_writes(timeline));
    for (step, act) in timeline.scenario.when.iter().enumerate() {
        let movement = match act {
            Act::Join {
                application,
                data_center,
            } => joined(timeline, step, application, data_center),
            Act::Leave {
                application,
                data_center,
            } => left(timeline, step, application, data_center),
            Act::Reschedule {
                application,
                from,
                to,
            } => joined(timeline, step, application, to)
                .or_else(|| left(timeline, step, application, from)),
            Act::Withdraw(_) | Act::Offer(_) => service(timeline, step, act),
            Act::Reconnect => reconnected(timeline, step),
            Act::Restart(rollout) => rolled_out(timeline, step, rollout),
            Act::Apply(_) | Act::Delete(_) => written(timeline, step),
            Act::Rotate(_) => rotated(timeline, step),
            _ => None,
        };
        lacking.extend(movement.map(|detail| Detail {
            step: Some(step),
            ..detail
        }));
    }
    if timeline.point(Place::End).is_none() {
        lacking.push(detail(
            "the scenario to be carried out to its end",
            "the history ends before",
        ));
    }
    lacking
}

/// Each fault must have been measured to bite, must have hit somebody, and must be over.
fn faults(timeline: &Timeline<'_>) -> Vec<Detail> {
    let mut lacking = Vec::new();
    let mut started = 0;
    for event in timeline.events {
        match &event.kind {
            EventKind::FaultStarted { hits, .. } => {
                started += 1;
                if hits.is_empty() {
                    lacking.push(detail("every fault to hit somebody", "nobody is hit"));
                }
            }
            EventKind::FaultWithoutEffect { reason, .. } => lacking.push(detail(
                "every fault of the scenario to be measured to bite",
                reason,
            )),
            _ => {}
        }
    }
    let wanted = timeline
        .scenario
        .when
        .iter()
        .filter(|act| matches!(act, Act::Inject(_)))
        .count();
    if started < wanted {
        lacking.push(detail(
            "every fault of the scenario to be measured to bite",
            format!("{started} of {wanted} began"),
        ));
    }
    let ended = outages(timeline).len();
    if ended < started {
        lacking.push(detail(
            "every fault to end",
            format!("{ended} of {started} ended"),
        ));
    }
    lacking
}

/// The API server must have said something to it: what stays as it was says nothing of a write that was not made.
fn written(timeline: &Timeline<'_>, step: usize) -> Option<Detail> {
    let is_answered = of_step(timeline, step).any(|event| {
        matches!(
            event.kind,
            EventKind::Written { .. } | EventKind::WriteFailed { .. }
        )
    });
    (!is_answered).then(|| unacknowledged("it was not"))
}

fn unacknowledged(observed: impl Into<String>) -> Detail {
    detail("what is written to be acknowledged", observed)
}

/// What was to be written, given or in a step, and was refused or not acknowledged.
pub(super) fn failed_writes<'a>(timeline: &'a Timeline<'_>) -> impl Iterator<Item = Detail> + 'a {
    timeline
        .events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::WriteFailed { error, .. } => Some(Detail {
                step: event.step,
                ..unacknowledged(format!("the write failed: {error}"))
            }),
            _ => None,
        })
}

/// The services that were to be taken away or brought back by a step that began, and were not.
pub(super) fn unchanged_services<'a>(
    timeline: &'a Timeline<'_>,
) -> impl Iterator<Item = Detail> + 'a {
    let steps = timeline.scenario.when.iter().enumerate();
    steps.filter_map(move |(step, act)| {
        timeline.point(Place::Step(step))?;
        service(timeline, step, act)
    })
}

fn service(timeline: &Timeline<'_>, step: usize, act: &Act) -> Option<Detail> {
    let (expected, wanted) = match act {
        Act::Withdraw(service) => (
            format!("the service {service} to be taken away"),
            EventKind::Withdrawn {
                service: service.clone(),
            },
        ),
        Act::Offer(service) => (
            format!("the service {service} to be brought back"),
            EventKind::Offered {
                service: service.clone(),
            },
        ),
        _ => return None,
    };
    let is_done = of_step(timeline, step).any(|event| event.kind == wanted);
    (!is_done).then(|| Detail {
        step: Some(step),
        ..detail(expected, not_done(timeline, step))
    })
}

fn rotated(timeline: &Timeline<'_>, step: usize) -> Option<Detail> {
    let is_done =
        of_step(timeline, step).any(|event| matches!(event.kind, EventKind::Rotated { .. }));
    (!is_done).then(|| detail("the rotation to be carried out", "it was not"))
}

fn of_step<'a>(timeline: &Timeline<'a>, step: usize) -> impl Iterator<Item = &'a Event> {
    let events = timeline.events.iter();
    events.filter(move |event| event.step == Some(step))
}

/// Every old pod must have gone and new ones come; and where images were replaced on the way, those that ran before must run
/// again.
fn rolled_out(timeline: &Timeline<'_>, step: usize, rollout: &Rollout) -> Option<Detail> {
    let mut rollouts = 0_usize;
    let mut images: BTreeMap<(&str, &str), (&str, &str)> = BTreeMap::new();
    for event in of_step(timeline, step) {
        let EventKind::RolledOut {
            what,
            gone,
            came,
            images: replaced,
        } = &event.kind
        else {
            continue;
        };
        if what != rollout || gone.is_empty() || came.is_empty() {
            continue;
        }
        rollouts += 1;
        for image in replaced {
            let whose = (image.of.as_str(), image.container.as_str());
            let (_, last) = images.entry(whose).or_insert((&image.from, &image.to));
            *last = &image.to;
        }
    }
    let expected = "the rollout to be complete";
    if rollouts == 0 {
        return Some(detail(expected, not_done(timeline, step)));
    }
    let other = images.iter().find(|(_, (first, last))| first != last);
    other.map(|((of, container), (first, last))| {
        let why = not_done(timeline, step);
        let observed = format!("{why}; {of} was left with {last} for {container}, and had {first}");
        detail(expected, observed)
    })
}

/// That an act was not carried out, and what was waited for in vain.
fn not_done(timeline: &Timeline<'_>, step: usize) -> String {
    let waited = of_step(timeline, step).find_map(|event| match &event.kind {
        EventKind::GaveUp { waited_for, .. } => Some(waited_for),
        _ => None,
    });
    let nothing = "it was not";
    waited.map_or_else(
        || nothing.to_owned(),
        |reason| format!("{nothing}: {reason}"),
    )
}

/// What must be borne must have been there while everything up to the recovery was done.
fn ended_early(timeline: &Timeline<'_>) -> Option<Detail> {
    let is_recovery = |step: usize| matches!(timeline.scenario.when.get(step), Some(Act::Recover));
    timeline
        .lasting_until_recovery()
        .find_map(|(event, lasted)| {
            let mut events = timeline.events.iter();
            let recovery = events
                .find(|later| later.at_ns >= event.at_ns && later.step.is_some_and(is_recovery))?;
            let took = Duration::from_nanos(recovery.at_ns - event.at_ns);
            (took >= lasted.0).then(|| Detail {
                step: event.step,
                ..detail(
                    format!("the fault to last until `recover`, for {lasted}"),
                    format!("what came before took {:.1} s", took.as_secs_f64()),
                )
            })
        })
}

fn is_there(life: &Life<'_>, application: &str, data_center: &str) -> bool {
    life.sidecar.application == application && life.sidecar.data_center == data_center
}

fn joined(
    timeline: &Timeline<'_>,
    step: usize,
    application: &str,
    data_center: &str,
) -> Option<Detail> {
    let has_joined = timeline.lives.iter().any(|life| {
        timeline.events[life.joined].step == Some(step) && is_there(life, application, data_center)
    });
    (!has_joined).then(|| {
        detail(
            format!("one more {application} to join in {data_center}"),
            "none did",
        )
    })
}

/// Canaries stay where they are, one on each replica.
fn reconnected(timeline: &Timeline<'_>, step: usize) -> Option<Detail> {
    let point = timeline.point(Place::Step(step))?;
    let stayed = timeline
        .alive(&point)
        .filter(|life| life.sidecar.application != CANARY_APPLICATION)
        .find(|life| {
            !timeline.events.iter().enumerate().any(|(index, event)| {
                point.contains(index)
                    && matches!(&event.kind, EventKind::Reconnected { sidecar, .. }
                        if *sidecar == life.sidecar.name)
            })
        })?;
    Some(Detail {
        sidecar: Some(stayed.sidecar.name.clone()),
        ..detail("every sidecar to dial anew", "it was not told to")
    })
}

fn left(
    timeline: &Timeline<'_>,
    step: usize,
    application: &str,
    data_center: &str,
) -> Option<Detail> {
    let expected = format!("every {application} to leave {data_center}");
    let mut leaving = timeline
        .lives
        .iter()
        .filter(|life| is_there(life, application, data_center));
    let point = timeline.point(Place::Step(step))?;
    let staying = timeline
        .alive(&point)
        .find(|life| is_there(life, application, data_center));
    if let Some(life) = staying {
        return Some(Detail {
            sidecar: Some(life.sidecar.name.clone()),
            ..detail(expected, "still there")
        });
    }
    let has_left = leaving.any(|life| life.left.is_some_and(|left| point.contains(left)));
    (!has_left).then(|| detail(expected, "nobody left"))
}
