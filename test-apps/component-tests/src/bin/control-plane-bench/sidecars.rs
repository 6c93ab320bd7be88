//! The sidecars' part: each subscribes to what an Envoy of the mesh does, acknowledges what comes, and says when it holds
//! another change.

use crate::mesh::{Identity, change_in};
use crate::stream::{Form, News, Stream, control_plane};
use anyhow::{Context as _, bail};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{ClusterDiscoveryType, DiscoveryType};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::{Filter, Listener, filter};
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::{
    HttpConnectionManager, http_connection_manager::RouteSpecifier,
};
use envoy_types::pb::envoy::service::runtime::v3::Runtime;
use futures::{StreamExt as _, TryStreamExt as _};
use prost::{Message as _, Name as _};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How long it may take until everybody has a change.
const PATIENCE: Duration = Duration::from_secs(120);
/// The runtime layer that sidecars ask for.
const RUNTIME_LAYER: &str = "mesh";

/// Sidecars, which end when this is dropped.
pub(crate) struct Sidecars {
    count: usize,
    /// They only end by a failure.
    tasks: JoinSet<anyhow::Result<()>>,
    held: mpsc::UnboundedReceiver<Held>,
}

/// A sidecar has acknowledged a change, in its routes and its runtime values.
struct Held {
    change: u64,
    at: Instant,
}

impl Sidecars {
    /// Opens a connection and a stream for each identity.
    pub(crate) async fn open_all(
        form: Form,
        root: &str,
        identities: &[Identity],
    ) -> anyhow::Result<Self> {
        let control_plane = &control_plane(root)?;
        let streams: Vec<(&Identity, Stream)> = futures::stream::iter(identities)
            .map(async |identity| {
                let stream = Stream::open(form, control_plane, identity).await;
                let stream = stream.with_context(|| format!("serve {}", identity.pod))?;
                Ok::<_, anyhow::Error>((identity, stream))
            })
            .buffer_unordered(crate::AT_ONCE)
            .try_collect()
            .await?;
        let (sender, held) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        for (identity, stream) in streams {
            let (sender, pod) = (sender.clone(), identity.pod.clone());
            tasks.spawn(async move {
                let ended = Sidecar::default().run(stream, sender).await;
                ended.with_context(|| format!("be the sidecar of {pod}"))
            });
        }
        Ok(Self {
            count: identities.len(),
            tasks,
            held,
        })
    }

    /// Waits until every sidecar has acknowledged this change, and says when the last one did. To be called for each
    /// change, the one that they find included.
    pub(crate) async fn all_hold(&mut self, change: u64) -> anyhow::Result<Instant> {
        let mut missing = self.count;
        let patience = tokio::time::Instant::now() + PATIENCE;
        let mut last = None;
        while missing > 0 {
            tokio::select! {
                Some(held) = self.held.recv() => {
                    if held.change == change {
                        missing -= 1;
                        last = last.max(Some(held.at));
                    }
                }
                Some(ended) = self.tasks.join_next() => {
                    ended.context("keep a sidecar running")??;
                }
                () = tokio::time::sleep_until(patience) => bail!(
                    "{missing} of {} sidecars lack change {change} after {} s",
                    self.count,
                    PATIENCE.as_secs()
                ),
            }
        }
        last.context("there is no sidecar")
    }
}

/// What a sidecar holds, as far as it matters here.
#[derive(Default)]
struct Sidecar {
    /// How many assignments of endpoints it waits for, once it knows its clusters, and how many came.
    assignments: Option<usize>,
    assigned: usize,
    /// It knows its listeners.
    listens: bool,
    /// The newest change in its routes, and in its runtime values.
    routes: u64,
    runtime: u64,
    told: u64,
}

impl Sidecar {
    async fn run(
        mut self,
        mut stream: Stream,
        told: mpsc::UnboundedSender<Held>,
    ) -> anyhow::Result<()> {
        for type_url in [Cluster::type_url(), Listener::type_url()] {
            stream.subscribe(&type_url, Vec::new()).await?;
        }
        let layer = vec![RUNTIME_LAYER.to_owned()];
        stream.subscribe(&Runtime::type_url(), layer).await?;
        loop {
            let news = stream.next().await?;
            let follows = self.take(&news)?;
            stream.acknowledge(news).await?;
            if let Some((type_url, names)) = follows {
                stream.subscribe(&type_url, names).await?;
            }
            let change = self.change();
            if change > self.told {
                self.told = change;
                let at = Instant::now();
                // Nobody listens when the bench is at its end.
                let _ = told.send(Held { change, at });
            }
        }
    }

    /// The change that it holds everywhere; 0 while it lacks something.
    fn change(&self) -> u64 {
        match self.assignments {
            Some(wanted) if self.assigned >= wanted => self.routes.min(self.runtime),
            _ => 0,
        }
    }

    /// Takes a response, and says what is to be subscribed to because of it.
    fn take(&mut self, news: &News) -> anyhow::Result<Option<(String, Vec<String>)>> {
        let resources = news.resources.iter().map(Vec::as_slice);
        let type_url = news.type_url.as_str();
        if type_url == Cluster::type_url() {
            if self.assignments.is_none() {
                let names = assignments(resources)?;
                self.assignments = Some(names.len());
                return Ok(Some((ClusterLoadAssignment::type_url(), names)));
            }
        } else if type_url == Listener::type_url() {
            if !self.listens {
                self.listens = true;
                return Ok(Some((RouteConfiguration::type_url(), routes(resources)?)));
            }
        } else if type_url == ClusterLoadAssignment::type_url() {
            self.assigned += news.resources.len();
        } else if type_url == RouteConfiguration::type_url() {
            self.routes = resources.filter_map(change_in).max().unwrap_or(self.routes);
        } else if type_url == Runtime::type_url() {
            self.runtime = resources
                .filter_map(change_in)
                .max()
                .unwrap_or(self.runtime);
        } else {
            bail!("a response of type {type_url}, which nobody asked for");
        }
        Ok(None)
    }
}

/// The names of the assignments that clusters wait for.
fn assignments<'a>(clusters: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for bytes in clusters {
        let cluster = Cluster::decode(bytes).context("read a cluster")?;
        let over_ads = ClusterDiscoveryType::Type(DiscoveryType::Eds.into());
        if cluster.cluster_discovery_type == Some(over_ads) {
            let named = cluster.eds_cluster_config.unwrap_or_default().service_name;
            names.push(if named.is_empty() {
                cluster.name
            } else {
                named
            });
        }
    }
    Ok(names)
}

/// The names of the route configurations that listeners wait for.
fn routes<'a>(listeners: impl Iterator<Item = &'a [u8]>) -> anyhow::Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for bytes in listeners {
        let listener = Listener::decode(bytes).context("read a listener")?;
        let chains = listener.filter_chains.into_iter();
        for filter in chains
            .chain(listener.default_filter_chain)
            .flat_map(|chain| chain.filters)
        {
            names.extend(routes_of(filter)?);
        }
    }
    Ok(names.into_iter().collect())
}

fn routes_of(filter: Filter) -> anyhow::Result<Option<String>> {
    let Some(filter::ConfigType::TypedConfig(config)) = filter.config_type else {
        return Ok(None);
    };
    if config.type_url != HttpConnectionManager::type_url() {
        return Ok(None);
    }
    let manager = HttpConnectionManager::decode(config.value.as_slice());
    Ok(match manager.context("read a filter")?.route_specifier {
        Some(RouteSpecifier::Rds(over_ads)) => Some(over_ads.route_config_name),
        _ => None,
    })
}
