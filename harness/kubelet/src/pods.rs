//! Which pods are ours: follows the API server and keeps one worker for each pod.

use crate::follow::{Recoveries, follow};
use crate::node::Node;
use crate::pod_worker;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
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
pub(crate) async fn watch(node: Arc<Node>, client: kube::Client, recoveries: Recoveries) {
    let api: Api<Pod> = Api::all(client);
    let config = watcher::Config::default().fields(&format!("spec.nodeName={}", node.config.name));
    let mut workers = Workers::new();
    let mut listed = BTreeSet::new();
    let handle = |event| {
        workers.retain(|_, newest| !newest.is_closed());
        match event {
            watcher::Event::Apply(pod) => apply(&node, &mut workers, pod),
            watcher::Event::Delete(pod) => remove(&workers, &uid(&pod), Some(pod)),
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(pod) => {
                listed.insert(uid(&pod));
                apply(&node, &mut workers, pod);
            }
            watcher::Event::InitDone => {
                for uid in workers.keys().filter(|uid| !listed.contains(*uid)) {
                    remove(&workers, uid, None);
                }
            }
        }
    };
    follow(api, config, recoveries, handle).await;
}

fn uid(pod: &Pod) -> String {
    pod.metadata.uid.clone().unwrap_or_default()
}

fn apply(node: &Arc<Node>, workers: &mut Workers, pod: Pod) {
    let uid = uid(&pod);
    let newest = Newest {
        pod: Arc::new(pod),
        removed: false,
    };
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
