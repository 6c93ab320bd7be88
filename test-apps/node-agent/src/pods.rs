//! The pods of this node, followed through the Kubernetes API.
//!
//! Invariant: what is published is a complete list; a pod that has ended is not in it.

use crate::metrics::Metrics;
use api_client::Impatient;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod as KubernetesPod;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::watch;
use tracing::{info, warn};

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// The service account that it runs as.
    pub service_account: String,
}

/// The pods of this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pods {
    /// The list is complete: who is not in it is not here.
    pub complete: bool,
    /// By UID.
    pub by_uid: BTreeMap<String, Arc<Pod>>,
}

/// What is needed to follow pods.
pub struct Following {
    /// The API server.
    pub client: Client,
    /// The namespace of the workloads.
    pub namespace: String,
    /// The node.
    pub node: String,
    /// Where they are published.
    pub pods: watch::Sender<Arc<Pods>>,
    /// Counts.
    pub metrics: Arc<Metrics>,
}

impl Following {
    /// Follows for ever.
    pub async fn run(self) {
        let api: Api<KubernetesPod> = Api::namespaced(self.client.clone(), &self.namespace);
        let own = Config::default().fields(&format!("spec.nodeName={}", self.node));
        let mut events = watcher(api, own).backoff(Impatient::default()).boxed();
        let mut cache = Cache::default();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    cache.apply(event);
                    self.publish(&cache);
                }
                Err(error) => {
                    self.metrics.watch_failures.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, "the watch of pods failed and is started again");
                }
            }
        }
    }

    fn publish(&self, cache: &Cache) {
        self.pods.send_if_modified(|pods| {
            if !cache.complete || (pods.complete && pods.by_uid == cache.pods) {
                return false;
            }
            if !pods.complete {
                info!(pods = cache.pods.len(), "the list of pods is complete");
            }
            *pods = Arc::new(Pods {
                complete: true,
                by_uid: cache.pods.clone(),
            });
            true
        });
    }
}

#[derive(Default)]
struct Cache {
    pods: BTreeMap<String, Arc<Pod>>,
    /// The list that is being read anew; the old one stands until it is complete.
    fresh: BTreeMap<String, Arc<Pod>>,
    complete: bool,
}

impl Cache {
    fn apply(&mut self, event: Event<KubernetesPod>) {
        match event {
            Event::Init => self.fresh.clear(),
            Event::InitApply(pod) => put(&mut self.fresh, pod),
            Event::InitDone => {
                self.pods = std::mem::take(&mut self.fresh);
                self.complete = true;
            }
            Event::Apply(pod) => put(&mut self.pods, pod),
            Event::Delete(pod) => {
                self.pods.remove(&pod.uid().unwrap_or_default());
            }
        }
    }
}

fn put(pods: &mut BTreeMap<String, Arc<Pod>>, pod: KubernetesPod) {
    let Some(uid) = pod.uid() else {
        return;
    };
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        pods.remove(&uid);
        return;
    }
    let account = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.service_account_name.clone());
    let facts = Pod {
        namespace: pod.namespace().unwrap_or_default(),
        name: pod.name_any(),
        service_account: account.unwrap_or_else(|| "default".to_owned()),
        uid: uid.clone(),
    };
    pods.insert(uid, Arc::new(facts));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, phase: &str) -> KubernetesPod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "p", "namespace": "mesh-workloads", "uid": uid},
            "spec": {"containers": [], "serviceAccountName": "checkout"},
            "status": {"phase": phase}
        }))
        .expect("well-formed")
    }

    #[test]
    fn a_pod_is_there_from_its_first_event_to_its_end() {
        let mut cache = Cache::default();
        cache.apply(Event::Init);
        cache.apply(Event::InitApply(pod("a", "Running")));
        assert!(!cache.complete);
        assert!(cache.pods.is_empty(), "not before the list is complete");
        cache.apply(Event::InitDone);
        assert_eq!(cache.pods["a"].service_account, "checkout");
        // A pod of the same name that takes another's place.
        cache.apply(Event::Apply(pod("b", "Pending")));
        cache.apply(Event::Delete(pod("a", "Running")));
        assert_eq!(cache.pods.keys().collect::<Vec<_>>(), ["b"]);
        cache.apply(Event::Apply(pod("b", "Succeeded")));
        assert!(cache.pods.is_empty());
    }
}
