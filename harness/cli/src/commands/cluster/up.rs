//! Bringing up a cluster that is kept, with its images.

use super::{failure, images, runtime, start_logging};
use crate::arguments::{ClusterKind, ClusterUpArguments, Common};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{plan, signals, tools};
use harness_cluster::assets::{self, AssetError, AssetOptions, Assets, KindPrograms, Progress};
use harness_cluster::kind;
use harness_cluster::local;
use harness_cluster::{ClusterError, Clusters, ImageArchive, clusters};
use harness_model::topology::Topology;
use std::cell::RefCell;
use std::path::PathBuf;
use tokio::sync::watch;

/// Clusters that stay.
pub(super) struct Kept {
    /// Of each cluster its name in the topology and its kubeconfig file.
    pub(super) kubeconfigs: Vec<(String, PathBuf)>,
    /// Names of the images on its nodes.
    pub(super) images: Vec<String>,
}

/// Brings the cluster up, gives it its images and keeps it.
pub(super) fn up(
    arguments: &ClusterUpArguments,
    common: &Common,
    say: impl FnMut(&str, String) + Send,
) -> Result<Kept, Failure> {
    let topology = plan::topology(&arguments.topology)?;
    let wanted = images::check(arguments)?;
    let options = plan::assets(arguments.assets.as_deref(), arguments.offline)?;
    start_logging(common)?;
    tools::ensure(arguments.no_install)?;
    let say = RefCell::new(say);
    let tell = |phase: &str, text: String| (say.borrow_mut())(phase, text);
    let step = |step: &Progress| tell("assets", step.to_string());
    let programs = match arguments.cluster.kind {
        ClusterKind::Kind => assets::kind_programs(&options, &step).map(Programs::Kind),
        _ => assets::obtain(&options, &step).map(Programs::Local),
    }
    .map_err(|error| not_obtained(&error))?;
    let (envoy, store) = match &programs {
        Programs::Local(programs) => (&programs.envoy, Some(plan::image_store(&options))),
        Programs::Kind(programs) => (&programs.envoy, None),
    };
    let images = images::obtain(wanted, envoy, store.as_deref(), &|line| {
        tell("images", line.to_owned());
    })?;
    let mut say = say.into_inner();
    let mut step = |text: &str| say("cluster", text.to_owned());
    let attempt = format!("bring up the cluster `{}`", arguments.name);
    let cluster = runtime()?.block_on(async {
        let interrupt = signals::listen()?;
        let interrupted = || {
            let exit = ExitCode::of_signal(interrupt.signal().unwrap_or_default());
            Failure::new(exit, attempt.clone()).reason("interrupted")
        };
        let cluster = tokio::select! {
            cluster = bring_up(arguments, topology, &options, &programs, &images, &mut step) => {
                cluster.map_err(|error| failure(attempt.clone(), &error))?
            }
            // What is half up ends with the future.
            () = interrupt.stop() => return Err(interrupted()),
        };
        let mut loaded = cluster
            .load_images(&images)
            .await
            .map_err(|error| failure("load the images", &error));
        // It is kept from now on, so it does not end by itself any more.
        if loaded.is_ok() && interrupt.signal().is_some() {
            loaded = Err(interrupted());
        }
        match loaded {
            Ok(_) => Ok(cluster),
            Err(mut failure) => {
                for left in cluster.down().await {
                    failure = failure.item(left);
                }
                Err(failure)
            }
        }
    })?;
    let kubeconfigs = cluster.all().iter().map(|cluster| {
        let name = clusters::name(cluster.as_ref()).to_owned();
        (name, cluster.kubeconfig().to_owned())
    });
    Ok(Kept {
        kubeconfigs: kubeconfigs.collect(),
        images: images.into_iter().map(|image| image.reference).collect(),
    })
}

/// The programs that a kind of cluster needs on this machine.
enum Programs {
    Local(Assets),
    Kind(KindPrograms),
}

async fn bring_up(
    arguments: &ClusterUpArguments,
    topology: Topology,
    options: &AssetOptions,
    programs: &Programs,
    images: &[ImageArchive],
    step: &mut (dyn FnMut(&str) + Send),
) -> Result<Clusters, ClusterError> {
    let name = arguments.name.clone();
    match programs {
        Programs::Local(programs) => {
            let options = local::Options {
                name,
                topology,
                programs: programs.into(),
                image_store: plan::image_store(options),
                keep: true,
                part_of: None,
            };
            local::up(options, step).await
        }
        Programs::Kind(programs) => {
            let options = kind::Options {
                name,
                topology,
                program: programs.kind.clone(),
                cache: options.cache.clone(),
                node_image: arguments.cluster.node_image.clone(),
                keep: kind::Keep::WhenReady,
                diagnostics: Some(
                    arguments
                        .artifacts
                        .join(format!("cluster-up-{}", arguments.name)),
                ),
                part_of: None,
                images: Some(watch::channel(Some(images.to_vec())).1),
            };
            kind::up(options, step).await
        }
    }
}

/// The program `kind`.
pub(super) fn kind_program(options: &AssetOptions) -> Result<PathBuf, Failure> {
    assets::kind(options, &|_| ()).map_err(|error| not_obtained(&error))
}

fn not_obtained(error: &AssetError) -> Failure {
    let hint = error.hint();
    Failure::new(ExitCode::Environment, "obtain the programs of the cluster")
        .because(error)
        .hint_opt(hint)
}
