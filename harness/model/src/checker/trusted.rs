//! `trusted` and `same_root`: what certificates lead to, over the whole history.

use super::evidence::{Evidence, detail};
use super::published;
use super::timeline::{Life, Reading, Timeline};
use crate::history::CertificateSeen;
use crate::verdict::Detail;
use std::collections::BTreeMap;

/// Every certificate leads to a root that its own sidecar and all others of the cluster trust at that time, and what is published
/// after an act of an operator is what they trust.
///
/// A reading that shows no trust in a root contradicts only where a certificate that leads to this root was shown by
/// somebody both before and after it: what happened in the moments between two readings nobody knows.
pub(super) fn check(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    let shown: Vec<Shown<'_, '_>> = timeline
        .lives
        .iter()
        .map(|life| Shown::of(timeline, life))
        .filter(|shown| !shown.readings.is_empty())
        .collect();
    for one in &shown {
        // One deviation of a sidecar tells all of them.
        match one.deviation(&shown) {
            Ok(observations) => evidence.support(observations),
            Err(deviation) => evidence.contradict(deviation),
        }
        one.note_unread_roots(&mut evidence);
    }
    published::check(timeline, &mut evidence);
    evidence
}

/// All certificates lead to one root and have one issuer, in each cluster. Roots come by a secret of their own: a reading that
/// shows none yet does not tell what a certificate leads to.
pub(super) fn same_root(timeline: &Timeline<'_>) -> Evidence {
    let mut evidence = Evidence::default();
    let mut first: BTreeMap<&str, (&str, &str)> = BTreeMap::new();
    for life in &timeline.lives {
        let shown = Shown::of(timeline, life);
        shown.note_unread_roots(&mut evidence);
        for (reading, held) in shown.readings {
            if held.roots.is_empty() {
                continue;
            }
            let told = |observed: String| Detail {
                sidecar: Some(life.sidecar.name.clone()),
                step: timeline.events[reading.index].step,
                ..detail(
                    "a certificate of the same issuer below the same root",
                    observed,
                )
            };
            let (Some(root), Some(issuer)) = (held.root.as_deref(), held.issuer.as_deref()) else {
                let none = "one that leads to no root that the sidecar trusts";
                evidence.contradict(told(format!("{none}, at {}", reading.clock())));
                break;
            };
            let known = first.entry(&life.sidecar.cluster).or_insert((root, issuer));
            if *known == (root, issuer) {
                evidence.support(1);
            } else {
                evidence.contradict(told(format!("of another one, at {}", reading.clock())));
                break;
            }
        }
    }
    evidence
}

/// The certificates that one life of a sidecar showed.
struct Shown<'t, 'a> {
    life: &'t Life<'a>,
    readings: Vec<(Reading<'a>, &'a CertificateSeen)>,
}

impl<'t, 'a> Shown<'t, 'a> {
    fn of(timeline: &'t Timeline<'a>, life: &'t Life<'a>) -> Self {
        let readings = timeline.readings_of(life);
        let readings = readings
            .filter_map(|reading| Some((reading, reading.seen.certificate.as_ref()?)))
            .filter(|(_, held)| !held.warming)
            .collect();
        Self { life, readings }
    }

    /// Nothing is known of a sidecar that showed certificates and never a root.
    fn note_unread_roots(&self, evidence: &mut Evidence) {
        if !self.readings.is_empty() && self.readings.iter().all(|(_, held)| held.roots.is_empty())
        {
            evidence.open(Detail {
                sidecar: Some(self.life.sidecar.name.clone()),
                ..detail("roots that the sidecar trusts", "none were read")
            });
        }
    }

    /// How often this sidecar was seen to trust what others and itself showed; or when it did not.
    fn deviation(&self, all: &[Shown<'_, '_>]) -> Result<u64, Detail> {
        let mut observations = 0;
        for (reading, held) in &self.readings {
            if held.roots.is_empty() {
                continue;
            }
            let told = |expected: String, observed: &str| Detail {
                sidecar: Some(self.life.sidecar.name.clone()),
                ..detail(expected, format!("{observed}, at {}", reading.clock()))
            };
            if held.root.is_none() {
                return Err(told(
                    "a certificate that leads to a root that the sidecar trusts".to_owned(),
                    "it leads to none of them",
                ));
            }
            let beside = all
                .iter()
                .filter(|other| other.life.sidecar.cluster == self.life.sidecar.cluster);
            for other in beside {
                let Some(root) = other.leads_to(reading.index) else {
                    continue;
                };
                if !held.roots.contains(root) {
                    let whose = &other.life.sidecar.name;
                    return Err(told(
                        format!("trust in the root that the certificate of {whose} leads to"),
                        "none",
                    ));
                }
                observations += 1;
            }
        }
        Ok(observations)
    }

    /// The root that its certificate led to both before and after an event; none where that is not known.
    fn leads_to(&self, index: usize) -> Option<&'a str> {
        let later = self
            .readings
            .partition_point(|(reading, _)| reading.index <= index);
        let before = self.readings.get(later.checked_sub(1)?)?.1;
        let after = self.readings.get(later)?.1;
        let root = before.root.as_deref()?;
        (after.root.as_deref() == Some(root)).then_some(root)
    }
}
