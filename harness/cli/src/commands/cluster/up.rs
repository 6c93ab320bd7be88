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
use harness_runner::Interrupt;
use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

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
    let for_images = wanted.need();
    let programs = match arguments.cluster.kind {
        ClusterKind::Kind => assets::kind_programs(&options, for_images, &step).map(Programs::Kind),
        _ => assets::obtain(&options, for_images, &step).map(Programs::Local),
    }
    .map_err(|error| not_obtained(&error))?;
    let (envoy, store) = match &programs {
        Programs::Local(programs) => (&programs.envoy, Some(plan::image_store(&options))),
        Programs::Kind(programs) => (&programs.envoy, None),
    };
    let obtained = images::obtain(wanted, envoy.clone(), &options, store.as_deref(), &|line| {
        tell("images", line.to_owned());
    })?;
    let images = obtained.images.clone();
    let mut say = say.into_inner();
    let attempt = format!("bring up the cluster `{}`", arguments.name);
    let order = Order {
        attempt: attempt.clone(),
        arguments: arguments.clone(),
        topology,
        options,
        programs,
        images: images.clone(),
    };
    let runtime = runtime()?;
    let outcome = runtime.block_on(async {
        let interrupt = signals::listen()?;
        let (steps, mut told) = unbounded_channel();
        let work = keep(order, steps, interrupt.clone());
        let mut task = tokio::spawn(work);
        let mut tell = |step: String| say("cluster", step);
        match follow(&mut task, &mut told, &interrupt, &mut tell).await {
            Some(ended) => ended.map_err(|error| {
                Failure::new(ExitCode::Internal, attempt.clone())
                    .because(&error)
                    .hint("this is a defect of meshproof; please report it with the text above")
            })?,
            None => Err(interrupted(&attempt, &interrupt).hint(format!(
                "what is left of it is removed by `meshproof cluster down {}`, or by `meshproof clean`",
                arguments.name
            ))),
        }
    });
    // What blocks in work that was abandoned must not hold the process up.
    runtime.shutdown_background();
    let cluster = outcome?;
    let kubeconfigs = cluster.all().iter().filter_map(|cluster| {
        let name = clusters::name(cluster.as_ref()).to_owned();
        Some((name, cluster.kubeconfig()?.to_owned()))
    });
    Ok(Kept {
        kubeconfigs: kubeconfigs.collect(),
        images: images.into_iter().map(|image| image.reference).collect(),
    })
}

/// All that a cluster is brought up from.
struct Order {
    attempt: String,
    arguments: ClusterUpArguments,
    topology: Topology,
    options: AssetOptions,
    programs: Programs,
    images: Vec<ImageArchive>,
}

/// Brings the cluster up and gives it its images. The first signal ends that, and what is up is taken down.
async fn keep(
    order: Order,
    steps: UnboundedSender<String>,
    interrupt: Interrupt,
) -> Result<Clusters, Failure> {
    let attempt = order.attempt.clone();
    // Who is not there any more needs no steps.
    let mut step = |text: &str| drop(steps.send(text.to_owned()));
    let up = async {
        let up = bring_up(&order, &mut step).await;
        up.map_err(|error| failure(attempt.clone(), &error))
    };
    // What is half up ends with the future.
    let cluster = unless_stopped(&attempt, &interrupt, up).await?;
    // It is kept from now on, so it does not end by itself any more.
    let load = async {
        let loaded = cluster.load_images(&order.images).await;
        loaded.map_err(|error| failure("load the images", &error))
    };
    match unless_stopped(&attempt, &interrupt, load).await {
        Ok(_) => Ok(cluster),
        Err(mut failure) => {
            for left in cluster.down().await {
                failure = failure.item(left);
            }
            Err(failure)
        }
    }
}

/// What the work comes to, unless the first signal is there before its end.
async fn unless_stopped<T>(
    attempt: &str,
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    tokio::select! {
        biased;
        () = interrupt.stop() => Err(interrupted(attempt, interrupt)),
        done = work => done,
    }
}

fn interrupted(attempt: &str, interrupt: &Interrupt) -> Failure {
    let exit = ExitCode::of_signal(interrupt.signal().unwrap_or_default());
    Failure::new(exit, attempt).reason("interrupted")
}

/// Tells the steps of the work until it is over, and says how it ended; none when the user left at once. The work is a
/// task: it may block, also in its destructors, and must not keep us from hearing that.
async fn follow<T>(
    task: &mut JoinHandle<T>,
    told: &mut UnboundedReceiver<String>,
    interrupt: &Interrupt,
    tell: &mut impl FnMut(String),
) -> Option<Result<T, JoinError>> {
    let at_once = interrupt.at_once();
    tokio::pin!(at_once);
    loop {
        tokio::select! {
            biased;
            () = &mut at_once => return tokio::time::timeout(signals::AT_ONCE, task).await.ok(),
            Some(step) = told.recv() => tell(step),
            ended = &mut *task => return Some(ended),
        }
    }
}

/// The programs that a kind of cluster needs on this machine.
enum Programs {
    Local(Assets),
    Kind(KindPrograms),
}

async fn bring_up(
    order: &Order,
    step: &mut (dyn FnMut(&str) + Send),
) -> Result<Clusters, ClusterError> {
    let arguments = &order.arguments;
    let name = arguments.name.clone();
    let topology = order.topology.clone();
    match &order.programs {
        Programs::Local(programs) => {
            let options = local::Options {
                name,
                topology,
                programs: programs.into(),
                image_store: plan::image_store(&order.options),
                keep: true,
                part_of: None,
                early: false,
            };
            local::up(options, step).await
        }
        Programs::Kind(programs) => {
            let options = kind::Options {
                name,
                topology,
                program: programs.kind.clone(),
                cache: order.options.cache.clone(),
                node_image: arguments.cluster.node_image.clone(),
                keep: kind::Keep::WhenReady,
                diagnostics: Some(
                    arguments
                        .artifacts
                        .join(format!("cluster-up-{}", arguments.name)),
                ),
                part_of: None,
                images: Some(watch::channel(Some(order.images.clone())).1),
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;
    use std::sync::mpsc;

    const INT: i32 = 2;
    const TERM: i32 = 15;

    #[tokio::test]
    async fn work_under_way_is_given_up_at_the_first_signal() {
        let interrupt = Interrupt::new();
        let work = async {
            interrupt.raise(TERM);
            pending().await
        };
        let given_up: Result<(), _> = unless_stopped("try", &interrupt, work).await;
        assert_eq!(given_up.unwrap_err().exit, ExitCode::Terminated);
        let done = unless_stopped("try", &Interrupt::new(), async { Ok(1) }).await;
        assert_eq!(done.unwrap(), 1);
    }

    /// Blocks in its destructor until the other end goes, as a cluster does that is being removed there.
    struct Blocking(mpsc::Receiver<()>);

    impl Drop for Blocking {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn the_second_signal_is_heard_while_a_destructor_blocks() {
        let (release, blocks) = mpsc::channel();
        let (steps, mut told) = unbounded_channel();
        let interrupt = Interrupt::new();
        let of_work = interrupt.clone();
        let mut task = tokio::spawn(async move {
            let half_up = Blocking(blocks);
            let work = async {
                let _half_up = half_up;
                let _ = steps.send("half up".to_owned());
                pending::<Result<(), Failure>>().await
            };
            unless_stopped("try", &of_work, work).await
        });
        let mut said = Vec::new();
        let mut tell = |step| {
            said.push(step);
            interrupt.raise(INT);
            interrupt.raise(INT);
        };
        let ended = follow(&mut task, &mut told, &interrupt, &mut tell).await;
        assert!(ended.is_none(), "it does not wait for the destructor");
        assert_eq!(said, ["half up"]);
        drop(release);
        let ended = task.await.expect("nothing panics");
        assert_eq!(ended.unwrap_err().exit, ExitCode::Interrupted);
    }
}
