//! The trust bundle as a ConfigMap: in every namespace that the settings select, as long as the namespace is there.
//!
//! Two watches tell which namespaces there are and what is in their ConfigMaps. Each replica writes what lacks: all of
//! them write the same thing, so nobody has to lead.
//!
//! Invariant: a namespace that is going is left alone. That of the workloads whose certificates lead to the roots always
//! gets the bundle, selected or not, and is an error where it refuses: nothing leads to a new root until they can know
//! it. Another one that refuses is told and tried again, and holds up nobody else.

use crate::metrics::Metrics;
use api_client::Impatient;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tracing::{info, warn};

/// The ConfigMap with the trust bundle, in each namespace.
pub const BUNDLE: &str = "mesh-trust-bundle";
/// Its only key: all roots, PEM.
pub const BUNDLE_KEY: &str = "roots.pem";
/// Who writes it.
const WRITER: &str = "certificate-authority";
/// So many are written at once.
const AT_ONCE: usize = 8;

/// The trust bundle is not in the namespace of the workloads.
#[derive(Debug, thiserror::Error)]
#[error("publish ConfigMap {BUNDLE} in namespace {namespace}")]
pub struct PublishError {
    /// The namespace of the workloads.
    pub namespace: String,
    /// What the API server says.
    #[source]
    pub source: kube::Error,
}

type Events<K> = BoxStream<'static, Result<Event<K>, watcher::Error>>;

/// Keeps the ConfigMaps.
pub struct Publishing {
    client: Client,
    metrics: Arc<Metrics>,
    /// The namespace of the workloads.
    home: String,
    /// What they are to say; none before the first bundle.
    wanted: Option<String>,
    namespaces: Told<()>,
    /// The text of each ConfigMap by its namespace.
    texts: Told<String>,
    of_namespaces: Events<Namespace>,
    of_maps: Events<ConfigMap>,
}

impl Publishing {
    /// Watches the namespaces that a label selector selects, beside that of the workloads; an empty one selects all. Nothing
    /// is asked yet.
    #[must_use]
    pub fn new(client: Client, home: &str, selector: &str, metrics: Arc<Metrics>) -> Self {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let maps: Api<ConfigMap> = Api::all(client.clone());
        let selected = match selector {
            "" => Config::default(),
            selector => Config::default().labels(selector),
        };
        let of_that_name = Config::default().fields(&format!("metadata.name={BUNDLE}"));
        Self {
            client,
            metrics,
            home: home.to_owned(),
            wanted: None,
            namespaces: Told::default(),
            texts: Told::default(),
            of_namespaces: watcher(namespaces, selected)
                .backoff(Impatient::default())
                .boxed(),
            of_maps: watcher(maps, of_that_name)
                .backoff(Impatient::default())
                .boxed(),
        }
    }

    /// Waits until it is known which namespaces there are, and what is in them.
    pub async fn listed(&mut self) {
        while !(self.namespaces.is_complete && self.texts.is_complete) {
            self.hear().await;
        }
        info!(
            namespaces = self.namespaces.known.len(),
            "the list of namespaces is complete"
        );
    }

    /// Waits for news, until there is some after which the bundle lacks somewhere. That something lacks already is no news,
    /// so that who could not write is not called at once again.
    pub async fn lacks(&mut self) {
        loop {
            self.hear().await;
            if !self.lacking().is_empty() {
                return;
            }
        }
    }

    /// What the namespace of the workloads has as far as is known; none where it has nothing.
    #[must_use]
    pub fn published(&self) -> Option<&str> {
        self.texts.known.get(&self.home).map(String::as_str)
    }

    /// Writes the bundle wherever it lacks.
    ///
    /// # Errors
    ///
    /// When the namespace of the workloads does not take it. The others have it then, but those that the log names.
    pub async fn publish(&mut self, pem: &str) -> Result<(), PublishError> {
        self.wanted = Some(pem.to_owned());
        let writes = self.lacking().into_iter().map(|namespace| {
            let write = write(self.client.clone(), namespace.clone(), pem);
            async move { (namespace, write.await) }
        });
        let written: Vec<_> = stream::iter(writes)
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let mut refused = BTreeMap::new();
        for (namespace, outcome) in written {
            match outcome {
                Ok(()) => {
                    info!(namespace, "the trust bundle is written");
                    self.texts.known.insert(namespace, pem.to_owned());
                }
                Err(error) if is_going(&error) && namespace != self.home => {
                    self.namespaces.known.remove(&namespace);
                }
                Err(error) => {
                    warn!(
                        namespace,
                        error = &error as &dyn std::error::Error,
                        "the trust bundle is not written"
                    );
                    refused.insert(namespace, error);
                }
            }
        }
        let count = self.places().count() - refused.len();
        self.metrics
            .bundle_namespaces
            .store(count as u64, Ordering::Relaxed);
        match refused.remove(&self.home) {
            None => Ok(()),
            Some(source) => Err(PublishError {
                namespace: self.home.clone(),
                source,
            }),
        }
    }

    /// Where the bundle is to be.
    fn places(&self) -> impl Iterator<Item = &String> {
        let others = self.namespaces.known.keys();
        others
            .filter(|namespace| **namespace != self.home)
            .chain([&self.home])
    }

    fn lacking(&self) -> Vec<String> {
        let Some(wanted) = &self.wanted else {
            return Vec::new();
        };
        let is_lacking =
            |namespace: &&String| self.texts.known.get(namespace.as_str()) != Some(wanted);
        self.places().filter(is_lacking).cloned().collect()
    }

    /// Takes the next word of either watch.
    async fn hear(&mut self) {
        let error = tokio::select! {
            Some(event) = self.of_namespaces.next() => {
                event.map(|event| self.namespaces.apply(event, read_namespace)).err()
            }
            Some(event) = self.of_maps.next() => {
                event.map(|event| self.texts.apply(event, read_map)).err()
            }
            // A watch is started again for ever.
            else => std::future::pending().await,
        };
        if let Some(error) = error {
            self.metrics.watch_failures.fetch_add(1, Ordering::Relaxed);
            warn!(%error, "a watch for the trust bundle failed and is started again");
        }
    }
}

async fn write(client: Client, namespace: String, pem: &str) -> Result<(), kube::Error> {
    let map = serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": BUNDLE, "namespace": namespace},
        "data": {BUNDLE_KEY: pem},
    });
    let maps: Api<ConfigMap> = Api::namespaced(client, &namespace);
    let params = PatchParams::apply(WRITER).force();
    maps.patch(BUNDLE, &params, &Patch::Apply(map))
        .await
        .map(drop)
}

/// Whether the namespace is gone, or takes nothing new because it is about to.
fn is_going(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    let is_terminating = || {
        let mut causes = status.details.iter().flat_map(|details| &details.causes);
        causes.any(|cause| cause.reason == "NamespaceTerminating")
    };
    status.code == 404 || (status.code == 403 && is_terminating())
}

fn read_namespace(namespace: Namespace) -> Option<(String, Option<()>)> {
    let is_going = namespace.metadata.deletion_timestamp.is_some();
    Some((namespace.metadata.name?, (!is_going).then_some(())))
}

fn read_map(map: ConfigMap) -> Option<(String, Option<String>)> {
    let text = map.data.and_then(|mut data| data.remove(BUNDLE_KEY));
    Some((map.metadata.namespace?, text))
}

/// What a watch has told, by namespace.
struct Told<T> {
    known: BTreeMap<String, T>,
    /// The list that is being read anew; the old one stands until it is complete.
    fresh: BTreeMap<String, T>,
    is_complete: bool,
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            fresh: BTreeMap::new(),
            is_complete: false,
        }
    }
}

impl<T> Told<T> {
    /// `read` tells where an object is and what counts of it, if anything does.
    fn apply<K>(&mut self, event: Event<K>, read: impl Fn(K) -> Option<(String, Option<T>)>) {
        let put = |told: &mut BTreeMap<String, T>, object| match read(object) {
            Some((namespace, Some(what))) => {
                told.insert(namespace, what);
            }
            Some((namespace, None)) => {
                told.remove(&namespace);
            }
            None => {}
        };
        match event {
            Event::Init => self.fresh.clear(),
            Event::InitApply(object) => put(&mut self.fresh, object),
            Event::InitDone => {
                self.known = std::mem::take(&mut self.fresh);
                self.is_complete = true;
            }
            Event::Apply(object) => put(&mut self.known, object),
            Event::Delete(object) => {
                if let Some((namespace, _)) = read(object) {
                    self.known.remove(&namespace);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
