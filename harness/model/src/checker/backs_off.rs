//! `backs_off`: who is refused while a fault is in force asks again after pauses.

use super::evidence::{Evidence, detail};
use super::renewed::held;
use super::timeline::{Life, Timeline};
use crate::history::{CertificateSeen, EventKind};
use crate::verdict::Detail;
use std::collections::{BTreeMap, BTreeSet};

/// Judges what the part of the mesh has refused between the first count after a fault began and the first one after it ended.
/// `at_most` is what it may refuse in a second for each sidecar that may ask for a new certificate by then.
pub(super) fn check(timeline: &Timeline<'_>, component: &str, at_most: u32) -> Evidence {
    let mut evidence = Evidence::default();
    let mut in_force: BTreeSet<usize> = BTreeSet::new();
    let mut began: Option<Count<'_>> = None;
    let mut is_decided = false;
    let mut idle: Option<Detail> = None;
    for (index, event) in timeline.events.iter().enumerate() {
        match &event.kind {
            EventKind::FaultStarted { fault, .. } => {
                in_force.insert(*fault);
            }
            EventKind::FaultEnded { fault } => {
                in_force.remove(fault);
            }
            EventKind::Refusals {
                component: of,
                pods,
            } if of == component => {
                let count = Count { index, pods };
                match began {
                    None if !in_force.is_empty() => began = Some(count),
                    Some(first) if in_force.is_empty() => {
                        began = None;
                        match judge(timeline, component, at_most, [first, count], &mut evidence) {
                            None => is_decided = true,
                            nobody => idle = nobody,
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        }
    }
    let uncounted = || {
        detail(
            format!(
                "what {component} refuses to be counted when a fault has begun and when it has ended"
            ),
            "it was not",
        )
    };
    if began.is_some() {
        evidence.open(uncounted());
    } else if !is_decided {
        evidence.open(idle.unwrap_or_else(uncounted));
    }
    evidence
}

/// What each pod had refused by an event.
#[derive(Clone, Copy)]
struct Count<'a> {
    index: usize,
    pods: &'a BTreeMap<String, u64>,
}

impl Count<'_> {
    /// How much was refused from this count to the later one; none where a pod is gone or has counted anew since: what it had
    /// refused by then nobody knows.
    fn until(self, later: Self) -> Option<u64> {
        let before = |pod: &String| self.pods.get(pod).copied().unwrap_or(0);
        let is_whole = self.pods.keys().all(|pod| later.pods.contains_key(pod));
        let mut counts = later.pods.iter();
        let refused = counts.try_fold(0_u64, |sum, (pod, now)| {
            sum.checked_add(now.checked_sub(before(pod))?)
        });
        refused.filter(|_| is_whole)
    }
}

/// Whether a new certificate may be asked for between two events: nobody does so in the first two fifths of what is left of a life
/// when the certificate comes. (Agents renew after half of a life; a reading that comes late by up to a sixth of it puts two fifths
/// of what is left no later than that.) Where nobody tells when it ends, it may be; so may be one that took no other one's place,
/// which may have been there for long.
fn may_ask(timeline: &Timeline<'_>, life: &Life<'_>, [first, last]: [usize; 2]) -> bool {
    let now = timeline.events[last].at_ns;
    let mut shown: Option<&CertificateSeen> = None;
    let mut may = true;
    for reading in timeline.readings_of(life) {
        if reading.index > last {
            break;
        }
        let Some(certificate) = held(&reading) else {
            continue;
        };
        let before = shown.replace(certificate);
        if before.is_some_and(|before| before.serial != certificate.serial) {
            // What came meanwhile was asked for meanwhile.
            may = reading.index > first || is_due(certificate, reading.at_ns, now);
        }
    }
    may
}

/// Whether a certificate that was shown first at `since` may be due at `now`.
fn is_due(certificate: &CertificateSeen, since: u64, now: u64) -> bool {
    certificate.valid.is_none_or(|valid| {
        let left = valid.until_ns().saturating_sub(since);
        since.saturating_add(left / 5 * 2) <= now
    })
}

/// Judges what was refused between two counts; the detail says that nobody was, of whom more would be to be said.
fn judge(
    timeline: &Timeline<'_>,
    component: &str,
    at_most: u32,
    [first, last]: [Count<'_>; 2],
    evidence: &mut Evidence,
) -> Option<Detail> {
    let between = &timeline.events[first.index..last.index];
    let began = &timeline.events[first.index];
    let told = |expected: String, observed: String| Detail {
        step: began.step,
        event: Some(last.index),
        ..detail(expected, observed)
    };
    let Some(refused) = first.until(last) else {
        evidence.open(told(
            format!("pods of {component} that go on"),
            "one is gone, or was started anew".to_owned(),
        ));
        return None;
    };
    // Probes that ask for identities are refused, too, and no agent answers for that.
    let is_ours = |kind: &EventKind| matches!(kind, EventKind::Asked { .. });
    let ours = between.iter().filter(|event| is_ours(&event.kind)).count();
    let refused = refused.saturating_sub(u64::try_from(ours).unwrap_or(u64::MAX));
    let in_force = timeline.in_force(last.index);
    let sidecars = timeline
        .alive_at(last.index)
        .filter(|life| in_force.expected(life.at(last.index)).certificate)
        .filter(|life| may_ask(timeline, life, [first.index, last.index]))
        .count();
    let lasted = timeline.events[last.index]
        .at_ns
        .saturating_sub(began.at_ns);
    let may_be = u128::from(at_most)
        .saturating_mul(sidecars as u128)
        .saturating_mul(lasted.into());
    let expected =
        format!("at most {at_most} requests refused a second for each of {sidecars} sidecars");
    if refused == 0 || sidecars == 0 {
        let observed = format!("{refused} refused by {component}: nobody had to back off");
        return Some(told(expected, observed));
    }
    if u128::from(refused).saturating_mul(1_000_000_000) > may_be {
        let millis = lasted / 1_000_000;
        let observed = format!("{refused} refused by {component} in {millis} ms");
        evidence.contradict_times(refused, told(expected, observed));
    } else {
        evidence.support(refused);
    }
    None
}
