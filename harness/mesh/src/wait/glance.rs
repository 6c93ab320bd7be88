//! The pods of the workloads as a watch tells them: as long as some are not ready nobody has to be asked.
//!
//! Invariant: it decides nothing. That everything is there is only ever what the API server answers.

use super::{is_of, shortfall, told};
use crate::site::Site;
use futures::stream::BoxStream;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::reflector::Store;
use kube::runtime::{reflector, watcher};
use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how long the last answer stands while pods are not ready: what it says of other parts is for people.
const STANDS: Duration = Duration::from_millis(900);

/// The last answer, and the pods by which it may still stand.
pub(super) struct Glance {
    pods: Store<Pod>,
    /// When the API server was asked, and what was missing.
    answer: Mutex<Option<(Instant, String)>>,
}

impl Glance {
    /// Nothing is known yet. The stream has one item for every change of the pods; they are known as far as it is read.
    pub(super) fn new(site: &Site) -> (Self, BoxStream<'static, ()>) {
        let namespace = &site.definition.workloads.namespace;
        let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
        let (store, writer) = reflector::store();
        let changes = told(reflector(writer, watcher(pods, watcher::Config::default())));
        let glance = Self {
            pods: store,
            answer: Mutex::default(),
        };
        (glance, changes)
    }

    /// The last answer, where it is not old and workloads are still missing.
    pub(super) fn still_missing(&self, site: &Site) -> Option<String> {
        let answer = self.answer();
        let (asked, missing) = answer.as_ref()?;
        let is_recent = asked.elapsed() < STANDS;
        let lacks = || !self::missing(&wanted_workloads(site), &self.pods.state()).is_empty();
        (is_recent && lacks()).then(|| missing.clone())
    }

    /// The API server was asked just now, and this was missing.
    pub(super) fn note(&self, missing: &str) {
        *self.answer() = Some((Instant::now(), missing.to_owned()));
    }

    fn answer(&self) -> MutexGuard<'_, Option<(Instant, String)>> {
        // Only whole values are put in.
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many pods each Deployment of the workloads is to have.
pub(super) fn wanted_workloads(site: &Site) -> BTreeMap<String, u32> {
    let form = &site.definition.workloads;
    let mut wanted = BTreeMap::new();
    for data_center in site.context.data_centers() {
        for application in &form.applications {
            let name = site.deployment_of(application, data_center);
            let replicas = site.wanted(&name);
            wanted.insert(name, replicas);
        }
    }
    if let Some(canary) = &form.canary {
        wanted.insert(canary.deployment.clone(), canary.replicas);
    }
    wanted
}

/// What is missing of Deployments in words, when these are the pods of their namespace.
pub(super) fn missing<P: Borrow<Pod>>(wanted: &BTreeMap<String, u32>, pods: &[P]) -> Vec<String> {
    let missing = wanted.iter().filter_map(|(deployment, wanted)| {
        let pods = pods.iter().map(<P as Borrow<Pod>>::borrow);
        let own = pods.filter(|pod| is_of(pod, deployment));
        let wanted = usize::try_from(*wanted).unwrap_or(usize::MAX);
        shortfall(deployment, wanted, own)
    });
    missing.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(deployment: &str, ready: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{deployment}-1-x"), "namespace": "shop", "uid": deployment, "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{deployment}-1"), "uid": "u",
            }]},
            "spec": {"nodeName": "n", "containers": []},
            "status": {"phase": "Running", "podIP": "10.1.0.2",
                "conditions": [{"type": "Ready", "status": ready}]},
        }))
        .expect("a pod")
    }

    #[test]
    fn workloads_are_missing_until_each_has_exactly_its_pods_and_they_are_ready() {
        let wanted = BTreeMap::from([("shop-a".to_owned(), 1), ("shop-b".to_owned(), 1)]);
        let both = [pod("shop-a", "True"), pod("shop-b", "True")];
        assert_eq!(missing(&wanted, &both), Vec::<String>::new());
        let unready = [pod("shop-a", "True"), pod("shop-b", "False")];
        let told = missing(&wanted, &unready);
        assert!(
            told.len() == 1 && told[0].starts_with("shop-b: 0 of 1"),
            "{told:?}"
        );
        let one_too_many = [&both[..], &[pod("shop-a", "True")]].concat();
        assert_eq!(missing(&wanted, &one_too_many).len(), 1);
        assert_eq!(missing::<Pod>(&wanted, &[]).len(), 2);
    }
}
