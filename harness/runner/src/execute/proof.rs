//! Waiting until every sidecar holds what it must, and the marker that absence is judged on.

use super::{Execution, asked};
use crate::record::Seen;
use harness_model::directory::Sidecar;
use harness_model::history::{EventKind, Guard, Observation, TlsSeen, offered};
use harness_model::oracle::{Expected, Modes};
use harness_model::patience::Whose;
use std::collections::{BTreeMap, BTreeSet};

impl Execution {
    /// Waits until everybody holds what the oracle says, at most for the mesh's duty; then proves with a marker where
    /// absence is asked for, and else reads whoever has not told anything in this step.
    pub(super) async fn settle_and_prove(&mut self) {
        if self.written.is_empty() && !asked::for_configuration(&self.script.scenario) {
            return;
        }
        self.settled = self.settle().await;
        let affected = std::mem::take(&mut self.affected);
        if asked::for_absence(&self.script.scenario) {
            // Somebody whom the last write changed must have been read after it and before the marker is written, or it
            // proves nothing.
            self.read_unread(|sidecar| affected.contains(&sidecar.name))
                .await;
            self.prove().await;
        } else {
            self.read_unread(|_| true).await;
        }
    }

    /// Waits until every sidecar holds exactly what the oracle says. The readings record themselves.
    async fn settle(&mut self) -> bool {
        self.readings.catch_up().await;
        let deadline = self.deadline(self.environment.patience().delivery);
        let missing = self
            .recorder
            .wait_until_nobody(deadline, |sidecars, seen| {
                sidecars
                    .iter()
                    .filter_map(|sidecar| {
                        let shown = reading(seen, &sidecar.name);
                        let expected = self.oracle.expected(sidecar);
                        let why = difference(sidecar, &expected, shown)
                            .or_else(|| self.outdated_rule(sidecar, shown.ok()?))?;
                        Some(format!("{}: {why}", sidecar.name))
                    })
                    .collect()
            })
            .await;
        self.outdated.clear();
        self.give_up_on(Whose::Mesh, "every sidecar to hold what it must", &missing)
    }

    fn outdated_rule(&self, sidecar: &Sidecar, shown: &Observation) -> Option<String> {
        shown
            .rules
            .iter()
            .find(|(name, hash)| {
                let key = (sidecar.name.clone(), (*name).clone());
                self.outdated.get(&key) == Some(*hash)
            })
            .map(|(name, _)| format!("holds the old content of the rule `{name}`"))
    }

    /// Reads those of the chosen sidecars that have not told anything since the step began or its last write.
    async fn read_unread(&self, chosen: impl Fn(&Sidecar) -> bool) {
        let unread: Vec<String> = self
            .recorder
            .unread_in_step()
            .into_iter()
            .filter(|sidecar| chosen(sidecar))
            .map(|sidecar| sidecar.name)
            .collect();
        self.environment.watch().read_now(&unread).await;
        self.readings.catch_up().await;
    }

    /// Writes a new marker for everybody and waits until every sidecar shows it, as a toggle and as a rule.
    pub(super) async fn prove(&mut self) {
        self.markers += 1;
        let marker = format!("m{}", self.markers);
        // Told before it is written: a sidecar may show it before we have the API server's answer.
        self.recorder.push(EventKind::MarkerWritten {
            marker: marker.clone(),
        });
        let (mesh, keys, value) = (self.environment.mesh(), self.keys.clone(), marker.clone());
        let write = async move { mesh.write_marker(&keys, &value).await };
        if let Err(error) = self.writes.carry_out(write).await {
            self.give_up(format!(
                "the marker to be written: {}",
                harness_model::causes::chain(&error)
            ));
            return;
        }
        let deadline = self.deadline(self.environment.patience().marker);
        let missing = self
            .recorder
            .wait_until_nobody(deadline, |sidecars, seen| {
                sidecars
                    .iter()
                    .filter_map(|sidecar| {
                        let shown = reading(seen, &sidecar.name);
                        let why = marker_missing(&marker, shown)?;
                        Some(format!("{}: {why}", sidecar.name))
                    })
                    .collect()
            })
            .await;
        self.give_up_on(Whose::Harness, "every sidecar to show the marker", &missing);
    }

    /// Reads every sidecar now, and records the reading, whatever is known.
    pub(super) async fn read_everybody(&self) {
        let everybody: Vec<String> = self
            .recorder
            .sidecars()
            .into_iter()
            .map(|sidecar: Sidecar| sidecar.name)
            .collect();
        self.recorder.ask_again(&everybody);
        self.environment.watch().read_now(&everybody).await;
        self.readings.catch_up().await;
    }
}

fn reading<'a>(seen: &'a BTreeMap<String, Seen>, name: &str) -> Result<&'a Observation, &'a str> {
    match seen.get(name).map(|seen| &seen.reading) {
        Some(Ok(observation)) => Ok(observation),
        Some(Err(reason)) => Err(reason),
        None => Err("not read yet"),
    }
}

/// Why a sidecar does not hold what it must; none when it does.
fn difference(
    sidecar: &Sidecar,
    expected: &Expected,
    shown: Result<&Observation, &str>,
) -> Option<String> {
    let shown = match shown {
        Ok(shown) => shown,
        Err(reason) => return Some(reason.to_owned()),
    };
    if shown.toggles != expected.toggles {
        return Some(format!(
            "holds the toggles {:?} instead of {:?}",
            shown.toggles, expected.toggles
        ));
    }
    if !shown.rules.keys().eq(expected.rules.keys()) {
        return Some(format!(
            "holds the rules {:?} instead of {:?}",
            shown.rules.keys().collect::<Vec<_>>(),
            expected.rules.keys().collect::<Vec<_>>()
        ));
    }
    let held = shown.certificate.as_ref();
    let certificate = match (expected.certificate, held) {
        (false, None) => None,
        (false, Some(_)) => Some("has a certificate".to_owned()),
        (true, None) => Some("has no certificate".to_owned()),
        (true, Some(held)) if held.warming => Some("waits for its certificate".to_owned()),
        (true, Some(held)) => {
            let own = sidecar.identity.as_ref();
            (held.identities.first() != own)
                .then(|| format!("has a certificate of {}", held.identities.join(", ")))
        }
    };
    certificate.or_else(|| other_modes(expected.modes.as_ref()?, shown.tls.as_ref()?))
}

/// Where a sidecar is set up for TLS otherwise than it must be, or waits to be.
fn other_modes(expected: &Modes, shown: &TlsSeen) -> Option<String> {
    let instead = |words: Vec<String>, of: String| {
        let words = if words.is_empty() {
            "nothing".to_owned()
        } else {
            words.join(" and ")
        };
        Some(format!("has {words} instead of {of}"))
    };
    if !is_alone(&expected.inbound, &shown.inbound, &shown.warming_inbound) {
        let guards = &shown.inbound | &shown.warming_inbound;
        let words = guards.iter().map(Guard::describe).collect();
        return instead(words, expected.inbound.describe());
    }
    if !is_alone(&expected.outbound, &shown.outbound, &shown.warming_outbound) {
        let offers = &shown.outbound | &shown.warming_outbound;
        let words = offers.into_iter().map(offered).collect();
        return instead(words, offered(expected.outbound));
    }
    None
}

/// Whether one mode is in force and nothing else is, nor is about to be.
fn is_alone<T: Ord>(expected: &T, in_force: &BTreeSet<T>, warming: &BTreeSet<T>) -> bool {
    in_force.iter().eq([expected]) && warming.iter().all(|mode| mode == expected)
}

/// Why a sidecar does not show the marker; none when it does.
fn marker_missing(marker: &str, shown: Result<&Observation, &str>) -> Option<String> {
    let shown = match shown {
        Ok(shown) => shown,
        Err(reason) => return Some(reason.to_owned()),
    };
    let toggle = shown.marker_toggle.as_deref();
    let rule = shown.marker_rule.as_deref();
    (toggle != Some(marker) || rule != Some(marker)).then(|| {
        format!(
            "shows {} as toggle and {} as rule",
            toggle.unwrap_or("none"),
            rule.unwrap_or("none")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_model::configuration::OutboundTls;
    use harness_model::history::CertificateSeen;

    fn sidecar() -> Sidecar {
        Sidecar {
            name: "a".to_owned(),
            pod: "a".to_owned(),
            pod_uid: "1".to_owned(),
            cluster: "one".to_owned(),
            data_center: "alpha".to_owned(),
            node: "node".to_owned(),
            application: "a".to_owned(),
            ip: "10.0.0.1".to_owned(),
            identity: Some("spiffe://own".to_owned()),
        }
    }

    fn holding(toggles: &[(&str, &str)], rules: &[&str]) -> Observation {
        Observation {
            sidecar: "a".to_owned(),
            pod_uid: "1".to_owned(),
            toggles: toggles
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            rules: rules
                .iter()
                .map(|name| ((*name).to_owned(), "hash".to_owned()))
                .collect(),
            marker_toggle: Some("m2".to_owned()),
            marker_rule: Some("m1".to_owned()),
            ..Observation::default()
        }
    }

    #[test]
    fn less_and_more_than_expected_are_both_a_difference() {
        let nothing = Expected::default();
        let of = |shown: &Observation| difference(&sidecar(), &nothing, Ok(shown));
        assert_eq!(of(&holding(&[], &[])), None);
        assert!(of(&holding(&[("color", "red")], &[])).is_some());
        assert!(of(&holding(&[], &["rule"])).is_some());
        assert!(difference(&sidecar(), &nothing, Err("not read yet")).is_some());
    }

    #[test]
    fn a_certificate_must_be_there_and_its_own_where_tls_is_spoken_and_else_none() {
        let with = |certificate: bool, held: Option<(bool, &str)>| {
            let expected = Expected {
                certificate,
                ..Expected::default()
            };
            let shown = Observation {
                certificate: held.map(|(warming, identity)| CertificateSeen {
                    warming,
                    identities: vec![identity.to_owned()],
                    serial: "1".to_owned(),
                    ..CertificateSeen::default()
                }),
                ..holding(&[], &[])
            };
            difference(&sidecar(), &expected, Ok(&shown))
        };
        assert_eq!(with(true, Some((false, "spiffe://own"))), None);
        assert_eq!(with(false, None), None);
        assert!(with(true, None).is_some());
        assert!(with(true, Some((true, "spiffe://own"))).is_some());
        assert!(with(true, Some((false, "spiffe://other"))).is_some());
        assert!(with(false, Some((false, "spiffe://own"))).is_some());
        assert!(with(false, Some((true, ""))).is_some());
    }

    #[test]
    fn what_warms_must_be_as_it_must_be_too() {
        let restricted = Guard {
            allow: Some(["a".to_owned()].into()),
            ..Guard::default()
        };
        let expected = Expected {
            modes: Some(Modes {
                inbound: restricted.clone(),
                outbound: OutboundTls::Permissive,
            }),
            ..Expected::default()
        };
        let of = |tls: &TlsSeen| {
            let shown = Observation {
                tls: Some(tls.clone()),
                ..holding(&[], &[])
            };
            difference(&sidecar(), &expected, Ok(&shown))
        };
        let right = TlsSeen {
            inbound: [restricted.clone()].into(),
            outbound: [OutboundTls::Permissive].into(),
            ..TlsSeen::default()
        };
        assert_eq!(of(&right), None);
        let more = |change: fn(&mut TlsSeen)| {
            let mut seen = right.clone();
            change(&mut seen);
            of(&seen)
        };
        assert!(more(|seen| seen.inbound = [Guard::default()].into()).is_some());
        assert!(more(|seen| seen.inbound = [].into()).is_some());
        assert!(more(|seen| seen.warming_inbound = [Guard::default()].into()).is_some());
        assert!(more(|seen| seen.outbound = [OutboundTls::Strict].into()).is_some());
        assert!(more(|seen| seen.warming_outbound = [OutboundTls::Strict].into()).is_some());
        // What only waits to take effect is not in force.
        assert!(
            more(|seen| {
                seen.warming_inbound = std::mem::take(&mut seen.inbound);
            })
            .is_some()
        );
        // Where readings do not tell, nothing is waited for.
        assert_eq!(
            difference(&sidecar(), &expected, Ok(&holding(&[], &[]))),
            None
        );
    }

    #[test]
    fn the_marker_must_be_there_as_toggle_and_as_rule() {
        let shown = holding(&[], &[]);
        assert!(
            marker_missing("m2", Ok(&shown)).is_some(),
            "the rule is old"
        );
        assert!(
            marker_missing("m1", Ok(&shown)).is_some(),
            "the toggle is newer"
        );
    }
}
