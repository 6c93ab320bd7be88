//! A cluster with a mesh and the drivers that act on it: brought up, asked for, taken down.
//!
//! Invariant: the only place that makes drivers and takes them down.

mod candidates;
mod collect;
mod deployment;
mod error;
mod exposed_keys;
mod forms;
mod names;
mod tokens;
mod waits;
mod whole;

pub(crate) use deployment::deploy_options;
pub use error::PrepareError;

use crate::bring_up::{self, Bringing, NotBrought, bring_up};
use crate::clock::Clock;
use crate::directory_watch::DirectoryWatch;
use crate::images::Images;
use crate::phases::Phases;
use crate::plan::{CollectPolicy, RunPlan};
use crate::rendezvous::Rendezvous;
use crate::sidecar_watch::SidecarWatch;
use crate::streams::{Arrangement, Streams};
use crate::{Events, Interrupt, rights};
use collect::{collect, write_state};
use harness_cluster::Clusters;
use harness_cluster::rights::Right;
use harness_faults::{Injector, Ledger};
use harness_mesh::{DeployMeshError, Mesh};
use harness_model::capability::Capability;
use harness_model::causes::chain;
use harness_model::directory::Sidecar;
use harness_model::patience::Patience;
use harness_model::run_event::RunEvent;
use harness_model::scenario::Scenario;
use harness_probe::Prober;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;

/// Clusters, a mesh and the drivers, ready.
pub struct Environment {
    clusters: Arc<Clusters>,
    /// The clusters are ours to take down.
    ours: bool,
    mesh: Arc<Mesh>,
    prober: Prober,
    injector: Injector,
    directory: DirectoryWatch,
    watch: Arc<SidecarWatch>,
    streams: Arc<Streams>,
    rendezvous: Rendezvous,
    arrangement: watch::Sender<Arrangement>,
    capabilities: BTreeSet<Capability>,
    /// Image that was replaced → the digests that nodes tell of the containers that run it.
    candidates: BTreeMap<String, Vec<String>>,
    /// Image → the build before that was named for it, as nodes know it.
    before: BTreeMap<String, String>,
    /// Of the rights that the scenarios take, those that we do not have.
    missing_rights: BTreeSet<Right>,
    patience: Patience,
    clock: Clock,
}

/// What is left of an attempt to bring up.
pub struct Prepared {
    /// The environment, or why there is none.
    pub environment: Result<Environment, PrepareError>,
    /// What could not be taken down again after a failure.
    pub left_behind: Vec<String>,
}

impl Environment {
    /// Brings everything up: programs, images and cluster side by side where they can be, then the mesh, then the
    /// watches. What an interrupt leaves is taken down again, and what a failure leaves unless it is to be kept.
    pub async fn prepare(plan: &RunPlan, events: &Events, interrupt: &Interrupt) -> Prepared {
        let phases = Phases::new(events.clone());
        let brought = tokio::select! {
            brought = bring_up(plan, &phases) => brought,
            () = interrupt.stop() => Err(NotBrought::interrupted(plan)),
        };
        let Bringing {
            clusters,
            ours,
            images,
        } = match brought {
            Ok(brought) => brought,
            Err(NotBrought { error, left_behind }) => {
                return Prepared {
                    environment: Err(error),
                    left_behind,
                };
            }
        };
        let environment = tokio::select! {
            environment = Self::on(Arc::clone(&clusters), ours, plan, &images, &phases) => environment,
            error = clusters.lost() => Err(PrepareError::Lost(error)),
            () = interrupt.stop() => Err(PrepareError::Interrupted),
        };
        let mut left_behind = Vec::new();
        if let Err(error) = &environment {
            let is_broken = !matches!(error, PrepareError::Names(_));
            if is_broken && plan.collect != CollectPolicy::Never && interrupt.signal().is_none() {
                collect(&clusters, &plan.artifacts.join("diagnostics")).await;
            }
            if ours {
                left_behind = bring_up::give_up(&clusters, error.kept(plan.keep)).await;
            }
        }
        Prepared {
            environment,
            left_behind,
        }
    }

    async fn on(
        clusters: Arc<Clusters>,
        ours: bool,
        plan: &RunPlan,
        images: &Images,
        phases: &Phases,
    ) -> Result<Self, PrepareError> {
        let choice = &plan.mesh;
        names::check(&clusters, plan, choice)?;
        let options = deploy_options(plan, images);
        let lines = phases.lines("mesh");
        let deployed = phases.part("mesh", async {
            let deployed = Mesh::deploy(&clusters, choice.definition.clone(), options, &lines);
            deployed.await.map_err(|source| PrepareError::Mesh {
                mesh: choice.name.clone(),
                source,
            })
        });
        let watched = async {
            let mesh = deployed.await?;
            let candidates = candidates::seen(&mesh, plan, &images.candidates, phases).await?;
            let watching = Self::watching(Arc::clone(&clusters), ours, plan, Arc::new(mesh));
            let environment = phases.part("sidecars", watching).await?;
            Ok(Self {
                candidates,
                before: images.named_before(&plan.images.before),
                ..environment
            })
        };
        let environment = whole::on_ready(clusters.wait_until_ready(), watched).await?;
        environment.tell_forms(phases);
        Ok(environment)
    }

    async fn watching(
        clusters: Arc<Clusters>,
        ours: bool,
        plan: &RunPlan,
        mesh: Arc<Mesh>,
    ) -> Result<Self, PrepareError> {
        let patience = plan.patience.clone();
        let ledger =
            Ledger::open(&plan.artifacts.join("faults.jsonl")).map_err(PrepareError::Ledger)?;
        let workloads = mesh.workloads().await.map_err(PrepareError::Read)?;
        let prober = Prober::new(Arc::clone(&clusters), patience.probe.0);
        let directory = DirectoryWatch::start(Arc::clone(&mesh), workloads);
        let watch = Arc::new(SidecarWatch::start(prober.clone(), directory.subscribe()));
        let streams = Arc::new(Streams::new(
            Arc::clone(&mesh),
            prober.clone(),
            Arc::clone(&watch),
            patience.marker.0,
        ));
        let (arrangement, receiver) = watch::channel(Arrangement::Spread);
        let rendezvous = Rendezvous::start(Arc::clone(&streams), Arc::clone(&watch), receiver);
        let capabilities = mesh.definition().capabilities_on(clusters.capabilities());
        let asked = plan
            .scenarios
            .iter()
            .flat_map(|scenario| rights::of(scenario, mesh.definition()))
            .collect();
        let missing_rights = clusters.missing_rights(&asked).await;
        let missing_rights = missing_rights.map_err(PrepareError::Cluster)?;
        let environment = Self {
            injector: Injector::new(Arc::clone(&clusters), ledger),
            clusters,
            ours,
            mesh,
            prober,
            directory,
            watch,
            streams,
            rendezvous,
            arrangement,
            capabilities,
            candidates: BTreeMap::new(),
            before: BTreeMap::new(),
            missing_rights,
            patience,
            clock: Clock::new(plan.started),
        };
        environment.arrange(Arrangement::Spread).await;
        // Also where nobody can be told where to be.
        environment.watch.read_from_now_on();
        environment.wait_until_in_sync().await;
        Ok(environment)
    }

    /// What scenarios may require.
    #[must_use]
    pub fn capabilities(&self) -> &BTreeSet<Capability> {
        &self.capabilities
    }

    /// What a scenario takes and is not there, in words; empty when it can be run.
    pub(crate) fn lacks(&self, scenario: &Scenario) -> Vec<String> {
        let needed = scenario.needs();
        let capabilities = needed
            .iter()
            .filter(|needed| !self.capabilities.contains(needed))
            .map(|needed| {
                serde_json::to_value(needed)
                    .ok()
                    .and_then(|value| value.as_str().map(str::to_owned))
                    .unwrap_or_default()
            });
        let rights = rights::of(scenario, self.mesh.definition());
        let rights = rights.intersection(&self.missing_rights);
        capabilities
            .chain(rights.map(|right| format!("the right to {right}")))
            .collect()
    }

    /// Ends, with the reason, when the cluster may not be used any more.
    pub(crate) async fn lost(&self) -> PrepareError {
        PrepareError::Lost(self.clusters.lost().await)
    }

    /// Who is there.
    #[must_use]
    pub fn sidecars(&self) -> Vec<Sidecar> {
        self.directory
            .workloads()
            .iter()
            .map(|workload| workload.sidecar.clone())
            .collect()
    }

    /// That it is ready, this long after the start of the process.
    pub(crate) fn ready(&self, millis: u64) -> RunEvent {
        RunEvent::EnvironmentReady {
            sidecars: self.sidecars(),
            candidates: self.candidates.clone(),
            before: self.before.clone(),
            millis,
        }
    }

    /// Has the list of who is there made once more.
    pub(crate) fn look_again(&self) {
        self.directory.look_again();
    }

    /// The data centers in the topology's order.
    #[must_use]
    pub fn data_centers(&self) -> Vec<String> {
        self.clusters
            .topology()
            .data_centers()
            .map(|data_center| data_center.name.clone())
            .collect()
    }

    /// Puts another mesh in place, with a seeded bug or the sound one, and waits until every sidecar is
    /// connected to it.
    ///
    /// # Errors
    ///
    /// When the mesh has no mutants or the control plane does not become ready.
    pub async fn set_mutant(&self, mutant: Option<&str>) -> Result<(), DeployMeshError> {
        self.mesh.set_mutant(mutant).await?;
        // Where the bug is one of the sidecars, pods of workloads have been replaced.
        self.wait_until_whole().await;
        self.arrange(Arrangement::Spread).await;
        self.wait_until_in_sync().await;
        Ok(())
    }

    /// Writes logs and state below `folder`, for people.
    pub async fn collect_diagnostics(&self, folder: &Path) {
        collect(&self.clusters, folder).await;
        for workload in self.watch.workloads() {
            let name = workload.sidecar.name;
            if let Some(state) = self.watch.latest(&name) {
                write_state(&folder.join("sidecars"), &name, state.as_ref());
            }
        }
    }

    /// Heals what is still broken, and takes the cluster down if it is ours and not to be kept. What could not be removed;
    /// empty when nothing is left. Nothing can be asked of the environment afterwards.
    pub async fn down(&self, keep: bool) -> Vec<String> {
        let mut left: Vec<String> = self
            .injector
            .heal_all()
            .await
            .into_iter()
            .map(|fault| format!("fault: {fault}"))
            .collect();
        if self.ours && !(keep && bring_up::stays(&self.clusters)) {
            self.directory.stop();
            self.watch.stop();
            left.extend(self.clusters.down().await);
        } else {
            match self.mesh.leftovers().await {
                Ok(objects) => left.extend(objects),
                Err(error) => left.push(format!("unknown: {}", chain(&error))),
            }
        }
        left
    }

    pub(crate) fn mesh(&self) -> Arc<Mesh> {
        Arc::clone(&self.mesh)
    }

    pub(crate) fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    pub(crate) fn prober(&self) -> &Prober {
        &self.prober
    }

    pub(crate) fn injector(&self) -> &Injector {
        &self.injector
    }

    pub(crate) fn watch(&self) -> &SidecarWatch {
        &self.watch
    }

    pub(crate) fn streams(&self) -> &Streams {
        &self.streams
    }

    pub(crate) fn rendezvous(&self) -> &Rendezvous {
        &self.rendezvous
    }

    pub(crate) fn patience(&self) -> &Patience {
        &self.patience
    }

    pub(crate) fn clock(&self) -> Clock {
        self.clock
    }

    /// The data center of a workload's pod, by pod name; none when it is gone.
    pub(crate) fn data_center_of(&self, pod: &str) -> Option<String> {
        self.directory
            .workloads()
            .iter()
            .find(|workload| workload.sidecar.pod == pod)
            .map(|workload| workload.sidecar.data_center.clone())
    }

    /// Puts the sidecars into an arrangement, now and after every round of reconnections. Who does not arrive is told to
    /// the log: the proofs that need it will say so.
    pub(crate) async fn arrange(&self, arrangement: Arrangement) {
        self.arrangement.send_replace(arrangement);
        if !self.capabilities.contains(&Capability::Reconnect) {
            return;
        }
        match self.streams.arrange(arrangement).await {
            Ok(late) if late.is_empty() => {}
            Ok(late) => tracing::warn!(
                ?late,
                ?arrangement,
                "some sidecars are not on their replica"
            ),
            Err(reason) => tracing::warn!(reason, "cannot put the sidecars on their replicas"),
        }
    }
}
