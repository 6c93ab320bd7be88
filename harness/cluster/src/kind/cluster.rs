//! A kind cluster: made or attached to, everything the trait promises, and its end.

use super::away::Away;
use super::bring_up::{self, Options, Parts};
use super::command::KindCommand;
use super::engine::Engine;
use super::made::Made;
use super::state::{self, Folder};
use super::wire::Wires;
use super::{config, dial, images, latency, on_disks, zone};
use crate::api::diagnostics::Namespaces;
use crate::together::Whole;
use crate::{
    Cluster, ClusterError, ConnectError, ImageArchive, ImageNames, Part, PodAddress, PodStream,
    WireSeen, api, exposure, failed, zones_of,
};
use futures::future::BoxFuture;
use harness_model::capability::Capability;
use harness_model::topology::Topology;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// A running kind cluster. Dropping one that is not kept ends it, and blocks until that is done.
pub struct KindCluster {
    topology: Topology,
    part_of: Option<Whole>,
    parts: Parts,
    made: Made,
    away: Away,
    wires: Wires,
}

impl KindCluster {
    /// Makes a cluster and returns when every node is ready. `progress` is told of each step.
    ///
    /// # Errors
    ///
    /// When there is no engine, it may not be used, the name is taken, the node image is not to be had, or a node does
    /// not become ready. The error says what is left then although it is not to be kept.
    pub(super) async fn up(
        options: Options,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, ClusterError> {
        let (parts, made) = bring_up::bring_up(&options, &mut progress).await?;
        Ok(Self::new(options.topology, options.part_of, parts, made))
    }

    fn new(topology: Topology, part_of: Option<Whole>, parts: Parts, made: Made) -> Self {
        Self {
            topology,
            part_of,
            parts,
            made,
            away: Away::default(),
            wires: Wires::default(),
        }
    }

    /// The names of its nodes in data centers.
    fn node_names(&self) -> Vec<String> {
        let workers = self.parts.workers.iter();
        workers.map(|worker| worker.name.clone()).collect()
    }

    /// Attaches to a cluster that was kept. Dropping it leaves the cluster as it is.
    ///
    /// # Errors
    ///
    /// When no cluster of this name is kept, or its API server cannot be reached.
    pub(super) async fn attach(
        cache: &Path,
        name: &str,
        program: &Path,
    ) -> Result<Self, ClusterError> {
        let act = format!("attach to the kind cluster `{name}`");
        let path = state::of(cache, name);
        let (folder, description) = Folder::use_kept(&path).map_err(|error| {
            if error.kind() != std::io::ErrorKind::NotFound {
                return failed(act)(error).hint("wait until it is free");
            }
            let kept: Vec<String> = super::kept(cache)
                .into_iter()
                .map(|kept| kept.name)
                .collect();
            failed(act)(error).hint(if kept.is_empty() {
                "make one with `meshproof cluster up --cluster kind`".to_owned()
            } else {
                format!("kept: {}", kept.join(", "))
            })
        })?;
        let kubeconfig = path.join("kubeconfig");
        let engine = Engine::find().await?;
        folder.must_be_of(&engine.identity().await)?;
        let kind = KindCommand::new(program, &engine, name, &path);
        let client = api::client::from_file(&kubeconfig, None).await?;
        let parts = Parts::of(client, kubeconfig, engine, &description.topology)
            .await
            .map_err(|error| ClusterError {
                hint: Some(format!(
                    "when its nodes do not run any more: meshproof cluster down {name}"
                )),
                ..error
            })?;
        let made = Made::kept(kind, folder);
        let (topology, part_of) = (description.topology, description.part_of);
        Ok(Self::new(topology, part_of, parts, made))
    }
}

impl Cluster for KindCluster {
    fn client(&self) -> kube::Client {
        self.parts.client.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        Some(&self.parts.kubeconfig)
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn service_cidr(&self) -> &str {
        config::SERVICE_CIDR
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        let mut capabilities = zones_of(&self.topology);
        capabilities.extend([
            Capability::ComponentOutage,
            Capability::ClientDenial,
            Capability::PodFreeze,
            Capability::LateAnswers,
            Capability::SocketFault,
            Capability::DiskFull,
            Capability::KubernetesOutage,
            Capability::Wire,
        ]);
        if self.parts.engine.keeps_addresses() {
            capabilities.insert(Capability::NodeOutage);
        }
        if self.parts.can_cut {
            capabilities.insert(Capability::ZoneCut);
        }
        if self.parts.is_late {
            capabilities.insert(Capability::ZoneLatency);
        }
        capabilities
    }

    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>> {
        Box::pin(async move {
            if self.away.is_kubernetes_away() {
                return dial::connect(&self.parts.engine, pod, port).await;
            }
            api::forward::connect(&self.parts.client, pod, port).await
        })
    }

    fn load_images<'a>(
        &'a self,
        images: &'a [ImageArchive],
    ) -> BoxFuture<'a, Result<ImageNames, ClusterError>> {
        Box::pin(async move {
            let nodes = self.node_names();
            let there = &self.parts.images;
            let missing = images.iter().filter(|image| !there.contains(image));
            let missing: Vec<ImageArchive> = missing.cloned().collect();
            images::load(&self.made.kind, &self.parts.engine, &nodes, &missing).await?;
            Ok(ImageNames::new())
        })
    }

    fn separate_folders<'a>(
        &'a self,
        folders: &'a [PathBuf],
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let nodes = self.node_names();
            on_disks::own::prepare(&self.parts.engine, &nodes, folders).await
        })
    }

    fn keys_on_disks<'a>(&'a self, folders: &'a [PathBuf]) -> BoxFuture<'a, exposure::Search> {
        let (engine, workers) = (&self.parts.engine, &self.parts.workers);
        Box::pin(on_disks::keys::look(engine, workers, folders))
    }

    fn cut_zone<'a>(
        &'a self,
        data_center: &'a str,
        duration: Duration,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(zone::cut(
            &self.parts.engine,
            &self.parts.workers,
            data_center,
            duration,
        ))
    }

    fn heal_zone<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(zone::heal(
            &self.parts.engine,
            &self.parts.workers,
            data_center,
        ))
    }

    fn take_away<'a>(
        &'a self,
        part: &'a Part,
        duration: Duration,
    ) -> BoxFuture<'a, Result<String, ClusterError>> {
        Box::pin(async move {
            let (node, topology) = (&self.made.kind.control_plane(), &self.topology);
            self.away
                .take(&self.parts, node, topology, part, duration)
                .await
        })
    }

    fn give_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            let node = &self.made.kind.control_plane();
            self.away.give_back(&self.parts, node, part).await
        })
    }

    fn wait_until_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(self.away.wait_until_back(&self.parts, part))
    }

    fn watch_wire<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        let (engine, workers) = (&self.parts.engine, &self.parts.workers);
        Box::pin(self.wires.watch(engine, workers, data_center, source))
    }

    fn wire_seen<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<WireSeen, ClusterError>> {
        Box::pin(self.wires.seen(&self.parts.workers, data_center, source))
    }

    fn collect_diagnostics<'a>(
        &'a self,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move {
            api::diagnostics::write(&self.parts.client, Namespaces::All, folder).await?;
            let (engine, workers) = (&self.parts.engine, &self.parts.workers);
            let (rules, late) =
                tokio::join!(zone::dump(engine, workers), latency::dump(engine, workers));
            for (name, text) in [("rules.nft", rules), ("latency.txt", late)] {
                let path = folder.join(name);
                std::fs::write(&path, text).map_err(failed(format!("write {}", path.display())))?;
            }
            Ok(())
        })
    }

    fn stay(&self) -> Result<(), ClusterError> {
        self.made.keep(&self.topology, self.part_of.as_ref())
    }

    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async move { self.made.end().await })
    }
}
