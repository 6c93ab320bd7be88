//! Injecting faults and waiting for their end.

use super::Execution;
use crate::reachability::AcrossTheBorder;
use crate::streams::Arrangement;
use futures::future::try_join_all;
use harness_faults::{ActiveFault, InjectError, Victim};
use harness_mesh::Replica;
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_model::fault::{Fault, PodSelector};
use harness_model::history::EventKind;
use harness_model::patience::Whose;
use probe_api::state::SidecarReading;
use std::collections::BTreeMap;

impl Execution {
    /// Injects a fault and measures that it bites; then reads every sidecar once.
    pub(super) async fn inject(&mut self, fault: Fault) {
        let number = self.injected;
        self.injected += 1;
        let outcome = match &fault {
            Fault::PodKill { selector } => self.kill(selector).await,
            Fault::ZoneOutage {
                data_center,
                duration,
            } => self.cut(data_center, duration.0).await,
        };
        match outcome {
            Ok((active, hits)) => {
                self.recorder.push(EventKind::FaultStarted {
                    fault: number,
                    spec: fault,
                    hits,
                    efficacy: active.efficacy.clone(),
                });
                self.faults.push((number, active));
                self.read_everybody().await;
            }
            Err(reason) => self.recorder.push(EventKind::FaultWithoutEffect {
                fault: number,
                reason,
            }),
        }
    }

    async fn kill(&self, selector: &PodSelector) -> Result<(ActiveFault, Vec<String>), String> {
        let (victim, hit) = match selector {
            PodSelector::Component(name) => return self.kill_all(name).await,
            PodSelector::Workload(name) => {
                let workload = self
                    .environment
                    .watch()
                    .workload(name)
                    .ok_or_else(|| format!("the workload {name} is not there"))?;
                let victim = Victim {
                    address: workload.address,
                    port: probe_api::CONTROL_PORT,
                };
                (victim, name.clone())
            }
            PodSelector::ControlPlaneReplica => {
                let mut sidecars: BTreeMap<String, usize> = BTreeMap::new();
                for stream in self.recorder.streams().into_values() {
                    *sidecars
                        .entry(stream.replica.unwrap_or_default())
                        .or_default() += 1;
                }
                let replicas = self.environment.streams().replicas().await?;
                let busiest = replicas
                    .into_iter()
                    .max_by_key(|replica| sidecars.get(&replica.pod).copied().unwrap_or(0))
                    .ok_or("no control-plane replica is ready")?;
                let port = busiest
                    .xds
                    .rsplit_once(':')
                    .and_then(|(_, port)| port.parse().ok())
                    .ok_or_else(|| format!("the replica's address {} has no port", busiest.xds))?;
                let victim = Victim {
                    address: busiest.address,
                    port,
                };
                (victim, busiest.pod)
            }
        };
        let patience = self.environment.patience().ready.0;
        self.environment
            .injector()
            .kill_pod(&victim, patience)
            .await
            .map(|active| (active, vec![hit]))
            .map_err(words)
    }

    /// Kills every pod of a component, side by side.
    async fn kill_all(&self, component: &str) -> Result<(ActiveFault, Vec<String>), String> {
        let mesh = self.environment.mesh();
        let pods = mesh
            .pods_of(component)
            .await
            .map_err(|error| chain(&error))?;
        let patience = self.environment.patience().ready.0;
        let kills = pods.into_iter().map(|(address, port)| async move {
            let victim = Victim { address, port };
            let killed = self.environment.injector().kill_pod(&victim, patience);
            killed.await.map(|active| (active, victim.address.name))
        });
        let killed = try_join_all(kills).await.map_err(words)?;
        let hits = killed.iter().map(|(_, pod)| pod.clone()).collect();
        let measured: Vec<String> = killed
            .iter()
            .map(|(active, _)| active.efficacy.clone())
            .collect();
        // All of them are gone for good: one stands for all when their replacements are waited for.
        let (mut active, _) = killed
            .into_iter()
            .next()
            .ok_or_else(|| format!("no pod of {component} is there"))?;
        active.efficacy = measured.join("; ");
        Ok((active, hits))
    }

    async fn cut(
        &self,
        data_center: &str,
        duration: std::time::Duration,
    ) -> Result<(ActiveFault, Vec<String>), String> {
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
        // A replica may be a new one: the canaries are put on each of them again, for the proofs that follow.
        environment.arrange(Arrangement::Canaries).await;
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
}
