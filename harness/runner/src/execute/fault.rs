//! Injecting faults and waiting for their end.

mod away;
mod refusals;
mod victims;

use super::Execution;
use crate::reachability::AcrossTheBorder;
use crate::streams::Arrangement;
use futures::future::try_join_all;
use harness_cluster::Part;
use harness_faults::{ActiveFault, InjectError};
use harness_mesh::{Build, MeshError, Replica, RolledOut};
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_model::duration::Span;
use harness_model::fault::{Fault, PodSelector};
use harness_model::history::EventKind;
use harness_model::patience::Whose;
use harness_model::scenario::Rollout;
use probe_api::state::SidecarReading;
use std::collections::BTreeMap;
use std::time::Duration;

/// A fault that bites, and the names of what it hits; or why there is none.
type Injected = Result<(ActiveFault, Vec<String>), String>;

impl Execution {
    /// Injects a fault and measures that it bites; then reads every sidecar once.
    pub(super) async fn inject(&mut self, fault: Fault) {
        let number = self.injected;
        self.injected += 1;
        let outcome = match &fault {
            Fault::PodKill { selector } => self.kill(selector).await,
            Fault::PodFreeze { selector, duration } => self.freeze(selector, duration.0).await,
            Fault::LateAnswers {
                component,
                delay,
                duration,
            } => self.answer_late(component, delay.0, duration.0).await,
            Fault::ComponentOutage {
                component,
                duration,
            } => self.take_component_away(component, duration.0).await,
            Fault::ClientDenial {
                component,
                client,
                duration,
            } => self.deny(component, client, duration.0).await,
            Fault::ZoneOutage {
                data_center,
                duration,
                without,
            } => self.cut(data_center, without.as_deref(), duration.0).await,
            Fault::NodeOutage {
                data_center,
                duration,
            } => self.switch_off(data_center, duration.0).await,
            Fault::SocketFault {
                component,
                data_center,
                how,
                duration,
            } => {
                self.break_socket(component, data_center, *how, duration.0)
                    .await
            }
            Fault::DiskFull {
                component,
                data_center,
                duration,
            } => self.fill_disk(component, data_center, duration.0).await,
            Fault::ApiServerOutage { duration } => {
                self.take_kubernetes_away(Part::ApiServer, duration.0).await
            }
            Fault::EtcdFreeze { duration } => {
                self.take_kubernetes_away(Part::Etcd, duration.0).await
            }
        };
        match outcome {
            Ok((active, hits)) => {
                self.recorder.push(EventKind::FaultStarted {
                    fault: number,
                    spec: fault,
                    hits,
                    efficacy: active.efficacy.clone(),
                    left: active.left().map(whole_millis),
                });
                self.faults.push((number, active));
                self.count_refusals().await;
                self.read_everybody().await;
            }
            Err(reason) => self.recorder.push(EventKind::FaultWithoutEffect {
                fault: number,
                reason,
            }),
        }
    }

    /// Kills the pods of a selector, side by side.
    async fn kill(&self, selector: &PodSelector) -> Injected {
        let chosen = self.victims(selector).await?;
        let patience = self.environment.patience().ready.0;
        let kills = chosen.victims.iter().map(|victim| async move {
            self.environment.injector().kill_pod(victim, patience).await
        });
        let killed = try_join_all(kills).await.map_err(words)?;
        let measured: Vec<String> = killed
            .iter()
            .map(|active| active.efficacy.clone())
            .collect();
        // All of them are gone for good: one stands for all when their replacements are waited for.
        let mut active = killed.into_iter().next().ok_or("nobody is there")?;
        active.efficacy = measured.join("; ");
        Ok((active, chosen.hits))
    }

    async fn cut(&self, data_center: &str, without: Option<&str>, duration: Duration) -> Injected {
        if let Some(component) = without {
            let places = self.environment.mesh().places_of(component).await;
            elsewhere(
                component,
                data_center,
                &places.map_err(|error| chain(&error))?,
            )?;
        }
        let reachability = AcrossTheBorder::new(&self.environment);
        let replicas = self.environment.streams().replicas().await?;
        let active = self
            .environment
            .injector()
            .cut_zone(data_center, duration, &reachability)
            .await
            .map_err(words)?;
        Ok((
            active,
            inside(data_center, self.recorder.sidecars(), replicas),
        ))
    }

    /// Waits until every fault of the scenario has ended by itself, what it hit can be reached, everything that should be
    /// ready is, and every sidecar has its control plane again.
    pub(super) async fn recover(&mut self) {
        let patience = self.environment.patience().clone();
        let environment = std::sync::Arc::clone(&self.environment);
        let reachability = AcrossTheBorder::new(&environment);
        for (number, fault) in std::mem::take(&mut self.faults) {
            let mut ended = environment
                .injector()
                .wait_for_end(&fault, &reachability, patience.recovery.0)
                .await
                .map_err(|error| chain(&error));
            if ended.is_ok() && fault.needs_replacement() {
                ended = environment
                    .mesh()
                    .wait_until_ready(patience.ready.0)
                    .await
                    .map(drop)
                    .map_err(|error| chain(&error));
            }
            match ended {
                Ok(()) => self.recorder.push(EventKind::FaultEnded { fault: number }),
                Err(reason) => self.give_up(format!("the fault to end: {reason}")),
            }
        }
        self.count_refusals().await;
        self.wait_until_whole().await;
    }

    /// Rolls something out anew and waits until everybody knows it: where a build before that under test is known, down to it
    /// and up again. What has to cope with a fault is the build under test, so while one is in force there is no other.
    pub(super) async fn restart(&mut self, what: Rollout) {
        if let Err(error) = self.rolled_out(&what).await {
            self.give_up(format!("the rollout to be complete: {}", chain(&error)));
        }
        self.wait_until_whole().await;
    }

    async fn rolled_out(&mut self, what: &Rollout) -> Result<(), MeshError> {
        let environment = std::sync::Arc::clone(&self.environment);
        let mesh = environment.mesh();
        let is_whole = self.faults.is_empty();
        let builds: &[Build] = if is_whole && mesh.has_build_before(what).await? {
            &[Build::Before, Build::UnderTest]
        } else {
            &[Build::Same]
        };
        for (number, build) in builds.iter().enumerate() {
            if number > 0 {
                self.wait_until_settled().await;
            }
            let patience = environment.patience().ready.0;
            let RolledOut { gone, came, images } = mesh.restart(what, *build, patience).await?;
            environment.look_again();
            self.recorder.push(EventKind::RolledOut {
                what: what.clone(),
                gone,
                came,
                images,
            });
        }
        Ok(())
    }

    /// As [`wait_until_settled`](Self::wait_until_settled), and puts the canaries where proofs need them.
    async fn wait_until_whole(&mut self) {
        self.wait_until_settled().await;
        // A replica may be a new one: the canaries are put on each of them again, for the proofs that follow.
        let environment = std::sync::Arc::clone(&self.environment);
        environment.arrange(Arrangement::Canaries).await;
    }

    /// Waits until everything that should be ready is, and every sidecar has its control plane again.
    async fn wait_until_settled(&mut self) {
        let environment = std::sync::Arc::clone(&self.environment);
        let patience = environment.patience().clone();
        let mesh = environment.mesh();
        let (nodes, workloads) = tokio::join!(
            environment.injector().wait_for_nodes(patience.recovery.0),
            mesh.wait_until_ready(patience.ready.0)
        );
        if let Err(error) = nodes {
            self.give_up(chain(&error));
        }
        if let Err(error) = workloads {
            self.give_up(chain(&error));
        }
        // Who came back is waited for as well.
        let unknown = environment.wait_until_known().await;
        self.give_up_on(
            Whose::Harness,
            "the workloads that are back to be known",
            &unknown,
        );
        self.wait_for_streams().await;
    }

    /// Waits until every sidecar is connected to a replica that is there. A stream to one that was killed looks alive
    /// until the sidecar's own keepalive finds out.
    async fn wait_for_streams(&self) {
        let replicas: Vec<String> = match self.environment.streams().replicas().await {
            Ok(replicas) => replicas.into_iter().map(|replica| replica.pod).collect(),
            Err(reason) => {
                self.give_up(format!("the replicas to be known: {reason}"));
                return;
            }
        };
        let everybody: Vec<String> = self
            .environment
            .watch()
            .workloads()
            .into_iter()
            .map(|workload| workload.sidecar.name)
            .collect();
        let missing = self
            .environment
            .watch()
            .wait_until_nobody(
                self.deadline(self.environment.patience().recovery),
                |latest| {
                    everybody
                        .iter()
                        .filter(|name| {
                            let state = latest(name);
                            !matches!(
                                state.as_ref().map(|state| &state.sidecar),
                                Some(SidecarReading::Read(held)) if held.control_plane.connected
                                    && held
                                        .control_plane
                                        .replica
                                        .as_ref()
                                        .is_some_and(|replica| replicas.contains(replica))
                            )
                        })
                        .cloned()
                        .collect()
                },
            )
            .await;
        self.give_up_on(
            Whose::Mesh,
            "every sidecar to have its control plane again",
            &missing,
        );
    }
}

/// Stable names of the sidecars inside a data center, and pod names of the replicas: who is connected to one of those
/// loses its control plane, wherever it is itself.
fn inside(data_center: &str, sidecars: Vec<Sidecar>, replicas: Vec<Replica>) -> Vec<String> {
    let sidecars = sidecars
        .into_iter()
        .filter(|sidecar| sidecar.data_center == data_center)
        .map(|sidecar| sidecar.name);
    let replicas = replicas
        .into_iter()
        .filter(|replica| replica.data_center == data_center)
        .map(|replica| replica.pod);
    sidecars.chain(replicas).collect()
}

/// Whether a part of the mesh runs, and in no pod in a data center, by the data centers of its pods.
fn elsewhere(
    component: &str,
    data_center: &str,
    places: &BTreeMap<String, String>,
) -> Result<(), String> {
    if places.is_empty() {
        return Err(format!("no pod of {component} is there"));
    }
    match places.iter().find(|(_, place)| *place == data_center) {
        Some((pod, _)) => Err(format!(
            "{pod} runs in {data_center}, which was to be cut off without {component}"
        )),
        None => Ok(()),
    }
}

/// As histories keep it.
fn whole_millis(left: Duration) -> Span {
    Span::millis(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}

fn words(error: InjectError) -> String {
    chain(&error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_cluster::PodAddress;

    fn sidecar(name: &str, data_center: &str) -> Sidecar {
        Sidecar {
            name: name.to_owned(),
            pod: name.to_owned(),
            pod_uid: name.to_owned(),
            cluster: "one".to_owned(),
            data_center: data_center.to_owned(),
            node: "node".to_owned(),
            application: "checkout".to_owned(),
            ip: "10.0.0.1".to_owned(),
            identity: None,
        }
    }

    fn replica(pod: &str, data_center: &str) -> Replica {
        Replica {
            pod: pod.to_owned(),
            address: PodAddress {
                cluster: "one".to_owned(),
                namespace: "mesh".to_owned(),
                name: pod.to_owned(),
                node: "node".to_owned(),
                ip: "10.0.0.1".to_owned(),
            },
            xds: "10.0.0.1:18000".to_owned(),
            data_center: data_center.to_owned(),
            ready: true,
        }
    }

    #[test]
    fn a_cut_hits_the_sidecars_and_the_replicas_inside() {
        let sidecars = vec![sidecar("a", "alpha"), sidecar("b", "beta")];
        let replicas = vec![replica("one", "alpha"), replica("two", "beta")];
        assert_eq!(inside("alpha", sidecars, replicas), ["a", "one"]);
    }

    #[test]
    fn what_is_cut_off_without_a_part_of_the_mesh_has_no_pod_of_it() {
        let told = |places: &[(&str, &str)]| {
            let own = |(pod, place): &(&str, &str)| ((*pod).to_owned(), (*place).to_owned());
            let places = places.iter().map(own).collect();
            elsewhere("keys", "alpha", &places)
        };
        assert_eq!(told(&[("keys-1", "beta")]), Ok(()));
        assert_eq!(
            told(&[("keys-1", "beta"), ("keys-2", "alpha")]),
            Err("keys-2 runs in alpha, which was to be cut off without keys".to_owned())
        );
        assert_eq!(told(&[]), Err("no pod of keys is there".to_owned()));
    }
}
