//! Which pods are ours: follows the API server and keeps one worker for each pod.

use crate::node::Node;
use crate::pod_worker;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::{WatchStreamExt as _, watcher};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::sync::watch;

/// The newest that is known of a pod.
#[derive(Clone, Debug)]
pub(crate) struct Newest {
    pub(crate) pod: Arc<Pod>,
    /// Whether the API server has it no more.
    pub(crate) removed: bool,
}

type Workers = BTreeMap<String, watch::Sender<Newest>>;

/// Follows the pods of this node for ever.
pub(crate) async fn watch(node: Arc<Node>) {
    let api: Api<Pod> = Api::all(node.client.clone());
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.name));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff());
    let mut workers = Workers::new();
    let mut listed = BTreeSet::new();
    while let Some(event) = events.next().await {
        workers.retain(|_, newest| !newest.is_closed());
        match event {
            Ok(watcher::Event::Apply(pod)) => apply(&node, &mut workers, pod),
            Ok(watcher::Event::Delete(pod)) => remove(&workers, &uid(&pod), Some(pod)),
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(pod)) => {
                listed.insert(uid(&pod));
                apply(&node, &mut workers, pod);
            }
            Ok(watcher::Event::InitDone) => {
                for uid in workers.keys().filter(|uid| !listed.contains(*uid)) {
                    remove(&workers, uid, None);
                }
            }
            Err(error) => tracing::debug!(%error, "pod watch interrupted"),
        }
    }
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn apply(node: &Arc<Node>, workers: &mut Workers, pod: Pod) {
    let uid = uid(&pod);
    let newest = Newest { pod: Arc::new(pod), removed: false };
    if let Some(worker) = workers.get(&uid) {
        worker.send_replace(newest);
        return;
    }
    let (sender, receiver) = watch::channel(newest);
    workers.insert(uid, sender);
    tokio::spawn(pod_worker::run(node.clone(), receiver));
}

fn remove(workers: &Workers, uid: &str, pod: Option<Pod>) {
    if let Some(worker) = workers.get(uid) {
        worker.send_modify(|newest| {
            newest.removed = true;
            if let Some(pod) = pod {
                newest.pod = Arc::new(pod);
            }
        });
    }
}
