//! `renewed`: certificates are replaced again and again, each by one of the same sidecar.

use super::evidence::{Evidence, detail};
use super::timeline::{Place, Reading, Timeline, precedes};
use crate::verdict::Detail;
use std::collections::BTreeSet;

/// Judges the certificates that sidecars showed from a step on.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let place = Place::Step(step);
    let Some(point) = timeline.point(place) else {
        evidence.open(Detail {
            step: Some(step),
            ..detail(
                format!("{} to be carried out", place.name(timeline.scenario)),
                "no event of it",
            )
        });
        return evidence;
    };
    let in_force = timeline.in_force(point.last);
    for life in timeline.alive(&point) {
        if !in_force.expected(life.sidecar).certificate {
            continue;
        }
        let told = |expected: &str, observed: String| Detail {
            sidecar: Some(life.sidecar.name.clone()),
            step: Some(step),
            ..detail(expected, observed)
        };
        // Readings are recorded when they differ from the last one: what was shown when the step began counts.
        let is_before = |reading: &Reading<'_>| precedes(reading.index, point.first);
        let before = timeline.readings_of(life).filter(is_before).last();
        let since = timeline
            .readings_of(life)
            .filter(|reading| !is_before(reading));
        let certificates: Vec<_> = before
            .into_iter()
            .chain(since)
            .filter_map(|reading| reading.seen.certificate.as_ref())
            .filter(|certificate| !certificate.warming)
            .collect();
        let own = life.sidecar.identity.as_ref();
        let strange = certificates
            .iter()
            .find(|certificate| certificate.identities.first() != own);
        let serials: BTreeSet<&str> = certificates
            .iter()
            .map(|certificate| certificate.serial.as_str())
            .collect();
        match (strange, serials.len()) {
            (Some(strange), _) => evidence.contradict(told(
                "certificates of its own",
                format!("one of {}", strange.identities.join(", ")),
            )),
            (None, 0) => evidence.open(told("a certificate", "none was read".to_owned())),
            (None, 1) => evidence.contradict(told(
                "a new certificate",
                "the same all the time".to_owned(),
            )),
            (None, several) => evidence.support(u64::try_from(several - 1).unwrap_or(u64::MAX)),
        }
    }
    evidence
}
