//! Waiting until an environment is as it should be again.

use super::Environment;
use crate::{endpoints, services};
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use probe_api::state::{self, SidecarReading};
use std::sync::Arc;
use std::time::Instant;

/// This very pod is known by this name, not one that had it before.
fn is_known(sidecar: &Sidecar, known: &[Sidecar]) -> bool {
    known
        .iter()
        .any(|other| other.pod_uid == sidecar.pod_uid && other.name == sidecar.name)
}

impl Environment {
    /// Waits until every workload that the API server tells of is known here too: our watch may lag behind. Who is not.
    pub(crate) async fn wait_until_known(&self) -> Vec<String> {
        let workloads = match self.mesh.workloads().await {
            Ok(workloads) => workloads,
            // Nobody knows who is missing, which is not that nobody is.
            Err(error) => return vec![format!("whoever is there ({})", chain(&error))],
        };
        let deadline = Instant::now() + self.patience.probe.0;
        self.watch
            .wait_until_nobody(deadline, |_| {
                let known = self.sidecars();
                workloads
                    .iter()
                    .map(|workload| &workload.sidecar)
                    .filter(|sidecar| !is_known(sidecar, &known))
                    .map(|sidecar| sidecar.name.clone())
                    .collect()
            })
            .await
    }

    /// Waits until every sidecar knows where every workload is, at most the mesh's duty. Who does not is told to the log:
    /// the scenarios about traffic will say so.
    pub(crate) async fn wait_until_in_sync(&self) {
        let deadline = Instant::now() + self.patience.delivery.0;
        let mut directory = self.directory.subscribe();
        let late = loop {
            let workloads = Arc::clone(&directory.borrow_and_update());
            tokio::select! {
                late = self.watch.wait_until_nobody(deadline, |latest| {
                    endpoints::out_of_sync(&workloads, latest)
                }) => break late,
                // That a pod became ready is nothing that a sidecar tells.
                Ok(()) = directory.changed() => {}
            }
        };
        if !late.is_empty() {
            tracing::warn!(?late, "some sidecars do not know where the workloads are");
        }
    }

    /// Waits until no sidecar has a cluster that leads to a service, at most the mesh's duty. Who has still, or does not tell.
    pub(crate) async fn wait_until_forgotten(&self, service: &str) -> Vec<String> {
        self.wait_for_sidecars(|held| {
            services::still_known(self.mesh.leading_to(service, held).as_deref())
        })
        .await
    }

    /// Waits until every sidecar knows a service and has an endpoint of it, at most the mesh's duty. Who does not, or does not
    /// tell.
    pub(crate) async fn wait_until_known_again(&self, service: &str) -> Vec<String> {
        self.wait_for_sidecars(|held| {
            services::not_known_yet(self.mesh.leading_to(service, held).as_deref(), held)
        })
        .await
    }

    /// Waits until `why_not` has nothing to say of what any sidecar holds, at most the mesh's duty. Of whom it has, and what. Who
    /// has no sidecar holds nothing.
    async fn wait_for_sidecars(
        &self,
        why_not: impl Fn(&state::Sidecar) -> Option<String>,
    ) -> Vec<String> {
        let deadline = Instant::now() + self.patience.delivery.0;
        let workloads = self.watch.workloads();
        self.watch
            .wait_until_nobody(deadline, |latest| {
                let said = workloads.iter().filter_map(|workload| {
                    let name = &workload.sidecar.name;
                    let state = latest(name);
                    let why = match state.as_deref().map(|state| &state.sidecar) {
                        None => "not read yet".to_owned(),
                        Some(SidecarReading::None) => return None,
                        Some(SidecarReading::Unreachable(why)) => why.clone(),
                        Some(SidecarReading::Read(held)) => why_not(held)?,
                    };
                    Some(format!("{name}: {why}"))
                });
                said.collect()
            })
            .await
    }

    /// Waits until what was healed before its time works again. What does not is told to the log.
    pub(crate) async fn wait_until_healed(&self) {
        for error in self.injector.wait_for_healed().await {
            tracing::warn!(error, "what was healed early does not work again");
        }
    }

    /// Waits until every node and workload is ready again and known here. What is not is told to the log.
    pub(crate) async fn wait_until_whole(&self) {
        let (nodes, workloads) = tokio::join!(
            self.injector.wait_for_nodes(self.patience.recovery.0),
            self.mesh.wait_until_ready(self.patience.ready.0)
        );
        if let Err(error) = nodes {
            tracing::warn!(error = chain(&error), "not every node is ready again");
        }
        if let Err(error) = workloads {
            tracing::warn!(error = chain(&error), "not every workload is ready again");
        }
        // A rollout that was broken off has left its pods the names that they had beside the ones that they replace.
        if let Err(error) = self.mesh.settle_names().await {
            tracing::warn!(error = chain(&error), "cannot see whose names are free");
        }
        self.look_again();
        let unknown = self.wait_until_known().await;
        if !unknown.is_empty() {
            tracing::warn!(?unknown, "workloads that are back are not known yet");
        }
    }

    /// Waits until no sidecar shows anything of these keys any more, at most the mesh's duty. Who still does. This is no proof of
    /// absence: where there is no mesh nobody shows anything that can be read.
    pub(crate) async fn wait_until_gone(&self, keys: &harness_mesh::Keys) -> Vec<String> {
        let deadline = Instant::now() + self.patience.delivery.0;
        let workloads = self.watch.workloads();
        let began_ms = self.clock.began_ms();
        self.watch
            .wait_until_nobody(deadline, |latest| {
                workloads
                    .iter()
                    .filter(|workload| {
                        let sidecar = &workload.sidecar;
                        latest(&sidecar.name)
                            .and_then(|state| {
                                self.mesh.observe(keys, sidecar, &state, began_ms).ok()
                            })
                            .is_some_and(|seen| {
                                !seen.toggles.is_empty()
                                    || !seen.rules.is_empty()
                                    || seen.marker_toggle.is_some()
                                    || seen.marker_rule.is_some()
                                    || seen.certificate.is_some()
                                    || seen.tls.is_some_and(|tls| !tls.is_plaintext())
                            })
                    })
                    .map(|workload| workload.sidecar.name.clone())
                    .collect()
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_that_had_the_name_before_is_not_the_one_that_came_back() {
        let life = |uid: &str| Sidecar {
            name: "checkout@alpha".to_owned(),
            pod: format!("checkout-{uid}"),
            pod_uid: uid.to_owned(),
            cluster: "one".to_owned(),
            data_center: "alpha".to_owned(),
            node: "node".to_owned(),
            application: "checkout".to_owned(),
            ip: "10.0.0.1".to_owned(),
            identity: None,
        };
        assert!(!is_known(&life("2"), &[life("1")]));
        assert!(is_known(&life("2"), &[life("1"), life("2")]));
    }
}
