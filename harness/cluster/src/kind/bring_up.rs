//! Making a kind cluster, step by step, and what stays to look at when a step fails.

use super::command::{KindCommand, NotMade};
use super::early::Reached;
use super::engine::Engine;
use super::images::ImagesToCome;
use super::made::Made;
use super::said::{hint_for, reason};
use super::state::Folder;
use super::unit::Unit;
use super::zone::Worker;
use super::{config, early, latency, names, zone};
use crate::api::diagnostics::{self, Namespaces};
use crate::together::Whole;
use crate::{ClusterError, ImageArchive, api, failed, nodes};
use futures::FutureExt as _;
use harness_model::causes::chain;
use harness_model::topology::Topology;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// How long the nodes, and then the name servers, may take to become ready once kind has made them. Before that,
/// kubeadm gives the kubelet of each node four minutes.
const READY: Duration = Duration::from_secs(240);
/// How long the API server of a cluster that did not come up may take to tell what it knows.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// How a kind cluster is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name: lower-case letters, digits and dashes.
    pub name: String,
    /// Its shape.
    pub topology: Topology,
    /// The program `kind`.
    pub program: PathBuf,
    /// The cache folder of meshproof: what we know of the cluster is below it.
    pub cache: PathBuf,
    /// The node image; without one, that of `kind-config`, which has a digest.
    pub node_image: Option<String>,
    /// Whether it lives on when we end.
    pub keep: Keep,
    /// Where logs go when it does not come up.
    pub diagnostics: Option<PathBuf>,
    /// The clusters it is one of, when there are several.
    pub part_of: Option<Whole>,
    /// Images that its nodes are given while they become a cluster; what has gone wrong with them is for who loads them
    /// later.
    pub images: Option<ImagesToCome>,
}

/// Whether a cluster lives on when we end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It ends with us.
    Never,
    /// It stays once it is ready.
    WhenReady,
    /// It stays when it does not become ready; else it ends with us, unless [`Cluster::stay`](crate::Cluster::stay) is
    /// asked for.
    OnFailure,
    /// It stays, also when it does not become ready.
    Always,
}

impl Keep {
    /// It stays when it does not become ready.
    pub(super) fn keeps_failed(self) -> bool {
        matches!(self, Self::OnFailure | Self::Always)
    }
}

/// What is known of a cluster whose nodes are ready.
pub(super) struct Parts {
    pub(super) client: kube::Client,
    pub(super) kubeconfig: PathBuf,
    pub(super) engine: Engine,
    pub(super) workers: Vec<Worker>,
    /// Data centers can be cut off.
    pub(super) can_cut: bool,
    /// Packets between data centers are late, as the topology says.
    pub(super) is_late: bool,
    /// Images that the nodes in data centers have.
    pub(super) images: Vec<ImageArchive>,
}

impl Parts {
    /// Finds the nodes and prepares them for what is done with data centers.
    pub(super) async fn of(
        client: kube::Client,
        kubeconfig: PathBuf,
        engine: Engine,
        topology: &Topology,
    ) -> Result<Self, ClusterError> {
        let workers = zone::workers(&client).await?;
        let (cut, late) = tokio::join!(
            zone::prepare(&engine, &workers),
            latency::prepare(&engine, &workers, topology),
        );
        if let Err(error) = &cut {
            let why = chain(error);
            tracing::warn!(%why, "data centers cannot be cut off: the nodes do not take nft rules");
        }
        if let Err(error) = &late {
            let why = chain(error);
            tracing::warn!(%why, "packets between data centers are not late, as the topology says");
        }
        Ok(Self {
            client,
            kubeconfig,
            engine,
            workers,
            can_cut: cut.is_ok(),
            is_late: late.is_ok() && topology.has_latency(),
            images: Vec::new(),
        })
    }
}

/// Makes a cluster and returns when every node is ready. What was made is removed when that fails, unless it is kept.
pub(super) async fn bring_up(
    options: &Options,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(Parts, Made), ClusterError> {
    let engine = Engine::find().await?;
    bring_up_on(engine, options, progress).await
}

async fn bring_up_on(
    engine: Engine,
    options: &Options,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<(Parts, Made), ClusterError> {
    let shape = options.topology.clusters.first().ok_or_else(|| {
        ClusterError::because("make the kind cluster", "the topology has no cluster")
    })?;
    sweep(options, &engine, progress).await;
    if let Some(image) = &options.node_image
        && !engine.has_image(image).await
    {
        progress(&format!(
            "the node image {image} is not here; kind tries to pull it"
        ));
    }
    let (made, config) = begin(options, &engine, &config::render(shape)).await?;
    match come_up(options, engine, &made, &config, progress).await {
        Ok(parts) => {
            if matches!(options.keep, Keep::WhenReady | Keep::Always) {
                made.keep(&options.topology, options.part_of.as_ref())?;
            }
            Ok((parts, made))
        }
        Err(error) => {
            let left = give_up(options, made, progress).await;
            Err(ClusterError { left, ..error })
        }
    }
}

async fn sweep(options: &Options, engine: &Engine, progress: &mut (dyn FnMut(&str) + Send)) {
    let swept = super::sweep_on(&options.cache, &options.program, Ok(engine)).await;
    for name in swept.removed {
        progress(&format!(
            "removed what a dead run left: kind cluster {name}"
        ));
    }
    for (name, error) in swept.failed {
        let why = chain(&error);
        tracing::warn!(name, %why, "cannot remove what a dead run left");
    }
}

/// Takes the name, in our cache and among the clusters that kind knows, and writes down what kind is to make: from then on
/// a cluster of the name is ours.
async fn begin(
    options: &Options,
    engine: &Engine,
    config: &str,
) -> Result<(Made, PathBuf), ClusterError> {
    let folder = Folder::create(&options.cache, &options.name)?;
    let kind = KindCommand::new(&options.program, engine, &options.name, folder.path());
    match take(&kind, engine, &folder, config).await {
        Ok(config) => Ok((Made::begin(kind, folder), config)),
        Err(error) => {
            // Of a cluster of ours that could not be removed the folder is all that tells.
            if !folder.is_begun() {
                folder.remove();
            }
            Err(error)
        }
    }
}

async fn take(
    kind: &KindCommand,
    engine: &Engine,
    folder: &Folder,
    config: &str,
) -> Result<PathBuf, ClusterError> {
    let engine = engine.identity().await;
    // A dead one that another engine has would be forgotten.
    folder.must_be_of(&engine)?;
    if !kind.exists().await? {
        return folder.begin(config, &engine);
    }
    let act = "make the kind cluster";
    let name = kind.cluster();
    Err(if folder.is_begun() {
        let reason =
            format!("`{name}` of a dead run is still there: it could not be removed just now");
        ClusterError::because(act, reason)
            .hint("`meshproof clean` tries again, and says why it fails")
    } else {
        let reason = format!("there is a kind cluster `{name}` that is not ours");
        ClusterError::because(act, reason).hint(format!(
            "choose another name, or remove it: kind delete cluster --name {name}"
        ))
    })
}

/// Lets kind make the cluster, and does meanwhile what takes no whole one.
async fn come_up(
    options: &Options,
    engine: Engine,
    made: &Made,
    config: &Path,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Parts, ClusterError> {
    let (tell, reached) = watch::channel(Reached::Nothing);
    let loader = engine.clone();
    let data_centers = names_of(&options.topology);
    let nodes = become_nodes(options, engine, made, config, tell, &mut *progress);
    let (parts, images, ()) = tokio::try_join!(
        nodes,
        early::load(reached.clone(), &made.kind, &loader, options.images.clone()).map(Ok),
        early::name_servers(reached, &made.kind, &data_centers).map(Ok),
    )?;
    if !images.is_empty() {
        progress("every node has its images");
    }
    Ok(Parts { images, ..parts })
}

fn names_of(topology: &Topology) -> BTreeSet<String> {
    topology
        .data_centers()
        .map(|data_center| data_center.name.clone())
        .collect()
}

/// `reached` is told how far kind is.
async fn become_nodes(
    options: &Options,
    engine: Engine,
    made: &Made,
    config: &Path,
    reached: watch::Sender<Reached>,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Result<Parts, ClusterError> {
    let mut started = |process| made.made_by(process);
    let image = options.node_image.as_deref();
    let mut step = |text: &str| {
        reached.send_replace(Reached::by(text));
        progress(text);
    };
    let created = made
        .kind
        .create(config, image, &mut step, &mut started)
        .await;
    if let Err(failed) = created {
        if failed.is_of_others {
            made.disown();
        }
        return Err(explained(&engine, failed).await);
    }
    let kubeconfig = made.folder.path().join("kubeconfig");
    let client = api::client::from_file(&kubeconfig, None).await?;
    // kind asks from inside the node, so only now it shows whether the port can be reached from here.
    client.apiserver_version().await.map_err(|error| {
        failed("reach the API server of the kind cluster")(error).hint(
            "the engine publishes ports on another machine or in another network namespace; run meshproof there (nsenter --net=/proc/PID/ns/net, with the PID of the engine)",
        )
    })?;
    // Who has waited in vain for a step so far goes on.
    drop(reached);
    let topology = &options.topology;
    let count: u32 = topology.data_centers().map(|found| found.nodes).sum();
    nodes::wait_until_ready(&client, count as usize + 1, READY)
        .await
        .map_err(failed("bring up the nodes of the kind cluster"))?;
    progress("every node is ready");
    let data_centers = names_of(topology);
    let (parts, ()) = tokio::try_join!(
        Parts::of(client.clone(), kubeconfig, engine, topology),
        names::spread(&client, &data_centers, READY),
    )?;
    progress("every data center has a name server");
    Ok(parts)
}

/// Says more of the node that has not become one.
async fn explained(engine: &Engine, failed: NotMade) -> ClusterError {
    let Some(node) = failed.node else {
        return failed.error;
    };
    let state = [
        "systemctl",
        "show",
        "kubelet",
        "--property=ActiveState,SubState,Result,ConditionResult",
    ];
    let kubelet = Unit::of(engine, &node, "kubelet");
    let state = engine.in_node(&node, &state, None);
    let (state, last_words) = tokio::join!(state, kubelet.last_words(3));
    let words = |answer: Result<String, ClusterError>| match answer {
        Ok(text) => text.trim().to_owned(),
        Err(error) => format!("cannot be asked: {}", chain(&error)),
    };
    let error = failed.error;
    let why = reason(&error);
    let last_words = words(last_words);
    let hint = hint_for(&last_words).map(str::to_owned).or(error.hint);
    ClusterError::because(
        format!("make {node} a node of the kind cluster"),
        format!(
            "{why}\nits kubelet: {}\nthe kubelet's last words: {last_words}",
            words(state).replace('\n', " "),
        ),
    )
    .hint(hint.unwrap_or_else(|| {
        "its whole log: kubelet.log of this node among the diagnostics".to_owned()
    }))
}

/// Writes down what can still be learned of a cluster that did not come up, and removes it unless it is kept; says what is
/// left although it should not be.
async fn give_up(
    options: &Options,
    made: Made,
    progress: &mut (dyn FnMut(&str) + Send),
) -> Vec<String> {
    if !made.folder.is_begun() {
        return Vec::new();
    }
    // kind may have given up before it made anything.
    let is_there = !matches!(made.kind.exists().await, Ok(false));
    if let Some(folder) = options.diagnostics.as_ref().filter(|_| is_there) {
        progress("collecting the logs of the nodes and what the API server tells");
        let logs = folder.join("kind");
        let collected = tokio::join!(
            made.kind.export_logs(&logs),
            what_the_api_server_tells(&made, folder)
        );
        for error in [collected.0.err(), collected.1.err()].into_iter().flatten() {
            let why = chain(&error);
            tracing::warn!(%why, "not everything could be collected");
        }
        progress(&format!("they are in {}", folder.display()));
    }
    if is_there && options.keep.keeps_failed() {
        match made.keep(&options.topology, options.part_of.as_ref()) {
            Ok(()) => {
                progress("the cluster is kept as it is");
                return Vec::new();
            }
            Err(error) => tracing::warn!(%error, "the cluster cannot be kept"),
        }
    }
    made.end().await
}

/// Nodes, pods and events; also where kind gave up before it wrote the kubeconfig.
async fn what_the_api_server_tells(made: &Made, folder: &Path) -> Result<(), ClusterError> {
    let act = "ask the API server for nodes, pods and events";
    let ask = async {
        let kubeconfig = made.folder.path().join("kubeconfig");
        let text = made.kind.kubeconfig().await?;
        std::fs::write(&kubeconfig, text).map_err(failed(act))?;
        let client = api::client::from_file(&kubeconfig, None).await?;
        diagnostics::write(&client, Namespaces::All, folder).await
    };
    match tokio::time::timeout(LAST_WORDS, ask).await {
        Ok(outcome) => outcome,
        Err(_) => Err(ClusterError::because(
            act,
            format!("it did not answer within {} s", LAST_WORDS.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests;
