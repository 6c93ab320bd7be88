//! Bringing up or finding the cluster, with its programs and images.

use crate::environment::{PrepareError, deploy_options};
use crate::images::{self, Images, Made};
use crate::phases::Phases;
use crate::plan::{ClusterChoice, KeepPolicy, RunPlan};
use harness_cluster::assets::{self, Assets, ForImages, KindPrograms, Progress};
use harness_cluster::existing::{self, ExistingCluster};
use harness_cluster::kind::{self, ImagesToCome};
use harness_cluster::local;
use harness_cluster::{Cluster, ClusterError, Clusters};
use harness_model::causes::chain;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::watch;

/// Clusters that are up, with the images on them.
pub(crate) struct Bringing {
    /// The clusters.
    pub(crate) clusters: Arc<Clusters>,
    /// They, or what we put into them, are ours to take down.
    pub(crate) ours: bool,
    /// The images that pods of the mesh get.
    pub(crate) images: Images,
}

/// There is no cluster.
pub(crate) struct NotBrought {
    /// Why.
    pub(crate) error: PrepareError,
    /// What could not be taken down again.
    pub(crate) left_behind: Vec<String>,
}

impl NotBrought {
    /// The user asked to stop while it was brought up. Whatever did that has been dropped by now.
    pub(crate) fn interrupted(plan: &RunPlan) -> Self {
        let left_behind = match &plan.cluster {
            ClusterChoice::Kind { name, topology, .. } => {
                kind::left_of(&plan.assets.cache, name, topology)
            }
            _ => Vec::new(),
        };
        Self {
            error: PrepareError::Interrupted,
            left_behind,
        }
    }
}

impl From<PrepareError> for NotBrought {
    fn from(mut error: PrepareError) -> Self {
        let left_behind = match &mut error {
            PrepareError::Cluster(error) => std::mem::take(&mut error.left),
            _ => Vec::new(),
        };
        Self { error, left_behind }
    }
}

impl Bringing {
    /// Takes down what is ours of a cluster that cannot be used, unless that is to be looked at.
    async fn given_up(self, keep: KeepPolicy, error: PrepareError) -> NotBrought {
        let left_behind = if self.ours {
            give_up(&self.clusters, keep).await
        } else {
            Vec::new()
        };
        NotBrought { error, left_behind }
    }
}

/// After a failure: takes clusters of ours down unless they are to be looked at. Says what could not be removed.
pub(crate) async fn give_up(clusters: &Clusters, keep: KeepPolicy) -> Vec<String> {
    if keep != KeepPolicy::Never && stays(clusters) {
        return Vec::new();
    }
    clusters.down().await
}

/// Lets clusters of ours live on; false when they cannot.
pub(crate) fn stays(clusters: &Clusters) -> bool {
    let kept = clusters.stay();
    if let Err(error) = &kept {
        tracing::warn!(why = chain(error), "the cluster cannot be kept");
    }
    kept.is_ok()
}

/// Obtains the programs, then brings the cluster up while the images are built, then gives them to it.
pub(crate) async fn bring_up(plan: &RunPlan, phases: &Phases) -> Result<Bringing, NotBrought> {
    let programs = phases.part("assets", obtain(plan, phases)).await?;
    let envoy = programs.envoy();
    // Nodes of kind are given their images before they are nodes.
    let (tell, to_come) = watch::channel(None);
    let make_images = async move {
        let made = images::make(plan, envoy, phases).await?;
        // Who is not there any more wants none.
        let _ = tell.send(Some(made.archives.clone()));
        Ok(made)
    };
    let (cluster, images) = tokio::join!(
        phases.part("cluster", up(plan, &programs, to_come, phases)),
        phases.part("images", make_images),
    );
    let brought = cluster?;
    let loaded = match images {
        Ok(made) => load(plan, &brought.clusters, made, phases).await,
        Err(error) => Err(error),
    };
    match loaded {
        Ok(images) => Ok(Bringing { images, ..brought }),
        Err(error) => Err(brought.given_up(plan.keep, error).await),
    }
}

/// The programs that a kind of cluster needs on this machine.
enum Programs {
    /// All that a local cluster consists of.
    Local(Assets),
    /// What a kind cluster needs.
    Kind(KindPrograms),
    /// What images need, to be brought to a registry.
    Images {
        /// Envoy.
        envoy: PathBuf,
    },
    /// None: everything is there.
    Nothing,
}

impl Programs {
    /// Envoy, when images are to be built here.
    fn envoy(&self) -> Option<PathBuf> {
        match self {
            Self::Local(assets) => assets.envoy.clone(),
            Self::Kind(programs) => programs.envoy.clone(),
            Self::Images { envoy } => Some(envoy.clone()),
            Self::Nothing => None,
        }
    }
}

async fn obtain(plan: &RunPlan, phases: &Phases) -> Result<Programs, PrepareError> {
    let for_images = plan.images.need(&plan.cluster);
    let of_others = matches!(plan.cluster, ClusterChoice::Existing { .. });
    if of_others && for_images == ForImages::Nothing {
        return Ok(Programs::Nothing);
    }
    let options = plan.assets.clone();
    let line = phases.lines("assets");
    let on_kind = plan.cluster.is_kind();
    blocking("obtaining the programs of the cluster", move || {
        let progress = |progress: &Progress| line(progress.to_string());
        if of_others {
            assets::envoy(&options, &progress).map(|envoy| Programs::Images { envoy })
        } else if on_kind {
            assets::kind_programs(&options, for_images, &progress).map(Programs::Kind)
        } else {
            assets::obtain(&options, for_images, &progress).map(Programs::Local)
        }
        .map_err(PrepareError::Assets)
    })
    .await
}

/// Makes the images known on the cluster's nodes. A local cluster only names what is unpacked already.
async fn load(
    plan: &RunPlan,
    clusters: &Clusters,
    made: Made,
    phases: &Phases,
) -> Result<Images, PrepareError> {
    let load = clusters.load_images(&made.archives);
    let names = if plan.cluster.is_local() || made.archives.is_empty() {
        load.await
    } else {
        phases.part("load", load).await
    }
    .map_err(PrepareError::Load)?;
    Ok(made.known_as(names))
}

/// Runs work that blocks where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
) -> Result<T, PrepareError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PrepareError::Broken(format!("{what}: {error}")))?
}

async fn up(
    plan: &RunPlan,
    programs: &Programs,
    images: ImagesToCome,
    phases: &Phases,
) -> Result<Bringing, PrepareError> {
    let line = phases.lines("cluster");
    let cache = &plan.assets.cache;
    let (clusters, ours): (Clusters, bool) = match (&plan.cluster, programs) {
        (ClusterChoice::Local { name, topology }, Programs::Local(programs)) => {
            let options = local::Options {
                name: name.clone(),
                topology: topology.clone(),
                programs: programs.into(),
                image_store: store(plan),
                keep: plan.keep != KeepPolicy::Never,
                part_of: None,
                // The mesh comes up meanwhile.
                early: true,
            };
            let clusters = local::up(options, |text| line(text.to_owned())).await;
            (clusters.map_err(PrepareError::Cluster)?, true)
        }
        (
            ClusterChoice::Kind {
                name,
                topology,
                node_image,
            },
            Programs::Kind(programs),
        ) => {
            let options = kind::Options {
                name: name.clone(),
                topology: topology.clone(),
                program: programs.kind.clone(),
                cache: cache.clone(),
                node_image: node_image.clone(),
                keep: match plan.keep {
                    KeepPolicy::Never => kind::Keep::Never,
                    KeepPolicy::OnFailure => kind::Keep::OnFailure,
                    KeepPolicy::Always => kind::Keep::Always,
                },
                diagnostics: Some(plan.artifacts.join("diagnostics")),
                part_of: None,
                images: Some(images),
            };
            let clusters = kind::up(options, |text| line(text.to_owned())).await;
            (clusters.map_err(PrepareError::Cluster)?, true)
        }
        (ClusterChoice::AttachKind { name }, Programs::Kind(programs)) => {
            let clusters = kind::attach(cache, name, &programs.kind).await;
            (clusters.map_err(PrepareError::Cluster)?, false)
        }
        (ClusterChoice::Attach { name }, _) => {
            let clusters = local::attach(name).await;
            (clusters.map_err(PrepareError::Cluster)?, false)
        }
        (
            ClusterChoice::Existing {
                context,
                allowed,
                registry,
            },
            _,
        ) => {
            let deployment = deploy_options(plan, &Images::default());
            let needs = harness_mesh::rights::needed(&plan.mesh.definition, &deployment).map_err(
                |source| PrepareError::Mesh {
                    mesh: plan.mesh.name.clone(),
                    source,
                },
            )?;
            let options = existing::Options {
                run: plan.run.clone(),
                context: context.clone(),
                allowed: allowed.clone(),
                needs,
                registry: registry.clone(),
            };
            let cluster = ExistingCluster::open(options, |text| line(text.to_owned())).await;
            (one(cluster)?, true)
        }
        (choice, _) => {
            return Err(PrepareError::Broken(format!(
                "the programs for {} were not obtained",
                choice.describe()
            )));
        }
    };
    Ok(Bringing {
        clusters: Arc::new(clusters),
        ours,
        images: Images::default(),
    })
}

/// An environment of one cluster.
fn one<C: Cluster + 'static>(cluster: Result<C, ClusterError>) -> Result<Clusters, PrepareError> {
    let cluster = cluster.map_err(PrepareError::Cluster)?;
    Ok(Clusters::one(Arc::new(cluster)))
}

pub(crate) fn store(plan: &RunPlan) -> PathBuf {
    plan.assets.cache.join("images")
}
