//! One Kubernetes cluster with several zones: the trait the drivers use, and its implementations.
//!
//! Invariant: nothing here knows a mesh, a scenario or a probe.

/// Where the programs of a local cluster come from.
pub use harness_assets as assets;

mod account_token;
mod api;
pub mod clusters;
pub mod existing;
pub mod exposure;
pub mod figures;
mod folder_lock;
pub mod healer;
mod key_marks;
pub mod kind;
pub mod kinds;
mod latency;
pub mod local;
pub mod nodes;
mod on_disks;
mod part;
mod pod_diagnostics;
mod redaction;
mod reexec;
pub mod registry;
pub mod rights;
mod round_trip;
pub mod together;
pub mod topology;
mod user;
mod wire;

pub use clusters::Clusters;
pub use on_disks::{DiskHarm, OnDisks};
pub use part::Part;
pub use redaction::redact;
pub use reexec::reexec;
pub use round_trip::RoundTrip;
pub use topology::zones_of;
pub use user::User;

use futures::future::BoxFuture;
use harness_model::capability::Capability;
use harness_model::history::WireConnection;
use harness_model::topology::Topology;
use rights::Right;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// The label that everything we put into a cluster carries; its value names the run.
pub const RUN_LABEL: &str = "meshproof.io/run";

/// A running cluster.
pub trait Cluster: Send + Sync {
    /// A client for its API server.
    fn client(&self) -> kube::Client;

    /// A kubeconfig file whose current context is this cluster, for people, for `kubectl`, and for processes that outlive
    /// us. None where the cluster is somebody else's: nothing is written there past our hold on it, nor after our end.
    fn kubeconfig(&self) -> Option<&Path>;

    /// The shape it was brought up with.
    fn topology(&self) -> &Topology;

    /// The addresses that services are given, as a CIDR.
    fn service_cidr(&self) -> &str;

    /// Waits until its API server says that it is ready. One that was brought up with [`early`](local::Options::early) serves
    /// before, but does not have the roles and classes of priority yet that Kubernetes brings along.
    ///
    /// # Errors
    ///
    /// When it does not become ready.
    fn wait_until_ready(&self) -> BoxFuture<'_, Result<(), ClusterError>> {
        Box::pin(async { Ok(()) })
    }

    /// What can be done with it beyond the Kubernetes API.
    fn capabilities(&self) -> BTreeSet<Capability>;

    /// Its nodes keep the logs of pods that are gone, for [`exposure::keys_in_kept_logs`].
    fn keeps_logs(&self) -> bool {
        false
    }

    /// The same token of a service account, signed anew so that it ends at `end_s`, in seconds since the Unix epoch
    /// ([`Capability::TokenSigning`]).
    ///
    /// # Errors
    ///
    /// When somebody else has the key, or it is no such token.
    fn token_ending(&self, token: &str, end_s: i64) -> Result<String, ClusterError> {
        let _ = (token, end_s);
        Err(cannot("sign a token anew"))
    }

    /// Those of these rights that our user of it lacks; none where the cluster is ours.
    ///
    /// # Errors
    ///
    /// When the API server does not tell.
    fn missing_rights<'a>(
        &'a self,
        asked: &'a BTreeSet<Right>,
    ) -> BoxFuture<'a, Result<Vec<Right>, ClusterError>> {
        let _ = asked;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Ends, with the reason, when the cluster may not be used any more although nobody has taken it down. From then
    /// on nothing that is asked of it reaches it. After [`down`](Self::down) it ends at once where that had not removed
    /// everything before the loss. Never ends where nobody would notice.
    fn lost(&self) -> BoxFuture<'_, ClusterError> {
        Box::pin(std::future::pending())
    }

    /// Opens a byte stream to a TCP port of a pod. It must work while the pod's zone is cut off.
    ///
    /// # Errors
    ///
    /// When the pod is gone or nothing listens.
    fn connect<'a>(
        &'a self,
        pod: &'a PodAddress,
        port: u16,
    ) -> BoxFuture<'a, Result<Box<dyn PodStream>, ConnectError>>;

    /// Makes images available on every node. Returns the names that pods must use instead of those of the manifests,
    /// where they differ.
    ///
    /// # Errors
    ///
    /// When an archive is not an OCI image or cannot be read, or a node or registry does not take it.
    fn load_images<'a>(
        &'a self,
        images: &'a [ImageArchive],
    ) -> BoxFuture<'a, Result<ImageNames, ClusterError>>;

    /// Gives each of these folders of every node a file system of its own, so that it can be made full and the node not.
    /// Done again it does nothing; nor where nodes keep nothing of theirs beside such folders, or are not ours.
    ///
    /// # Errors
    ///
    /// When a node does not mount one.
    fn separate_folders<'a>(
        &'a self,
        folders: &'a [PathBuf],
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        let _ = folders;
        Box::pin(async { Ok(()) })
    }

    /// Looks for private keys in the files below these folders of every node; one that is not there has none. Nothing is
    /// searched where nodes are not ours.
    fn keys_on_disks<'a>(&'a self, folders: &'a [PathBuf]) -> BoxFuture<'a, exposure::Search> {
        let _ = folders;
        Box::pin(async { exposure::Search::default() })
    }

    /// Cuts a data center off from everything outside it, by a rule that the kernel itself drops after `duration`.
    /// Returns as soon as the rule is in force.
    ///
    /// # Errors
    ///
    /// When the data center is unknown or this cluster cannot cut it off.
    fn cut_zone<'a>(
        &'a self,
        data_center: &'a str,
        duration: Duration,
    ) -> BoxFuture<'a, Result<(), ClusterError>>;

    /// Drops the rule of [`cut_zone`](Self::cut_zone) early; fine when there is none.
    ///
    /// # Errors
    ///
    /// When the data center is unknown or the rule cannot be dropped.
    fn heal_zone<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Result<(), ClusterError>>;

    /// Takes a part of the cluster away; whoever runs it gives it back by itself after `duration`, whatever becomes of
    /// us. Returns as soon as it is away, with what was done in words.
    ///
    /// # Errors
    ///
    /// When the part is not there or this cluster cannot take it away.
    fn take_away<'a>(
        &'a self,
        part: &'a Part,
        duration: Duration,
    ) -> BoxFuture<'a, Result<String, ClusterError>> {
        let _ = duration;
        Box::pin(async move { Err(cannot(&format!("take away {part}"))) })
    }

    /// Gives a part back early; fine when it is there. It may take a while until it works again.
    ///
    /// # Errors
    ///
    /// When it cannot be given back.
    fn give_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move { Err(cannot(&format!("give back {part}"))) })
    }

    /// Waits until a part whose time is over works again, as far as the cluster can tell and as long as it takes such a
    /// part; fine when it was never away.
    ///
    /// # Errors
    ///
    /// When it does not work again.
    fn wait_until_back<'a>(&'a self, part: &'a Part) -> BoxFuture<'a, Result<(), ClusterError>> {
        let _ = part;
        Box::pin(async { Ok(()) })
    }

    /// Looks from now on at the packets that leave a data center for others from the address `source` of a pod, and that come
    /// in from others for it.
    ///
    /// # Errors
    ///
    /// When the data center is unknown, or packets cannot be looked at here ([`Capability::Wire`]).
    fn watch_wire<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        let _ = (data_center, source);
        Box::pin(async { Err(no_wire()) })
    }

    /// What was seen since [`watch_wire`](Self::watch_wire), and no longer looks.
    ///
    /// # Errors
    ///
    /// When nobody has looked, or the data center is unknown.
    fn wire_seen<'a>(
        &'a self,
        data_center: &'a str,
        source: Ipv4Addr,
    ) -> BoxFuture<'a, Result<WireSeen, ClusterError>> {
        let _ = (data_center, source);
        Box::pin(async { Err(no_wire()) })
    }

    /// Writes logs and state of everything we run below `folder`, for a failed run.
    ///
    /// # Errors
    ///
    /// When the folder cannot be written; a source that does not answer is noted in the folder instead.
    fn collect_diagnostics<'a>(
        &'a self,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), ClusterError>>;

    /// Lets a cluster of ours live on when we end, where that was left open until now; nothing otherwise.
    ///
    /// # Errors
    ///
    /// When it cannot be written down: it ends with us.
    fn stay(&self) -> Result<(), ClusterError> {
        Ok(())
    }

    /// Ends the cluster and everything in it (of a cluster that is not ours: everything of ours in it), and says what
    /// could not be removed (empty: nothing is left, or the cluster is [`lost`](Self::lost)). Drivers share the cluster,
    /// so others may still hold it: their later calls fail.
    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>>;
}

fn cannot(act: &str) -> ClusterError {
    ClusterError::because(act, "this kind of cluster cannot do that")
}

fn no_wire() -> ClusterError {
    ClusterError::because(
        "look at packets between data centers",
        "this kind of cluster has no place for it",
    )
}

/// What was seen of packets between data centers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireSeen {
    /// The connections that carried something, each direction for itself.
    pub connections: Vec<WireConnection>,
    /// Packets that came too fast to be seen.
    pub unseen: u32,
}

/// The name of an image in manifests → the name by which the nodes of a cluster know it.
pub type ImageNames = BTreeMap<String, String>;

/// An image on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageArchive {
    /// The archive: an OCI layout or what `docker save` writes.
    pub archive: PathBuf,
    /// The name that manifests use; the archive may call itself something else.
    pub reference: String,
}

/// Where a pod is, as the Kubernetes API tells it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodAddress {
    /// Name of its cluster in the topology.
    pub cluster: String,
    /// Namespace.
    pub namespace: String,
    /// Pod name.
    pub name: String,
    /// Node it runs on.
    pub node: String,
    /// Pod IP.
    pub ip: String,
}

/// A connected byte stream.
pub trait PodStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> PodStream for T {}

/// A pod's port could not be reached.
#[derive(Debug, thiserror::Error)]
#[error("connect to {namespace}/{pod}:{port}")]
pub struct ConnectError {
    /// Pod namespace.
    pub namespace: String,
    /// Pod name.
    pub pod: String,
    /// Port.
    pub port: u16,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Something about a cluster failed; the chain says what was tried and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub struct ClusterError {
    /// What was tried, as a fragment that fits "failed to ...".
    pub act: String,
    /// Why it failed.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// What the user can do about it.
    pub hint: Option<String>,
    /// What was made before it failed and could not be removed again.
    pub left: Vec<String>,
}

impl ClusterError {
    /// An error with what was tried.
    #[must_use]
    pub fn new(
        act: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            act: act.into(),
            source: Some(source.into()),
            hint: None,
            left: Vec::new(),
        }
    }

    /// An error whose cause is a sentence of ours.
    pub(crate) fn because(act: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::new(act, reason.into())
    }

    /// The same with what the user can do about it.
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

/// Wraps an error with what was tried.
pub(crate) fn failed<E>(act: impl Into<String>) -> impl FnOnce(E) -> ClusterError
where
    E: std::error::Error + Send + Sync + 'static,
{
    let act = act.into();
    move |source| ClusterError::new(act, source)
}
