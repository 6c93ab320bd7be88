//! The pods that certificates are for, as the API server tells of them.

use crate::metrics::Metrics;
use api_client::Impatient;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{Config, Event};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tracing::{info, warn};

/// How long a pod may take to show up here after a node agent asked for it.
const POD_APPEARS: Duration = Duration::from_secs(10);

/// What counts of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// The node that it was scheduled to.
    pub node: String,
    /// Its service account.
    pub service_account: String,
}

/// The pods of one namespace that are scheduled and not over.
#[derive(Clone)]
pub struct Pods {
    known: watch::Sender<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_uid: BTreeMap<String, PodFacts>,
    /// The list that is being read anew; the old one stands until it is complete.
    fresh: BTreeMap<String, PodFacts>,
    is_complete: bool,
}

/// A pod is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FindPodError {
    /// Nobody can say whether it is.
    #[error("look for the pod: the list of pods is not complete yet")]
    Incomplete,
    /// It is not.
    #[error("find the pod: there is none of that UID that is scheduled and not over")]
    Unknown,
}

impl Default for Pods {
    fn default() -> Self {
        Self {
            known: watch::Sender::new(Known::default()),
        }
    }
}

impl Pods {
    /// Follows the pods of a namespace for ever.
    pub async fn follow(self, client: Client, namespace: String, metrics: Arc<Metrics>) {
        let pods: Api<Pod> = Api::namespaced(client, &namespace);
        let mut events = watcher(pods, Config::default())
            .backoff(Impatient::default())
            .boxed();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(event),
                Err(error) => {
                    metrics.watch_failures.fetch_add(1, Ordering::Relaxed);
                    warn!(%error, "the watch of pods failed and is started again");
                }
            }
        }
    }

    /// Whether the list was complete once.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.known.borrow().is_complete
    }

    /// The pod of this UID, waiting a while if the watch has not told of it yet.
    ///
    /// # Errors
    ///
    /// When it stays unknown.
    pub async fn find(&self, uid: &str) -> Result<PodFacts, FindPodError> {
        let mut known = self.known.subscribe();
        let is_known = known.wait_for(|known| known.by_uid.contains_key(uid));
        let found = match tokio::time::timeout(POD_APPEARS, is_known).await {
            Ok(Ok(known)) => known.by_uid.get(uid).cloned(),
            Ok(Err(_)) | Err(_) => None,
        };
        found.ok_or_else(|| {
            if self.is_complete() {
                FindPodError::Unknown
            } else {
                FindPodError::Incomplete
            }
        })
    }

    fn apply(&self, event: Event<Pod>) {
        self.known.send_modify(|known| match event {
            Event::Init => known.fresh.clear(),
            Event::InitApply(pod) => put(&mut known.fresh, pod),
            Event::InitDone => {
                known.by_uid = std::mem::take(&mut known.fresh);
                if !known.is_complete {
                    info!(pods = known.by_uid.len(), "the list of pods is complete");
                }
                known.is_complete = true;
            }
            Event::Apply(pod) => put(&mut known.by_uid, pod),
            Event::Delete(pod) => {
                if let Some(uid) = pod.metadata.uid {
                    known.by_uid.remove(&uid);
                }
            }
        });
    }
}

fn put(pods: &mut BTreeMap<String, PodFacts>, pod: Pod) {
    let Some(uid) = pod.metadata.uid.clone() else {
        return;
    };
    match read(pod) {
        Some(facts) => pods.insert(uid, facts),
        None => pods.remove(&uid),
    };
}

/// None when it is not scheduled, or over.
fn read(pod: Pod) -> Option<PodFacts> {
    let phase = pod.status.and_then(|status| status.phase);
    if matches!(phase.as_deref(), Some("Succeeded" | "Failed")) {
        return None;
    }
    let spec = pod.spec?;
    Some(PodFacts {
        name: pod.metadata.name?,
        node: spec.node_name.filter(|node| !node.is_empty())?,
        // Admission writes `default` where nobody wrote anything.
        service_account: spec
            .service_account_name
            .filter(|account| !account.is_empty())?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(uid: &str, node: Option<&str>, phase: &str) -> Pod {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "checkout-0", "uid": uid},
            "spec": {"nodeName": node, "serviceAccountName": "checkout", "containers": []},
            "status": {"phase": phase},
        }))
        .expect("a pod")
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_may_show_up_late() {
        let pods = Pods::default();
        assert_eq!(pods.find("a").await, Err(FindPodError::Incomplete));
        pods.apply(Event::Init);
        pods.apply(Event::InitDone);
        let started = tokio::time::Instant::now();
        assert_eq!(pods.find("a").await, Err(FindPodError::Unknown));
        assert_eq!(started.elapsed(), POD_APPEARS);
        let (found, ()) = tokio::join!(pods.find("a"), async {
            pods.apply(Event::Apply(pod("a", None, "Pending")));
            pods.apply(Event::Apply(pod("a", Some("node-a"), "Pending")));
        });
        let facts = found.expect("it is there");
        assert_eq!(
            (facts.node.as_str(), facts.name.as_str()),
            ("node-a", "checkout-0")
        );
        assert_eq!(facts.service_account, "checkout");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_is_over_or_gone_is_unknown() {
        let pods = Pods::default();
        pods.apply(Event::Init);
        for uid in ["a", "b", "c"] {
            pods.apply(Event::InitApply(pod(uid, Some("node-a"), "Running")));
        }
        pods.apply(Event::InitDone);
        pods.apply(Event::Apply(pod("a", Some("node-a"), "Failed")));
        pods.apply(Event::Delete(pod("b", Some("node-a"), "Running")));
        for uid in ["a", "b"] {
            assert_eq!(pods.find(uid).await, Err(FindPodError::Unknown), "{uid}");
        }
        assert!(pods.find("c").await.is_ok());
        pods.apply(Event::Init);
        assert!(pods.find("c").await.is_ok(), "the old list stands");
        pods.apply(Event::InitDone);
        assert_eq!(pods.find("c").await, Err(FindPodError::Unknown));
    }
}
