//! The harness's side of a local cluster: bring up, attach, and everything the trait promises.

use super::handle::{self, Fabric};
use super::programs::Programs;
use super::protocol::Request;
use super::{
    ACCOUNT_KEY, away, bootstrap, connect_socket, control, control_socket, dial, key_search, load,
    plan, run_folder,
};
use crate::folder_lock::{self, Attempt, FolderLock};
use crate::together::Whole;
use crate::{
    Cluster, ClusterError, ConnectError, ImageArchive, ImageNames, Part, PodAddress, PodStream,
    WireSeen, account_token, api, exposure, failed, zones_of,
};
use futures::future::BoxFuture;
use harness_model::capability::Capability;
use harness_model::causes::chain;
use harness_model::topology::Topology;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How often it is looked whether a cluster that is going has gone.
const MOMENT: Duration = Duration::from_millis(5);
/// How often it is looked whether a cluster that another process started is still there.
const GLANCE: Duration = Duration::from_secs(1);

/// How a local cluster is brought up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name: a DNS label, part of paths and of the kubeconfig's context.
    pub name: String,
    /// Its shape.
    pub topology: Topology,
    /// The programs of its control plane.
    pub programs: Programs,
    /// Folder of the image store.
    pub image_store: PathBuf,
    /// Whether it lives on when we end, until [`down`](Cluster::down) of an [attached](LocalCluster::attach) one.
    pub keep: bool,
    /// What it is a part of, when others are brought up with it.
    pub part_of: Option<Whole>,
    /// Whether it counts as up before its API server says that it is ready: whoever brings it up waits for that later, by
    /// [`wait_until_ready`](Cluster::wait_until_ready).
    pub early: bool,
}

/// A running local cluster. Dropping one that is not kept ends it.
#[derive(Debug)]
pub struct LocalCluster {
    folder: PathBuf,
    kubeconfig: PathBuf,
    topology: Topology,
    client: ClientBox,
    /// The fabric, where we started it.
    owned: Option<Fabric>,
    /// Its use, which is ours alone as long as this is there.
    _use: FolderLock,
    /// Whether we have begun to take it down.
    going: AtomicBool,
    pub(super) power_cuts: away::PowerCuts,
}

struct ClientBox(kube::Client);
impl std::fmt::Debug for ClientBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl LocalCluster {
    /// Brings a cluster up and returns when every node is ready. `progress` is told of each step.
    ///
    /// # Errors
    ///
    /// When the kernel does not let us, a tool is missing, or a component does not start; nothing is left then.
    pub async fn up(
        options: Options,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, ClusterError> {
        let folder = run_folder::of(&options.name);
        handle::check(&options, &folder)?;
        for left in super::sweep() {
            progress(&format!(
                "removed what a dead cluster left: {}",
                left.display()
            ));
        }
        let mut fabric = Fabric::start(&options, &folder)?;
        fabric.hear(&folder, &mut progress).await?;
        let act = || format!("use cluster `{}`", options.name);
        let Attempt::Held(lock) =
            folder_lock::use_alone_in_a_moment(&folder).map_err(failed(act()))?
        else {
            return Err(ClusterError::because(
                act(),
                "another run has taken it as soon as it was there",
            )
            .hint("choose another name"));
        };
        let mut cluster = Self::open(folder, options.topology, Some(fabric), lock).await?;
        if !options.early {
            cluster.wait_until_ready().await?;
            progress("kube-apiserver is ready");
        }
        if options.keep {
            cluster.keep().await?;
        }
        Ok(cluster)
    }

    /// Lets it live on when we end, where we started it.
    pub(super) async fn keep(&mut self) -> Result<(), ClusterError> {
        match &mut self.owned {
            Some(fabric) => fabric.keep().await.map_err(failed("keep the cluster")),
            None => Ok(()),
        }
    }

    /// Attaches to a cluster that was kept, which nobody else can use meanwhile. Dropping it leaves the cluster as it is.
    ///
    /// # Errors
    ///
    /// When no cluster of this name is running, or somebody uses it.
    pub async fn attach(name: &str) -> Result<Self, ClusterError> {
        let folder = run_folder::of(name);
        if !folder_lock::is_held(&folder) {
            return Err(super::not_running(name));
        }
        let act = || format!("attach to cluster `{name}`");
        let Attempt::Held(lock) =
            folder_lock::use_alone_in_a_moment(&folder).map_err(failed(act()))?
        else {
            return Err(ClusterError::because(act(), "a run uses it")
                .hint("wait until it has ended: one at a time uses a cluster"));
        };
        let description = run_folder::description(&folder).map_err(failed(act()))?;
        Self::open(folder, description.topology, None, lock).await
    }

    async fn open(
        folder: PathBuf,
        topology: Topology,
        owned: Option<Fabric>,
        lock: FolderLock,
    ) -> Result<Self, ClusterError> {
        let kubeconfig = folder.join("kubeconfig");
        Ok(Self {
            client: ClientBox(api::client::from_file(&kubeconfig, None).await?),
            folder,
            kubeconfig,
            topology,
            owned,
            _use: lock,
            going: AtomicBool::new(false),
            power_cuts: away::PowerCuts::default(),
        })
    }

    /// The folder with its logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) async fn ask(&self, request: &Request) -> Result<String, ClusterError> {
        control::ask(&control_socket(&self.folder), request).await
    }

    /// Ends the cluster; says what is left.
    async fn end(&self) -> Vec<String> {
        self.going.store(true, Ordering::Relaxed);
        let asked = self.ask(&Request::Down).await;
        let ended = async {
            match &self.owned {
                Some(fabric) => drop(fabric.wait().await),
                None => folder_lock::released(&self.folder, MOMENT).await,
            }
        };
        let mut left = Vec::new();
        if tokio::time::timeout(handle::END, ended).await.is_err() {
            left.push(format!(
                "the fabric did not end within {} s",
                handle::END.as_secs()
            ));
            if let Some(fabric) = &self.owned {
                fabric.kill().await;
            }
        }
        let _ = super::sweep();
        if self.folder.exists() {
            left.push(self.folder.display().to_string());
            left.extend(asked.err().map(|error| chain(&error)));
        }
        left
    }
}

impl Cluster for LocalCluster {
    fn client(&self) -> kube::Client {
        self.client.0.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        Some(&self.kubeconfig)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn service_cidr(&self) -> &str {
        plan::SERVICE_CIDR
    }

    fn wait_until_ready(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(bootstrap::api_server_ready(self.client()))
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut capabilities = zones_of(&self.topology);
        capabilities.extend([
            Capability::ZoneCut,
            Capability::Wire,
            Capability::PodFreeze,
            Capability::LateAnswers,
            Capability::ComponentOutage,
            Capability::ClientDenial,
            Capability::NodeOutage,
            Capability::SocketFault,
            Capability::DiskFull,
            Capability::KubernetesOutage,
            Capability::TokenSigning,
        ]);
        let is_late = self.topology.has_latency();
        capabilities.extend(is_late.then_some(Capability::ZoneLatency));
        capabilities
    }

    fn keeps_logs(&self) -> bool {
        true
    }

    fn token_ending(&self, token: &str, end_s: i64) -> Result<String, ClusterError> {
        account_token::ending(token, &self.folder.join(ACCOUNT_KEY), end_s)
    }

    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        Box::pin(async move {
            let socket = connect_socket(&self.folder, &pod.node);
            match dial::dial(&socket, &pod.ip, port).await {
                Ok(stream) => Ok(Box::new(stream) as Box<dyn PodStream>),
                Err(source) => Err(ConnectError {
                    namespace: pod.namespace.clone(),
                    pod: pod.name.clone(),
                    port,
                    source,
                }),
            }
        })
    }

    fn load_images<'a>(
        &'a self,
        images: &'a [ImageArchive],
    ) -> BoxFuture<'a, Result<ImageNames, ClusterError>> {
        Box::pin(async move {
            load::into(&self.folder.join("images"), images).await?;
            Ok(ImageNames::new())
        })
    }

    fn keys_on_disks<'a>(&'a self, folders: &'a [PathBuf]) -> BoxFuture<'a, exposure::Search> {
        Box::pin(key_search::look(self, folders))
    }

    fn cut_zone<'a>(
        &'a self,
        data_center: &'a str,
        duration: Duration,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            let data_center = data_center.to_owned();
            self.ask(&Request::Cut {
                data_center,
                millis,
            })
            .await
            .map(drop)
        })
    }

    fn heal_zone<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let data_center = data_center.to_owned();
            self.ask(&Request::Heal { data_center }).await.map(drop)
        })
    }

    fn take_away<'a>(
        &'a self,
        part: &'a Part,
        duration: Duration,
    ) -> BoxFuture<'a, Result<String, ClusterError>> {
        Box::pin(away::take_away(self, part, duration))
    }

    fn give_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(away::give_back(self, part))
    }

    fn wait_until_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(away::wait_until_back(self, part))
    }

    fn watch_wire<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let data_center = data_center.to_owned();
            let request = Request::WatchWire {
                data_center,
                source,
            };
            self.ask(&request).await.map(drop)
        })
    }

    fn wire_seen<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<WireSeen, ClusterError>> {
        Box::pin(async move {
            let data_center = data_center.to_owned();
            let request = Request::WireSeen {
                data_center,
                source,
            };
            let seen = self.ask(&request).await?;
            serde_json::from_str(&seen).map_err(failed("read what was seen on the wire"))
        })
    }

    fn collect_diagnostics<'a>(
        &'a self,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let rules = self.ask(&Request::Dump).await;
            super::diagnostics::collect(&self.folder, self.client(), rules, folder).await
        })
    }

    fn lost(&self) -> BoxFuture<'_, ClusterError> {
        Box::pin(async {
            let how = match &self.owned {
                Some(fabric) => fabric.wait().await,
                None => {
                    folder_lock::released(&self.folder, GLANCE).await;
                    "nobody knows how".to_owned()
                }
            };
            if self.going.load(Ordering::Relaxed) {
                std::future::pending::<()>().await; // That was us.
            }
            ClusterError::because(
                format!("use the cluster of {}", self.folder.display()),
                format!("the process that it lives in has ended ({how})"),
            )
            .hint("has somebody killed it, or was the machine out of memory?")
        })
    }

    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async move { self.end().await })
    }
}
