//! Names in each data center: kind puts its name servers beside the control plane, where a data center that is cut off
//! cannot reach them. One in each data center, preferred by those in it, is what production clusters have.

use crate::{ClusterError, failed};
use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Client;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::json;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::api::discovery::ZONE_LABEL;

const NAMESPACE: &str = "kube-system";
const DEPLOYMENT: &str = "coredns";
const SERVICE: &str = "kube-dns";

/// Puts a name server into each data center and waits until each has one that answers.
pub(super) async fn spread(
    client: &Client,
    data_centers: &BTreeSet<String>,
    patience: Duration,
) -> Result<(), ClusterError> {
    want(client, data_centers).await?;
    wait_until_everywhere(client, data_centers, patience).await
}

/// Tells Kubernetes to put a name server into each data center, and to prefer those of one's own. It may be told so
/// before there are nodes, and again.
pub(super) async fn want(
    client: &Client,
    data_centers: &BTreeSet<String>,
) -> Result<(), ClusterError> {
    let act = "put a name server into each data center";
    let deployment = json!({ "spec": {
        "replicas": data_centers.len(),
        "strategy": { "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "100%" } },
        "template": { "spec": {
            // Asked every ten seconds, a name server that needs two is waited for ten.
            "containers": [{ "name": DEPLOYMENT, "readinessProbe": { "periodSeconds": 1 } }],
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                // While there are nodes in some only, the others get none of theirs.
                "minDomains": data_centers.len(),
                "topologyKey": ZONE_LABEL,
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": { "matchLabels": { "k8s-app": SERVICE } },
                "matchLabelKeys": ["pod-template-hash"],
            }],
        } },
    } });
    let service = json!({ "spec": { "trafficDistribution": "PreferClose" } });
    let parameters = PatchParams::default();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(client.clone(), NAMESPACE);
    deployments
        .patch(DEPLOYMENT, &parameters, &Patch::Strategic(deployment))
        .await
        .map_err(failed(act))?;
    services
        .patch(SERVICE, &parameters, &Patch::Strategic(service))
        .await
        .map_err(failed(act))?;
    Ok(())
}

/// Waits until each of these data centers has a name server that answers.
///
/// # Errors
///
/// When that is not so within `patience`, with those that have none.
pub(super) async fn wait_until_everywhere(
    client: &Client,
    data_centers: &BTreeSet<String>,
    patience: Duration,
) -> Result<(), ClusterError> {
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let selector = format!("kubernetes.io/service-name={SERVICE}");
    let parameters = ListParams::default().labels(&selector);
    let mut missing: Vec<String> = data_centers.iter().cloned().collect();
    let wait = async {
        let mut changes = watcher(slices.clone(), watcher::Config::default().labels(&selector))
            .default_backoff()
            .boxed();
        while changes.next().await.is_some() {
            let Ok(list) = slices.list(&parameters).await else {
                continue;
            };
            let there = with_a_ready_endpoint(&list.items);
            missing = data_centers.difference(&there).cloned().collect();
            if missing.is_empty() {
                return;
            }
        }
    };
    let in_time = tokio::time::timeout(patience, wait).await.is_ok();
    if in_time {
        return Ok(());
    }
    Err(ClusterError::because(
        "wait for a name server in each data center",
        format!(
            "after {} s there is none in {}",
            patience.as_secs(),
            missing.join(", ")
        ),
    ))
}

/// The zones in which an endpoint is ready.
fn with_a_ready_endpoint(slices: &[EndpointSlice]) -> BTreeSet<String> {
    slices
        .iter()
        .flat_map(|slice| &slice.endpoints)
        .filter(|endpoint| {
            endpoint
                .conditions
                .as_ref()
                .is_some_and(|conditions| conditions.ready == Some(true))
        })
        .filter_map(|endpoint| endpoint.zone.clone())
        .collect()
}
