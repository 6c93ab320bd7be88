//! Replacing what certificates lead to, or is trusted besides, and waiting until every certificate shows it, and until what is
//! published is that, too.

use super::Execution;
use crate::record::Seen;
use harness_mesh::Roots;
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_model::history::EventKind;
use harness_model::patience::Whose;
use harness_model::rotation::{LedTo, Rotation};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

/// What certificates led to before, by cluster.
type Before = BTreeMap<String, LedTo>;

impl Execution {
    /// Does what an operator does, and waits until every certificate shows it or the mesh's time is over.
    pub(super) async fn rotate(&mut self, rotation: Rotation) {
        self.readings.catch_up().await;
        let before = self.led_to();
        let partner = match &rotation {
            Rotation::TrustPartner(of) => match self.partner_root(of).await {
                Some(pem) => Some(pem),
                None => return,
            },
            _ => None,
        };
        let mesh = self.environment.mesh();
        let act = rotation.clone();
        let outcome = self
            .writes
            .carry_out(async move { mesh.rotate(&act, partner.as_deref()).await })
            .await;
        if let Err(error) = outcome {
            self.give_up(format!("the rotation to be written: {}", chain(&error)));
            return;
        }
        self.recorder.push(EventKind::Rotated {
            rotation: rotation.clone(),
        });
        let deadline = self.deadline(self.environment.patience().rotation);
        let oracle = self.oracle.clone();
        let missing = self
            .recorder
            .wait_until_nobody(deadline, |sidecars, seen| {
                sidecars
                    .iter()
                    .filter(|sidecar| oracle.expected(sidecar).certificate)
                    .filter(|sidecar| !shows(&rotation, &before, sidecar, seen))
                    .map(|sidecar| sidecar.name.clone())
                    .collect()
            })
            .await;
        let is_whole = self.give_up_on(
            Whose::Mesh,
            "what certificates lead to, and what is trusted, to be as the act says",
            &missing,
        );
        self.read_everybody().await;
        // While a sidecar lags nobody knows what the bundle would have to be.
        if is_whole {
            self.record_published(deadline).await;
        }
    }

    /// Records what the mesh publishes as its trust bundle once that is what sidecars trust, or the mesh's time is over.
    async fn record_published(&self, deadline: Instant) {
        let mesh = self.environment.mesh();
        let left = deadline.saturating_duration_since(Instant::now());
        for published in mesh.published(&self.trusted(), left).await {
            if let Err(error) = &published.roots {
                self.give_up(format!("what is published to be read: {}", chain(error)));
            }
            self.recorder.push(EventKind::Published {
                cluster: published.cluster,
                namespace: published.namespace,
                roots: published.roots.ok(),
            });
        }
    }

    /// What sidecars that have a certificate trust, by cluster.
    fn trusted(&self) -> BTreeMap<String, BTreeSet<Roots>> {
        let mut trusted: BTreeMap<String, BTreeSet<Roots>> = BTreeMap::new();
        let sidecars = self.recorder.sidecars().into_iter();
        for sidecar in sidecars.filter(|sidecar| self.oracle.expected(sidecar).certificate) {
            let reading = self.recorder.observation(&sidecar.name);
            let held = reading.and_then(|reading| reading.certificate);
            if let Some(held) = held.filter(|held| !held.warming && !held.roots.is_empty()) {
                trusted
                    .entry(sidecar.cluster)
                    .or_default()
                    .insert(held.roots);
            }
        }
        trusted
    }

    /// A new root of the probe of a workload, PEM; none, and a word of it, where it gives none.
    async fn partner_root(&self, of: &str) -> Option<String> {
        let Some(workload) = self.environment.watch().workload(of) else {
            self.give_up(format!("the workload `{of}` to be there"));
            return None;
        };
        let prober = self.environment.prober();
        let made = prober.make_partner_root(&workload.address).await;
        made.map_err(|error| self.give_up(format!("a partner's root: {}", chain(&error))))
            .ok()
    }

    fn led_to(&self) -> Before {
        let mut before = Before::new();
        for sidecar in self.recorder.sidecars() {
            let reading = self.recorder.observation(&sidecar.name);
            let held = reading.and_then(|reading| reading.certificate);
            if let Some(held) = held.filter(|held| !held.warming) {
                before.entry(sidecar.cluster).or_default().note(&held);
            }
        }
        before
    }
}

/// Whether a sidecar shows what a rotation is to lead to, as the checker judges it.
fn shows(
    rotation: &Rotation,
    before: &Before,
    sidecar: &Sidecar,
    seen: &BTreeMap<String, Seen>,
) -> bool {
    let held = seen
        .get(&sidecar.name)
        .and_then(|seen| seen.reading.as_ref().ok())
        .and_then(|reading| reading.certificate.as_ref())
        .filter(|held| !held.warming);
    let nothing = LedTo::default();
    let before = before.get(&sidecar.cluster).unwrap_or(&nothing);
    held.is_some_and(|held| before.lacking(rotation, held).is_none())
}
