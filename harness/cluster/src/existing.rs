//! A cluster that somebody else runs, named by a kubeconfig and reached by its API server alone.
//!
//! It is used only when it is marked for tests or the user names its context, by one run at a time (a Lease), and with
//! the rights the user has there. What we put into it carries [`RUN_LABEL`]; at the end, and before
//! the next run when we were killed, everything with that label is removed, and nothing else.
//!
//! Invariant: nothing is written before the cluster may be used and nobody else uses it.

#[cfg(test)]
mod fake_api;
mod lease;
mod removal;
#[cfg(test)]
mod tests;

use crate::api::diagnostics::Namespaces;
use crate::registry::{Prefix, Registry};
use crate::rights::{self, Needs, Right};
use crate::{
    Cluster, ClusterError, ConnectError, ImageArchive, ImageNames, PodAddress, PodStream,
    RUN_LABEL, api, failed, zones_of,
};
use futures::future::BoxFuture;
use harness_model::capability::Capability;
use harness_model::topology::Topology;
use k8s_openapi::api::core::v1::Namespace;
use kube::config::Kubeconfig;
use kube::{Api, Client, ResourceExt as _};
use lease::Held;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The label on the namespace `kube-system` that says: this cluster is for tests.
pub const MARKER: &str = "meshproof.io/test-cluster";

/// How long removing everything of ours may take: pods get their grace, namespaces their finalisers.
const REMOVAL: Duration = Duration::from_secs(180);

/// Which cluster is meant, and by which right.
#[derive(Clone, Debug)]
pub struct Options {
    /// Names the run; the value of [`RUN_LABEL`].
    pub run: String,
    /// The context in the kubeconfig; the current one without.
    pub context: Option<String>,
    /// The context that may be used although the cluster is not marked.
    pub allowed: Option<String>,
    /// What a run on it takes, beyond what holding the cluster takes.
    pub needs: Needs,
    /// The registry that images are brought to, for the nodes to pull from.
    pub registry: Option<Prefix>,
}

/// An existing cluster that we may use, and hold.
pub struct ExistingCluster {
    client: Client,
    topology: Topology,
    service_cidr: String,
    run: String,
    registry: Option<Prefix>,
    /// Rights to list what runs of this mesh do not put there, which our user has not.
    unseen: BTreeSet<String>,
    lease: Mutex<Option<Held>>,
}

/// Reads the files that KUBECONFIG names, or the user's own.
fn read_kubeconfig() -> Result<Kubeconfig, ClusterError> {
    Kubeconfig::read().map_err(|error| {
        let named = std::env::var("KUBECONFIG")
            .ok()
            .filter(|text| !text.is_empty());
        let (act, hint) = match named {
            Some(files) => (
                format!("read the kubeconfig {files}, which KUBECONFIG names"),
                "name files that are there and that kubectl can read, with `:` between them",
            ),
            None => (
                "read the kubeconfig ~/.kube/config".to_owned(),
                "name another file with KUBECONFIG",
            ),
        };
        failed(act)(error).hint(hint)
    })
}

impl ExistingCluster {
    /// Looks at the cluster, takes it for this run, and removes what a killed run left there.
    ///
    /// # Errors
    ///
    /// When there is no such context, the cluster does not answer, may not be used, lacks zones or rights, or another
    /// run uses it.
    pub async fn open(
        options: Options,
        mut progress: impl FnMut(&str) + Send,
    ) -> Result<Self, ClusterError> {
        let parsed = read_kubeconfig()?;
        let context = context(&parsed, options.context.as_deref())?;
        let client = api::client::from_parsed(parsed, Some(&context)).await?;
        permitted(&client, &context, options.allowed.as_deref()).await?;
        rights::check(&client, &with_own(&client, options.needs).await?).await?;
        let topology = api::discovery::topology(&client, &as_name(&context)).await?;
        let service_cidr = api::discovery::service_cidr(&client).await?;
        let lease = Held::take(&client, &options.run, &mut progress).await?;
        let client = lease.gated(&client);
        let unseen = match remove_dead(&client, &mut progress).await {
            Ok(unseen) => unseen,
            Err(error) => {
                lease.release().await;
                return Err(error);
            }
        };
        progress(&format!("using the cluster of the context {context}"));
        Ok(Self {
            client,
            topology,
            service_cidr,
            run: options.run,
            registry: options.registry,
            unseen,
            lease: Mutex::new(Some(lease)),
        })
    }

    /// Removes everything of ours and gives the cluster back. Nothing is told to be left of a cluster that is lost before
    /// all of it is removed: [`lost`](Cluster::lost) tells that then, and whoever takes the cluster next removes the rest.
    async fn end(&self) -> Vec<String> {
        let left = tokio::select! {
            biased;
            _ = self.lost() => return Vec::new(),
            left = self.remove_own() => left,
        };
        // A request can be refused for the loss before the loss is heard of.
        let is_lost = |lease: &Held| lease.why_lost().is_some();
        if !left.is_empty() && self.lease().as_ref().is_some_and(is_lost) {
            return Vec::new();
        }
        let lease = self.lease().take();
        if let Some(lease) = lease {
            lease.release().await;
        }
        left
    }

    /// Removes what this run put there; says what is left.
    async fn remove_own(&self) -> Vec<String> {
        let selector = format!("{RUN_LABEL}={}", self.run);
        let search = match removal::find(&self.client, &selector).await {
            Ok(search) => search,
            Err(error) => return vec![format!("unknown: {error}")],
        };
        let mut left = removal::remove(&self.client, search.found, REMOVAL).await;
        let taken_away = search.missing.difference(&self.unseen);
        left.extend(taken_away.map(|right| format!("unknown: the right to {right} is missing")));
        left
    }

    /// It is there or not, so a panic elsewhere leaves it usable.
    fn lease(&self) -> MutexGuard<'_, Option<Held>> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// With what looking at a cluster and holding it takes.
async fn with_own(client: &Client, mut needs: Needs) -> Result<Needs, ClusterError> {
    needs.used.insert(Right::new("list", "", "nodes"));
    needs.used.extend(lease::rights());
    let to_read_it = BTreeSet::from([api::discovery::to_read_service_cidr()]);
    if !rights::missing(client, &to_read_it).await?.is_empty() {
        needs.used.insert(api::discovery::to_find_service_cidr());
    }
    Ok(needs)
}

/// Removes what dead runs left, as far as our user may see it; the rights that are missing to see the rest. They are none
/// of those that this run takes, which are asked for before.
async fn remove_dead(
    client: &Client,
    progress: &mut (impl FnMut(&str) + Send),
) -> Result<BTreeSet<String>, ClusterError> {
    let search = removal::find(client, RUN_LABEL).await?;
    if !search.missing.is_empty() {
        let missing: Vec<&str> = search.missing.iter().map(String::as_str).collect();
        progress(&format!(
            "what another mesh or user left there may stay: this user lacks the rights to {}",
            missing.join(", ")
        ));
    }
    let left = search.found;
    if left.is_empty() {
        return Ok(search.missing);
    }
    progress(&format!(
        "removing what a dead run left: {} objects",
        left.len()
    ));
    let stuck = removal::remove(client, left, REMOVAL).await;
    if stuck.is_empty() {
        return Ok(search.missing);
    }
    Err(ClusterError::because(
        "remove what a dead run left",
        stuck.join(", "),
    ))
}

/// The context that is meant.
fn context(parsed: &Kubeconfig, wanted: Option<&str>) -> Result<String, ClusterError> {
    let act = "choose a context of the kubeconfig";
    let names: Vec<&str> = parsed
        .contexts
        .iter()
        .map(|context| context.name.as_str())
        .collect();
    let known = format!("the contexts are {}", names.join(", "));
    let chosen = wanted.or(parsed.current_context.as_deref());
    let Some(chosen) = chosen.filter(|name| !name.is_empty()) else {
        return Err(ClusterError::because(act, "it has no current context")
            .hint(format!("name one with --context; {known}")));
    };
    if names.contains(&chosen) {
        Ok(chosen.to_owned())
    } else {
        Err(ClusterError::because(act, format!("there is no context `{chosen}`")).hint(known))
    }
}

/// Whether the cluster may be used: it is marked, or the user named its context.
async fn permitted(
    client: &Client,
    context: &str,
    allowed: Option<&str>,
) -> Result<(), ClusterError> {
    if allowed == Some(context) {
        return Ok(());
    }
    let act = format!("use the cluster of the context `{context}`");
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = namespaces
        .get("kube-system")
        .await
        .map_err(failed(act.clone()))?;
    let marked = system
        .labels()
        .get(MARKER)
        .is_some_and(|value| value == "true");
    if marked {
        return Ok(());
    }
    let reason = match allowed {
        Some(other) => format!("--allow-context allows `{other}` only"),
        None => "it is not marked as a cluster for tests".to_owned(),
    };
    Err(ClusterError::because(act, reason).hint(format!(
        "if it may be disturbed: --allow-context {context}, or mark it for good: kubectl label namespace kube-system {MARKER}=true"
    )))
}

/// A context's name as a cluster's name: lower-case letters, digits and dashes.
fn as_name(context: &str) -> String {
    let text: String = context
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    let text = text.trim_matches('-');
    if text.is_empty() { "existing" } else { text }.to_owned()
}

impl Cluster for ExistingCluster {
    fn client(&self) -> Client {
        self.client.clone()
    }

    fn kubeconfig(&self) -> Option<&Path> {
        None
    }

    fn topology(&self) -> &Topology {
        &self.topology
    }

    fn service_cidr(&self) -> &str {
        &self.service_cidr
    }

    fn capabilities(&self) -> BTreeSet<Capability> {
        zones_of(&self.topology)
    }

    fn missing_rights<'a>(
        &'a self,
        asked: &'a BTreeSet<Right>,
    ) -> BoxFuture<'a, Result<Vec<Right>, ClusterError>> {
        Box::pin(rights::missing(&self.client, asked))
    }

    fn lost(&self) -> BoxFuture<'_, ClusterError> {
        Box::pin(async {
            let lost = self.lease().as_ref().map(Held::lost);
            let reason = match lost {
                Some(lost) => lost.await,
                // It was given back.
                None => std::future::pending().await,
            };
            ClusterError::because("hold its Lease", reason).hint(
                "nothing was done there since; what this run left is removed by the next one, or by the one that has the cluster now",
            )
        })
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
    ) -> BoxFuture<'a, Result<ImageNames, ClusterError>> {
        Box::pin(async move {
            if images.is_empty() {
                return Ok(ImageNames::new());
            }
            let Some(prefix) = self.registry.clone() else {
                return Err(ClusterError::because(
                    "bring images to the nodes of an existing cluster",
                    "its nodes are not ours",
                )
                .hint("name a registry they pull from with --registry"));
            };
            let pushed = match Registry::new(prefix) {
                Ok(registry) => registry.push(images).await,
                Err(error) => Err(error),
            };
            pushed.map_err(|error| {
                let hint = error.hint;
                let failed = failed("bring the images to where nodes pull them from")(error);
                match hint {
                    Some(hint) => failed.hint(hint),
                    None => failed,
                }
            })
        })
    }

    fn cut_zone<'a>(
        &'a self,
        data_center: &'a str,
        _duration: Duration,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move { Err(no_routers(data_center)) })
    }

    fn heal_zone<'a>(&'a self, data_center: &'a str) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(async move { Err(no_routers(data_center)) })
    }

    fn collect_diagnostics<'a>(
        &'a self,
        folder: &'a Path,
    ) -> BoxFuture<'a, Result<(), ClusterError>> {
        Box::pin(
            async move { api::diagnostics::write(&self.client, Namespaces::Ours, folder).await },
        )
    }

    fn down(self: Arc<Self>) -> BoxFuture<'static, Vec<String>> {
        Box::pin(async move { self.end().await })
    }
}

fn no_routers(data_center: &str) -> ClusterError {
    ClusterError::because(
        format!("change what reaches data center `{data_center}`"),
        "the nodes of an existing cluster are not ours",
    )
}
