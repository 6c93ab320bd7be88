//! Whose pods a fault is for.

use crate::execute::Execution;
use harness_faults::Victim;
use harness_mesh::Replica;
use harness_model::causes::chain;
use harness_model::fault::PodSelector;
use std::collections::BTreeMap;

/// The pods that a selector chose.
pub(super) struct Chosen {
    /// At least one.
    pub(super) victims: Vec<Victim>,
    /// Stable names of workloads, pod names of others.
    pub(super) hits: Vec<String>,
}

impl Execution {
    /// The pods that a selector means now.
    pub(super) async fn victims(&self, selector: &PodSelector) -> Result<Chosen, String> {
        match selector {
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
                Ok(Chosen {
                    victims: vec![victim],
                    hits: vec![name.clone()],
                })
            }
            PodSelector::ControlPlaneReplica => {
                let busiest = self.busiest_replica().await?;
                Ok(Chosen {
                    hits: vec![busiest.pod.clone()],
                    victims: vec![of_replica(busiest)?],
                })
            }
            PodSelector::Replica(name) => {
                let mut chosen = self.pods_of(name).await?;
                chosen.victims.truncate(1);
                chosen.hits.truncate(1);
                Ok(chosen)
            }
            PodSelector::Component(name) => self.pods_of(name).await,
        }
    }

    /// Every pod of a part of the mesh, the oldest first.
    pub(super) async fn pods_of(&self, component: &str) -> Result<Chosen, String> {
        let pods = self.environment.mesh().pods_of(component).await;
        let victims: Vec<Victim> = pods
            .map_err(|error| chain(&error))?
            .into_iter()
            .map(|(address, port)| Victim { address, port })
            .collect();
        if victims.is_empty() {
            return Err(format!("no pod of {component} is there"));
        }
        let hits = victims.iter().map(|victim| victim.address.name.clone());
        Ok(Chosen {
            hits: hits.collect(),
            victims,
        })
    }

    async fn busiest_replica(&self) -> Result<Replica, String> {
        let mut sidecars: BTreeMap<String, usize> = BTreeMap::new();
        for stream in self.recorder.streams().into_values() {
            *sidecars
                .entry(stream.replica.unwrap_or_default())
                .or_default() += 1;
        }
        let replicas = self.environment.streams().replicas().await?;
        replicas
            .into_iter()
            .max_by_key(|replica| sidecars.get(&replica.pod).copied().unwrap_or(0))
            .ok_or_else(|| "no control-plane replica is ready".to_owned())
    }
}

/// A replica with the port on which it serves.
pub(super) fn of_replica(replica: Replica) -> Result<Victim, String> {
    let port = replica
        .xds
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok())
        .ok_or_else(|| format!("the replica's address {} has no port", replica.xds))?;
    Ok(Victim {
        address: replica.address,
        port,
    })
}
