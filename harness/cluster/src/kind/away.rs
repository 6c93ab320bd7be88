//! Taking parts of a kind cluster away, as the harness asks for it: by shells in nodes, or by the engine.

use super::bring_up::Parts;
use super::brought::Brought;
use super::power::{Nodes, Power};
use super::{control_plane, late_answers, names, on_disks, pods};
use crate::{ClusterError, Part};
use harness_model::topology::Topology;
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the API server, or etcd, may take to answer once it is given back.
const ANSWERS_AGAIN: Duration = Duration::from_secs(20);
/// How long the name server of a data center may take once its nodes are back: who did not reach the API server at first pauses
/// longer each time before it tries again.
const NAMES: Duration = Duration::from_secs(120);

/// What is away.
#[derive(Default)]
pub(super) struct Away {
    /// Until when the API server may not answer.
    kubernetes: Mutex<Option<Instant>>,
    power: Power,
    brought: Brought,
}

impl Away {
    /// Takes a part away for this time; what was done, in words. `control_plane` is the node of the API server.
    pub(super) async fn take(
        &self,
        parts: &Parts,
        control_plane: &str,
        topology: &Topology,
        part: &Part,
        duration: Duration,
    ) -> Result<String, ClusterError> {
        let (engine, workers) = (&parts.engine, &parts.workers);
        match part {
            Part::PodProcesses(pod) => pods::freeze(engine, pod.into(), duration).await,
            Part::Promptness { pod, port, delay } => {
                let brought = &self.brought;
                late_answers::begin(engine, brought, pod, *port, *delay, duration).await
            }
            Part::Nodes { data_center } => {
                let nodes = Nodes {
                    engine: engine.clone(),
                    workers: workers.clone(),
                    topology: topology.clone(),
                };
                self.power.off(nodes, data_center, duration).await
            }
            Part::ApiServer => {
                self.expect_silence(duration);
                control_plane::kill_api_server(engine, control_plane, duration).await
            }
            Part::Etcd => {
                self.expect_silence(duration);
                control_plane::freeze_etcd(engine, control_plane, duration).await
            }
            Part::OnDisks(part) => on_disks::harm(engine, workers, part, duration).await,
        }
    }

    /// Gives a part back now.
    pub(super) async fn give_back(
        &self,
        parts: &Parts,
        control_plane: &str,
        part: &Part,
    ) -> Result<(), ClusterError> {
        let (engine, workers) = (&parts.engine, &parts.workers);
        match part {
            Part::PodProcesses(pod) => pods::thaw(engine, pod.into()).await,
            Part::Promptness { pod, .. } => late_answers::end(engine, pod).await,
            Part::Nodes { data_center } => self.power.on(data_center).await,
            Part::ApiServer => control_plane::give_api_server_back(engine, control_plane).await,
            Part::Etcd => control_plane::thaw_etcd(engine, control_plane).await,
            Part::OnDisks(part) => on_disks::mend(engine, workers, part).await,
        }
    }

    /// Waits until a part whose time is over works as before.
    pub(super) async fn wait_until_back(
        &self,
        parts: &Parts,
        part: &Part,
    ) -> Result<(), ClusterError> {
        match part {
            Part::Nodes { data_center } => {
                let (client, engine) = (&parts.client, &parts.engine);
                self.power
                    .wait_until_back(client, engine, &parts.workers, data_center)
                    .await?;
                // It takes names again once it knows all services. Until then pods here ask those of other data centers.
                let here = BTreeSet::from([data_center.clone()]);
                names::wait_until_everywhere(client, &here, NAMES).await
            }
            _ => Ok(()),
        }
    }

    /// Whether the API server may not answer now because of us.
    pub(super) fn is_kubernetes_away(&self) -> bool {
        let until = *self.kubernetes();
        until.is_some_and(|until| Instant::now() < until)
    }

    fn expect_silence(&self, duration: Duration) {
        *self.kubernetes() = Some(Instant::now() + duration + ANSWERS_AGAIN);
    }

    fn kubernetes(&self) -> MutexGuard<'_, Option<Instant>> {
        // A time is always whole.
        self.kubernetes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
