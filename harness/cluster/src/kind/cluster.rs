//! A kind cluster: made or attached to, everything the trait promises, and its end.

use super::command::KindCommand;
use super::engine::Engine;
use super::made::Made;
use super::state::{self, Description, Folder};
use super::zone::Worker;
use super::{config, images, names, zone};
use crate::api::diagnostics::Namespaces;
use crate::{
    Cluster, ClusterError, ConnectError, ImageArchive, PodAddress, PodStream, api, failed, nodes,
    zones_of,
};
use futures::future::BoxFuture;
use harness_model::capability::Capability;
use harness_model::topology::Topology;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the nodes, and then the name servers, may take to become ready.
const READY: Duration = Duration::from_secs(240);

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
    /// The node image; without one, that of the `kind` program.
    pub node_image: Option<String>,
    /// Whether it lives on when we end.
    pub keep: bool,
    /// Where logs go when it does not come up.
    pub diagnostics: Option<PathBuf>,
}

/// A running kind cluster. Dropping one that is not kept ends it, and blocks until that is done.
pub struct KindCluster {
    client: kube::Client,
    kubeconfig: PathBuf,
    topology: Topology,
    engine: Engine,
    workers: Vec<Worker>,
    can_cut: bool,
    made: Made,
}

impl KindCluster {
    /// Makes a cluster and returns when every node is ready. `progress` is told of each step.
    ///
    /// # Errors
    ///
    /// When there is no engine, it may not be used, the name is taken, the node image is not to be had, or a node does
    /// not become ready; nothing is left then.
    pub async fn up(
        options: Options,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, ClusterError> {
        let shape = options.topology.clusters.first().ok_or_else(|| {
            ClusterError::because("make the kind cluster", "the topology has no cluster")
        })?;
        let engine = Engine::find().await?;
        let swept = super::sweep(&options.cache, &options.program).await;
        for name in swept.removed {
            progress(&format!(
                "removed what a dead run left: kind cluster {name}"
            ));
        }
        for (name, error) in swept.failed {
            tracing::warn!(name, %error, "cannot remove what a dead run left");
        }
        if let Some(image) = &options.node_image
            && !engine.has_image(image).await
        {
            progress(&format!(
                "the node image {image} is not here; kind tries to pull it"
            ));
        }
        let folder = Folder::create(&options.cache, &options.name)?;
        let kind = KindCommand::new(&options.program, &options.name, folder.path());
        if kind.exists().await.inspect_err(|_| folder.remove())? {
            folder.remove();
            return Err(ClusterError::because(
                "make the kind cluster",
                format!(
                    "there is a kind cluster `{}` that is not ours",
                    kind.cluster()
                ),
            )
            .hint(format!(
                "choose another name, or remove it: kind delete cluster --name {}",
                kind.cluster()
            )));
        }
        let made = Made::begin(kind, folder);
        let config = made.folder.path().join("kind.yaml");
        std::fs::write(&config, config::render(shape))
            .map_err(failed(format!("write {}", config.display())))?;
        if !options.topology.latency.between.is_empty()
            || options.topology.latency.default.is_some()
        {
            progress("the latencies of the topology are not applied: kind nodes share one network");
        }
        let coming = Self::come_up(&options, engine, &made, &config, &mut progress).await;
        match coming {
            Ok(parts) => Self::finish(options, parts, made),
            Err(error) => {
                if let Some(folder) = &options.diagnostics {
                    progress("collecting the logs of the nodes");
                    if let Err(error) = made.kind.export_logs(&folder.join("kind")).await {
                        tracing::warn!(%error, "cannot collect the logs of the nodes");
                    }
                }
                Err(error)
            }
        }
    }

    async fn come_up(
        options: &Options,
        engine: Engine,
        made: &Made,
        config: &Path,
        progress: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Parts, ClusterError> {
        let mut started = |process| made.made_by(process);
        made.kind
            .create(
                config,
                options.node_image.as_deref(),
                progress,
                &mut started,
            )
            .await?;
        let kubeconfig = made.folder.path().join("kubeconfig");
        let client = api::client::from_file(&kubeconfig, None).await?;
        let data_centers: BTreeSet<String> = options
            .topology
            .clusters
            .iter()
            .flat_map(|cluster| &cluster.data_centers)
            .map(|data_center| data_center.name.clone())
            .collect();
        let count: u32 = options
            .topology
            .clusters
            .iter()
            .flat_map(|cluster| &cluster.data_centers)
            .map(|data_center| data_center.nodes)
            .sum();
        nodes::wait_until_ready(&client, count as usize + 1, READY)
            .await
            .map_err(failed("bring up the nodes of the kind cluster"))?;
        progress("every node is ready");
        let parts = Parts::of(client, kubeconfig, engine).await?;
        names::spread(&parts.client, &data_centers, READY).await?;
        progress("every data center has a name server");
        Ok(parts)
    }

    fn finish(options: Options, parts: Parts, made: Made) -> Result<Self, ClusterError> {
        if options.keep {
            made.folder.keep(&Description {
                topology: options.topology.clone(),
                started: jiff::Timestamp::now(),
            })?;
            made.settle();
        }
        Ok(Self::new(options.topology, parts, made))
    }

    fn new(topology: Topology, parts: Parts, made: Made) -> Self {
        Self {
            client: parts.client,
            kubeconfig: parts.kubeconfig,
            topology,
            engine: parts.engine,
            workers: parts.workers,
            can_cut: parts.can_cut,
            made,
        }
    }

    /// Attaches to a cluster that was kept. Dropping it leaves the cluster as it is.
    ///
    /// # Errors
    ///
    /// When no cluster of this name is kept, or its API server cannot be reached.
    pub async fn attach(cache: &Path, name: &str, program: &Path) -> Result<Self, ClusterError> {
        let act = format!("attach to the kind cluster `{name}`");
        let path = state::of(cache, name);
        let (folder, description) = Folder::use_kept(&path).map_err(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return failed(act)(error).hint("wait until it is free");
            }
            let kept: Vec<String> = super::list(cache)
                .into_iter()
                .filter(|listed| listed.state == state::State::Kept)
                .map(|listed| listed.name)
                .collect();
            failed(act)(error).hint(if kept.is_empty() {
                "make one with `meshproof cluster up --cluster kind`".to_owned()
            } else {
                format!("kept: {}", kept.join(", "))
            })
        })?;
        let kubeconfig = path.join("kubeconfig");
        let engine = Engine::find().await?;
        let client = api::client::from_file(&kubeconfig, None).await?;
        let parts = Parts::of(client, kubeconfig, engine)
            .await
            .map_err(|error| ClusterError {
                hint: Some(format!(
                    "when its nodes do not run any more: meshproof cluster down {name}"
                )),
                ..error
            })?;
        let made = Made::kept(KindCommand::new(program, name, &path), folder);
        Ok(Self::new(description.topology, parts, made))
    }

    /// Ends a kept cluster without asking its API server; says what is left.
    ///
    /// # Errors
    ///
    /// When it is not kept, or a process uses it.
    pub async fn remove_kept(
        cache: &Path,
        name: &str,
        program: &Path,
    ) -> Result<Vec<String>, ClusterError> {
        let path = state::of(cache, name);
        let folder = Folder::end_kept(&path).map_err(|error| {
            failed(format!("lock {}", path.display()))(error)
                .hint("wait until whoever uses it has ended")
        })?;
        let made = Made::kept(KindCommand::new(program, name, &path), folder);
        Ok(made.end().await)
    }
}

/// What is known of a cluster whose nodes are ready.
struct Parts {
    client: kube::Client,
    kubeconfig: PathBuf,
    engine: Engine,
    workers: Vec<Worker>,
    can_cut: bool,
}

impl Parts {
    async fn of(
        client: kube::Client,
        kubeconfig: PathBuf,
        engine: Engine,
    ) -> Result<Self, ClusterError> {
        let workers = zone::workers(&client).await?;
        let can_cut = match zone::prepare(&engine, &workers).await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "data centers cannot be cut off: the nodes do not take nft rules");
                false
            }
        };
        Ok(Self {
            client,
            kubeconfig,
            engine,
            workers,
            can_cut,
        })
    }
}

impl Cluster for KindCluster {
    fn client(&self) -> kube::Client {
        self.client.clone()
    }

    fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn service_cidr(&self) -> &str {
        config::SERVICE_CIDR
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut capabilities = zones_of(&self.topology);
        if self.can_cut {
            capabilities.insert(Capability::ZoneCut);
        }
        capabilities
    }

    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        Box::pin(api::forward::connect(&self.client, pod, port))
    }

    fn load_images<'a>(
        &'a self,
        images: &'a [ImageArchive],
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let nodes: Vec<String> = self
                .workers
                .iter()
                .map(|worker| worker.name.clone())
                .collect();
            images::load(&self.made.kind, &self.engine, &nodes, images).await
        })
    }

    fn cut_zone<'a>(
        &'a self,
        data_center: &'a str,
        duration: Duration,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(zone::cut(
            &self.engine,
            &self.workers,
            data_center,
            duration,
        ))
    }

    fn heal_zone<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(zone::heal(&self.engine, &self.workers, data_center))
    }

    fn collect_diagnostics<'a>(
        &'a self,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            api::diagnostics::write(&self.client, Namespaces::All, folder).await?;
            let rules = zone::dump(&self.engine, &self.workers).await;
            let path = folder.join("rules.nft");
            std::fs::write(&path, rules).map_err(failed(format!("write {}", path.display())))
        })
    }

    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async move { self.made.end().await })
    }
}
