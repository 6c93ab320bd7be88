//! Bringing up or finding the cluster, with its programs and images.

use crate::environment::PrepareError;
use crate::phases::Phases;
use crate::plan::{ClusterChoice, ImageSource, KeepPolicy, RunPlan};
use harness_cluster::Cluster;
use harness_cluster::assets::{self, Assets, Progress};
use harness_cluster::local::{LocalCluster, Options};
use harness_images::build::{self, BuildOptions, BuiltImage};
use harness_images::store::Store;
use std::path::PathBuf;
use std::sync::Arc;

/// A cluster that is up, with the images on it.
pub(crate) struct Bringing {
    /// The cluster.
    pub(crate) cluster: Arc<dyn Cluster>,
    /// It is ours to take down.
    pub(crate) ours: bool,
}

/// Obtains the programs, then brings the cluster up while the images are built and unpacked, then gives them to it.
pub(crate) async fn bring_up(plan: &RunPlan, phases: &Phases) -> Result<Bringing, PrepareError> {
    let programs = phases.part("assets", obtain(plan, phases)).await?;
    let (cluster, images) = tokio::join!(
        phases.part("cluster", up(plan, &programs, phases)),
        phases.part("images", images(plan, programs.envoy.clone(), phases)),
    );
    let (cluster, ours) = cluster?;
    let view = cluster.folder().join("images");
    let cluster: Arc<dyn Cluster> = Arc::new(cluster);
    let loaded = match images {
        Ok(images) => load(view, images).await,
        Err(error) => Err(error),
    };
    match loaded {
        Ok(()) => Ok(Bringing { cluster, ours }),
        Err(error) => {
            if ours {
                let left = cluster.down().await;
                if !left.is_empty() {
                    tracing::warn!(?left, "something of the cluster is left");
                }
            }
            Err(error)
        }
    }
}

async fn obtain(plan: &RunPlan, phases: &Phases) -> Result<Assets, PrepareError> {
    let options = plan.assets.clone();
    let line = phases.lines("assets");
    blocking("obtaining the programs of the cluster", move || {
        assets::obtain(&options, &|progress: &Progress| line(progress.to_string()))
            .map_err(PrepareError::Assets)
    })
    .await
}

/// Obtains the images and unpacks them into the store that all clusters of this machine share.
async fn images(
    plan: &RunPlan,
    envoy: PathBuf,
    phases: &Phases,
) -> Result<Vec<BuiltImage>, PrepareError> {
    let options = BuildOptions {
        prebuilt: match &plan.images.source {
            ImageSource::Built => None,
            ImageSource::Folder(folder) => Some(folder.clone()),
        },
        replacements: plan.images.replacements.clone(),
        envoy,
    };
    let line = phases.lines("images");
    let store = store(plan);
    blocking("obtaining the images", move || {
        let images = build::build(&options, &|text: &str| line(text.to_owned()))
            .map_err(PrepareError::Images)?;
        let store = Store::open(&store).map_err(PrepareError::Store)?;
        for image in &images {
            store.load(&image.archive).map_err(PrepareError::Store)?;
        }
        Ok(images)
    })
    .await
}

/// Names the unpacked images in the cluster's own view of the store. A replaced image may call itself something else,
/// and gets the name that manifests use.
async fn load(view: PathBuf, images: Vec<BuiltImage>) -> Result<(), PrepareError> {
    blocking("naming the images", move || {
        let view = Store::open(&view).map_err(PrepareError::Store)?;
        for image in &images {
            view.load_as(&image.archive, &image.reference)
                .map_err(PrepareError::Store)?;
        }
        Ok(())
    })
    .await
}

/// Runs work that blocks where it may.
async fn blocking<T: Send + 'static>(
    what: &'static str,
    work: impl FnOnce() -> Result<T, PrepareError> + Send + 'static,
) -> Result<T, PrepareError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| PrepareError::Broken(format!("{what}: {error}")))?
}

/// The cluster, and whether it is ours to take down.
async fn up(
    plan: &RunPlan,
    programs: &Assets,
    phases: &Phases,
) -> Result<(LocalCluster, bool), PrepareError> {
    match &plan.cluster {
        ClusterChoice::Attach { name } => LocalCluster::attach(name)
            .await
            .map(|cluster| (cluster, false))
            .map_err(PrepareError::Cluster),
        ClusterChoice::Local { name, topology } => {
            let options = Options {
                name: name.clone(),
                topology: topology.clone(),
                programs: programs.into(),
                image_store: store(plan),
                keep: plan.keep != KeepPolicy::Never,
            };
            let line = phases.lines("cluster");
            LocalCluster::up(options, |text| line(text.to_owned()))
                .await
                .map(|cluster| (cluster, true))
                .map_err(PrepareError::Cluster)
        }
    }
}

fn store(plan: &RunPlan) -> PathBuf {
    plan.assets.cache.join("images")
}
