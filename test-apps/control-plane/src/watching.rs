//! Follows the Kubernetes API and publishes the world that results.
//!
//! Invariant: what arrived together is published together, at once; nothing is published before every list is
//! complete, nor when nothing changed that configuration is computed from.

mod read;

use crate::behaviour::Behaviour;
use crate::effective;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::statuses::Statuses;
use crate::world::{
    Endpoint, Policy, Replica, Scope, Service, Services, Sidecar, World, WorldStore,
};
use api_client::Impatient;
use futures::stream::{BoxStream, SelectAll};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::{Node, Pod, Service as KubernetesService};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::{Config, Error, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt};
use mesh_api::{PolicyConfig, ScopeConfig};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tracing::{info, warn};

/// What is needed to watch.
pub struct Watching {
    /// The API server.
    pub client: Client,
    /// Namespaces and cluster.
    pub settings: Settings,
    /// May change what is published.
    pub behaviour: Arc<dyn Behaviour>,
    /// Where it is published.
    pub store: WorldStore,
    /// Where statuses go.
    pub statuses: Arc<Statuses>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Told when every list is complete.
    pub synced: watch::Sender<bool>,
}

enum Change {
    Policy(Event<PolicyConfig>),
    Scope(Event<ScopeConfig>),
    Service(Event<KubernetesService>),
    Slice(Event<EndpointSlice>),
    Pod(Event<Pod>),
    Node(Event<PartialObjectMeta<Node>>),
    Replica(Event<Pod>),
}

type Changes = SelectAll<BoxStream<'static, Result<Change, Error>>>;

impl Watching {
    /// Watches for ever.
    pub async fn run(self) {
        let mut changes = self.changes().ready_chunks(1024);
        let mut caches = Caches::default();
        // A watch broke, and none has told anything since.
        let mut is_alone = false;
        while let Some(chunk) = changes.next().await {
            for change in chunk {
                match change {
                    Ok(change) => {
                        is_alone = false;
                        caches.apply(change, &self.statuses);
                    }
                    Err(error) => {
                        self.metrics.watch_failures.fetch_add(1, Ordering::Relaxed);
                        warn!(%error, "a watch failed and is started again");
                        // Before every list is complete nothing is known that could be lost.
                        is_alone = *self.synced.borrow();
                        if is_alone && !self.behaviour.watches_again() {
                            return std::future::pending().await;
                        }
                    }
                }
            }
            if !caches.is_synced() {
                continue;
            }
            let mut world = caches.world(&self.settings);
            if is_alone {
                world = self.behaviour.alone(world);
            }
            if !*self.synced.borrow() {
                info!(
                    policies = world.policies.len(),
                    sidecars = world.sidecars.len(),
                    services = world.services.by_name.len(),
                    "every list is complete"
                );
            } else if caches.published.as_deref() == Some(&world) {
                continue;
            }
            let world = Arc::new(world);
            caches.published = Some(world.clone());
            self.store.publish(self.behaviour.publish(world));
            self.metrics.worlds.fetch_add(1, Ordering::Relaxed);
            self.synced.send_replace(true);
        }
    }

    fn changes(&self) -> Changes {
        let workloads = &self.settings.workload_namespace;
        let own = Config::default().labels("app=control-plane");
        let mut all = Changes::new();
        all.push(follow(
            self.namespaced(workloads),
            Config::default(),
            Change::Policy,
        ));
        all.push(follow(
            self.namespaced(workloads),
            Config::default(),
            Change::Scope,
        ));
        all.push(follow(
            self.namespaced(workloads),
            Config::default(),
            Change::Service,
        ));
        all.push(follow(
            self.namespaced(workloads),
            Config::default(),
            Change::Slice,
        ));
        all.push(follow(
            self.namespaced(workloads),
            Config::default(),
            Change::Pod,
        ));
        all.push(follow(
            self.namespaced(&self.settings.pod_namespace),
            own,
            Change::Replica,
        ));
        all.push(follow(
            Api::all(self.client.clone()),
            Config::default(),
            Change::Node,
        ));
        all
    }

    fn namespaced<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), namespace)
    }
}

fn follow<K>(
    api: Api<K>,
    config: Config,
    change: fn(Event<K>) -> Change,
) -> BoxStream<'static, Result<Change, Error>>
where
    K: kube::Resource + Clone + std::fmt::Debug + Send + serde::de::DeserializeOwned + 'static,
{
    watcher(api, config)
        .backoff(Impatient::default())
        .map_ok(change)
        .boxed()
}

/// Every list, reduced to what matters.
#[derive(Default)]
struct Caches {
    policies: Cache<Arc<Policy>>,
    scopes: Cache<Arc<Scope>>,
    services: Cache<read::ServiceFacts>,
    slices: Cache<read::Slice>,
    pods: Cache<read::PodFacts>,
    nodes: Cache<read::Place>,
    replicas: Cache<Replica>,
    published: Option<Arc<World>>,
}

impl Caches {
    fn apply(&mut self, change: Change, statuses: &Statuses) {
        match change {
            Change::Policy(event) => {
                let known = &statuses.policies;
                let may_end = may_end(&event);
                self.policies.apply(event, |policy: PolicyConfig| {
                    let version = policy.metadata.resource_version.as_deref();
                    let status = policy.status.clone().unwrap_or_default();
                    known.told(&policy.name_any(), version, status);
                    Some(Arc::new(read::policy(policy)))
                });
                if may_end {
                    known.retain(|name| self.policies.items.contains_key(name));
                }
            }
            Change::Scope(event) => {
                let known = &statuses.scopes;
                let may_end = may_end(&event);
                self.scopes.apply(event, |scope: ScopeConfig| {
                    let version = scope.metadata.resource_version.as_deref();
                    let status = scope.status.clone().unwrap_or_default();
                    known.told(&scope.name_any(), version, status);
                    Some(Arc::new(read::scope(scope)))
                });
                if may_end {
                    known.retain(|name| self.scopes.items.contains_key(name));
                }
            }
            Change::Service(event) => self
                .services
                .apply(event, |service| Some(read::service(service))),
            Change::Slice(event) => self.slices.apply(event, read::slice),
            Change::Pod(event) => self.pods.apply(event, read::pod),
            Change::Node(event) => self.nodes.apply(event, |node| Some(read::node(&node))),
            Change::Replica(event) => self.replicas.apply(event, read::replica),
        }
    }

    fn is_synced(&self) -> bool {
        self.policies.synced
            && self.scopes.synced
            && self.services.synced
            && self.slices.synced
            && self.pods.synced
            && self.nodes.synced
            && self.replicas.synced
    }

    fn world(&self, settings: &Settings) -> World {
        let services = self.services();
        let services = match &self.published {
            Some(world) if world.services.by_name == services => world.services.clone(),
            _ => Arc::new(Services::new(services)),
        };
        let mut world = World {
            namespace: settings.workload_namespace.clone(),
            trust_domain: settings.trust_domain.clone(),
            policies: self.policies.items.clone(),
            scopes: self.scopes.items.clone(),
            services,
            sidecars: self.sidecars(&settings.cluster_name),
            replicas: self.replicas.items.clone(),
            ..World::default()
        };
        world.takes_tls = Arc::new(effective::takes_tls(&world));
        world
    }

    /// Pods whose node is known: without it nobody could say which data center they are in.
    fn sidecars(&self, cluster: &str) -> BTreeMap<String, Arc<Sidecar>> {
        self.pods
            .items
            .iter()
            .filter_map(|(name, pod)| {
                let place = self.nodes.items.get(&pod.node)?;
                let sidecar = Sidecar {
                    pod: name.clone(),
                    uid: pod.uid.clone(),
                    cluster: cluster.to_owned(),
                    region: place.region.clone(),
                    data_center: place.zone.clone(),
                    application: pod.application.clone(),
                    ip: pod.ip,
                    member: pod.member,
                };
                Some((pod.uid.clone(), Arc::new(sidecar)))
            })
            .collect()
    }

    fn services(&self) -> BTreeMap<String, Service> {
        self.services
            .items
            .iter()
            .map(|(name, service)| {
                let ports = service
                    .ports
                    .iter()
                    .map(|(number, port_name)| (*number, self.endpoints(name, port_name)))
                    .collect();
                let of_pods = || {
                    let pods = self.pods.items.values();
                    pods.filter(|pod| service.selects(pod))
                        .map(|pod| pod.account.clone())
                        .collect()
                };
                let accounts = service.accounts.clone().unwrap_or_else(of_pods);
                let service = Service {
                    address: service.address,
                    ports,
                    bytes: service.bytes.clone(),
                    accounts,
                };
                (name.clone(), service)
            })
            .collect()
    }

    fn endpoints(&self, service: &str, port_name: &str) -> Vec<Endpoint> {
        let unknown = read::Place::default();
        let endpoints: BTreeSet<Endpoint> = self
            .slices
            .items
            .values()
            .filter(|slice| slice.service == service)
            .filter_map(|slice| slice.ports.get(port_name).map(|port| (slice, *port)))
            .flat_map(|(slice, port)| slice.endpoints.iter().map(move |endpoint| (endpoint, port)))
            .map(|(endpoint, port)| {
                let place = self.nodes.items.get(&endpoint.node).unwrap_or(&unknown);
                Endpoint {
                    ip: endpoint.ip,
                    port,
                    region: place.region.clone(),
                    zone: endpoint.zone.clone().unwrap_or_else(|| place.zone.clone()),
                }
            })
            .collect();
        endpoints.into_iter().collect()
    }
}

/// One list by name.
struct Cache<T> {
    items: BTreeMap<String, T>,
    /// The list that is being read anew; the old one stands until it is complete.
    fresh: BTreeMap<String, T>,
    synced: bool,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self {
            items: BTreeMap::new(),
            fresh: BTreeMap::new(),
            synced: false,
        }
    }
}

impl<T> Cache<T> {
    fn apply<K: ResourceExt>(&mut self, event: Event<K>, mut read: impl FnMut(K) -> Option<T>) {
        match event {
            Event::Init => self.fresh.clear(),
            Event::InitApply(object) => put(&mut self.fresh, object, &mut read),
            Event::InitDone => {
                self.items = std::mem::take(&mut self.fresh);
                self.synced = true;
            }
            Event::Apply(object) => put(&mut self.items, object, &mut read),
            Event::Delete(object) => {
                self.items.remove(&object.name_any());
            }
        }
    }
}

/// An object may be gone after this event.
fn may_end<K>(event: &Event<K>) -> bool {
    matches!(event, Event::Delete(_) | Event::InitDone)
}

fn put<K: ResourceExt, T>(
    items: &mut BTreeMap<String, T>,
    object: K,
    read: &mut impl FnMut(K) -> Option<T>,
) {
    let name = object.name_any();
    match read(object) {
        Some(item) => items.insert(name, item),
        None => items.remove(&name),
    };
}

#[cfg(test)]
mod tests;
