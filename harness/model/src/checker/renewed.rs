//! `renewed`: certificates are replaced again and again, each by one of the same sidecar and before it ends.

use super::evidence::{Evidence, clock, detail, not_carried_out};
use super::timeline::{Life, Place, Point, Reading, Timeline, precedes};
use crate::fault::{Fault, PodSelector};
use crate::history::{CertificateSeen, EventKind, Validity};
use crate::scenario::{Act, Rollout};
use crate::verdict::Detail;
use std::collections::BTreeSet;

/// Judges the certificates that sidecars showed from a step on.
pub(super) fn check(timeline: &Timeline<'_>, step: usize) -> Evidence {
    let mut evidence = Evidence::default();
    let place = Place::Step(step);
    let Some(point) = timeline.point(place) else {
        evidence.open(not_carried_out(timeline, place));
        return evidence;
    };
    let in_force = timeline.in_force(point.last);
    for life in timeline.alive(&point) {
        if !in_force.expected(life.at(point.last)).certificate {
            continue;
        }
        // Readings are recorded when they differ from the last one: what was shown when the step began counts.
        let is_before = |reading: &Reading<'_>| precedes(reading.index, point.first);
        let before = timeline.readings_of(life).filter(is_before).last();
        let since = timeline
            .readings_of(life)
            .filter(|reading| !is_before(reading));
        let judge = Judge {
            timeline,
            point: &point,
            life,
            readings: before.into_iter().chain(since).collect(),
        };
        judge.check(&mut evidence);
    }
    evidence
}

/// One sidecar's certificates.
struct Judge<'t, 'a> {
    timeline: &'t Timeline<'a>,
    point: &'t Point,
    life: &'t Life<'a>,
    readings: Vec<Reading<'a>>,
}

impl<'a> Judge<'_, 'a> {
    fn check(&self, evidence: &mut Evidence) {
        let certificates = || self.readings.iter().filter_map(|reading| held(reading));
        let own = self.life.sidecar.identity.as_ref();
        let strange = certificates().find(|certificate| certificate.identities.first() != own);
        let serials: BTreeSet<&str> = certificates()
            .map(|certificate| certificate.serial.as_str())
            .collect();
        match (strange, serials.len()) {
            (Some(strange), _) => evidence.contradict(self.told(
                "certificates of its own",
                format!("one of {}", strange.identities.join(", ")),
            )),
            (None, 0) => evidence.open(self.told("a certificate", "none was read".to_owned())),
            (None, 1) => self.kept(evidence),
            (None, several) => {
                evidence.support(u64::try_from(several - 1).unwrap_or(u64::MAX));
                self.in_time(evidence);
            }
        }
    }

    /// One certificate was shown all the time. Nobody has to replace it long before it ends, so it must have been watched for
    /// long enough; unless what it came from was replaced meanwhile, whose successor has no key of it: who was watched to the end
    /// must have had another one then.
    fn kept(&self, evidence: &mut Evidence) {
        let told = |observed: String| self.told("a new certificate", observed);
        let (watched, lost) = self.watched();
        let certificate = self.readings.iter().find_map(held);
        let Some(valid) = certificate.and_then(|certificate| certificate.valid) else {
            match lost {
                None => evidence.contradict(told("the same all the time".to_owned())),
                Some(why) => {
                    let seen = clock(watched);
                    evidence.open(told(format!("the same, seen until {seen}, since {why}")));
                }
            }
            return;
        };
        let (until, deadline) = (valid.until_ns(), self.deadline_ns(valid));
        let had_ended = deadline != until;
        let is_replaced = lost.is_none() && self.is_replaced();
        let seen = if watched > until {
            let limit = limit(valid, deadline, "it");
            format!("still at {}, {limit}", clock(watched))
        } else if is_replaced {
            format!(
                "though what it came from was replaced, seen until {}",
                clock(watched)
            )
        } else {
            let [due, until, watched] = [due_ns(valid), until, watched].map(clock);
            format!(
                "due to be replaced at {due}, before its end at {until}, and seen until {watched}"
            )
        };
        let is_too_soon = if had_ended {
            watched < deadline
        } else {
            watched < due_ns(valid) && !is_replaced
        };
        if is_too_soon {
            let since = lost.map_or_else(String::new, |why| format!(", since {why}"));
            let observed = format!("the same, {seen}: too short a time to tell{since}");
            evidence.open(told(observed));
        } else {
            evidence.contradict(told(format!("the same all the time, {seen}")));
        }
    }

    /// Until when it is known what the sidecar showed, and why no longer where that is not the end of the history. Readings are
    /// recorded when they differ from the last one, so that one holds until a reading fails or the pod leaves. Before that the next
    /// one may have been waited for as long as a probe may take to answer.
    fn watched(&self) -> (u64, Option<String>) {
        let events = self.timeline.events;
        let last = self.readings.last();
        let since = last.map_or(self.life.joined, |reading| reading.index);
        let mut later = events.iter().enumerate().skip(since + 1);
        let lost = later.find_map(|(index, event)| match &event.kind {
            EventKind::ObservationFailed { sidecar, reason } if self.is_own(sidecar) => {
                Some((event, format!("it could not be read any more: {reason}")))
            }
            _ if self.life.left == Some(index) => Some((event, "its pod left".to_owned())),
            _ => None,
        });
        match lost {
            None => (events.last().map_or(0, |event| event.at_ns), None),
            Some((event, why)) => {
                let margin = self.timeline.patience.probe.as_nanos();
                let read = last.map_or(0, |reading| reading.at_ns);
                (event.at_ns.saturating_sub(margin).max(read), Some(why))
            }
        }
    }

    /// Parts of the mesh are killed or rolled out from the step on.
    fn is_replaced(&self) -> bool {
        let acts = &self.timeline.scenario.when;
        let since = self.point.place.step().unwrap_or(0);
        acts.iter().skip(since).any(|act| match act {
            Act::Inject(Fault::PodKill { selector }) => {
                matches!(selector, PodSelector::Component(_))
            }
            Act::Restart(rollout) => matches!(rollout, Rollout::Component(_)),
            _ => false,
        })
    }

    /// No certificate was kept beyond its time. A reading comes to us as late as a probe may take to answer: what is read
    /// until then may have been in time.
    fn in_time(&self, evidence: &mut Evidence) {
        let margin = self.timeline.patience.probe.as_nanos();
        let mut uncertain = None;
        // The last reading with a certificate. Who asks for another one and waits still has to have it in time; who has none and
        // asks for none is not to have one.
        let mut last = None;
        for later in &self.readings {
            let after = held(later);
            let before = last;
            if after.is_some() {
                last = Some(later);
            } else if later.seen.certificate.is_none() {
                last = None;
            }
            let Some((earlier, certificate, valid)) = before.and_then(|earlier| {
                let certificate = held(earlier)?;
                Some((earlier, certificate, certificate.valid?))
            }) else {
                continue;
            };
            let deadline = self.deadline_ns(valid);
            if later.at_ns <= deadline {
                continue;
            }
            let is_kept = after.is_some_and(|after| after.serial == certificate.serial);
            let (what, which) = match after {
                Some(_) if is_kept => ("the same still", "it"),
                Some(_) => ("another one", "the one before"),
                None => ("none any more", "the one before"),
            };
            let (at, limit) = (later.clock(), limit(valid, deadline, which));
            let detail = Detail {
                event: Some(later.index),
                ..self.told(
                    "another certificate in time",
                    format!("{what} at {at}, {limit}"),
                )
            };
            // Who could not be read meanwhile may have had another one by then.
            let is_certain = is_kept || !self.is_unread_between(earlier, later);
            if is_certain && later.at_ns > deadline.saturating_add(margin) {
                evidence.contradict(detail);
                return;
            }
            uncertain.get_or_insert(detail);
        }
        if let Some(detail) = uncertain {
            evidence.open(detail);
        }
    }

    /// Until when a certificate may be shown: to its end. One that had ended when the step began could not be renewed in time
    /// any more; it has the mesh's bound from the end of what was broken, or from the step's beginning.
    fn deadline_ns(&self, valid: Validity) -> u64 {
        let until = valid.until_ns();
        let began = self.timeline.events[self.point.first].at_ns;
        if until >= began {
            return until;
        }
        let recovered = self.timeline.recovered_in(self.point);
        let since = recovered.map_or(began, |index| self.timeline.events[index].at_ns);
        since.saturating_add(self.timeline.patience.recovery.as_nanos())
    }

    fn is_unread_between(&self, earlier: &Reading<'_>, later: &Reading<'_>) -> bool {
        self.timeline.events[earlier.index..later.index]
            .iter()
            .any(|event| matches!(&event.kind, EventKind::ObservationFailed { sidecar, .. } if self.is_own(sidecar)))
    }

    fn is_own(&self, sidecar: &str) -> bool {
        self.life.sidecar.name == sidecar
    }

    fn told(&self, expected: &str, observed: String) -> Detail {
        Detail {
            sidecar: Some(self.life.sidecar.name.clone()),
            step: self.point.place.step(),
            ..detail(expected, observed)
        }
    }
}

/// Until when a certificate was to be replaced, and when it ended; `which` names it.
fn limit(valid: Validity, deadline_ns: u64, which: &str) -> String {
    let end = match valid.until_ns() {
        end if end == deadline_ns => format!(", when {which} ended"),
        0 => format!(": {which} ended before the run began"),
        end => format!(": {which} ended at {} already", clock(end)),
    };
    format!("to be replaced until {}{end}", clock(deadline_ns))
}

/// When a certificate is due to be replaced at the latest: after three quarters of its life. cert-manager goes by two thirds
/// (the default of `renewBefore`), Istio and SPIRE by a half; and lives begin earlier than certificates are issued, for those
/// whose clocks are behind.
fn due_ns(valid: Validity) -> u64 {
    let part = valid.until_ms.saturating_sub(valid.from_ms) / 4;
    let quarter = u64::try_from(part).unwrap_or(0).saturating_mul(1_000_000);
    valid.until_ns().saturating_sub(quarter)
}

/// The certificate that a reading shows.
pub(super) fn held<'a>(reading: &Reading<'a>) -> Option<&'a CertificateSeen> {
    let certificate = reading.seen.certificate.as_ref();
    certificate.filter(|certificate| !certificate.warming)
}
