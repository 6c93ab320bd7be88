//! Waiting for pods, by watch, with the last state in the error.

mod components;
mod glance;
mod told;
mod troubles;

pub(crate) use components::api;
pub(crate) use told::until_rolled_out_telling;

use crate::definition::Component;
use crate::directory::{is_ready, is_there, labels};
use crate::error::{DeployMeshError, MeshError};
use crate::site::Site;
use futures::stream::{BoxStream, Stream, StreamExt, select_all};
use glance::{Glance, wanted_workloads};
use harness_model::causes::chain;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Resource;
use kube::api::{Api, ListParams};
use kube::runtime::utils::Backoff;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::future::Future;
use std::time::Duration;
use troubles::{explained, words};

/// How long nothing may change before it is looked again.
const AGAIN: Duration = Duration::from_secs(1);

/// The pause before a watch that broke off is made again. Always the same: with pauses that grow, who is there was not known for
/// up to half a minute after the API server had been away, by design of a scenario, for ten seconds.
const PAUSE: Duration = Duration::from_millis(500);

/// [`PAUSE`], again and again.
struct Pauses;

impl Iterator for Pauses {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(PAUSE)
    }
}

impl Backoff for Pauses {
    fn reset(&mut self) {}
}

impl From<MeshError> for DeployMeshError {
    fn from(error: MeshError) -> Self {
        match error {
            MeshError::NotReady {
                what,
                seconds,
                last,
            } => Self::NotReady {
                what,
                seconds,
                last,
            },
            MeshError::Api { act, source } => Self::Api { act, source },
            MeshError::Missing(message) => Self::Missing(message),
        }
    }
}

/// Every workload and every control-plane replica that should be there is there and Ready, and no other.
pub(crate) async fn until_ready(site: &Site, patience: Duration) -> Result<(), MeshError> {
    let waited = until(
        "the workloads and the control plane to be ready",
        patience,
        changes_of_pods(site),
        || ready_now(site),
    );
    explained(site, waited.await).await
}

/// The control plane and the workloads run only their newest template, and everything is there and Ready.
pub(crate) async fn until_rolled_out(site: &Site, patience: Duration) -> Result<(), MeshError> {
    let control_plane = site.definition.control_plane.iter().map(|control_plane| {
        Component::deployment(
            &control_plane.namespace,
            control_plane.deployment.clone(),
            control_plane.selector.clone(),
        )
    });
    let parts: Vec<Component> = control_plane.chain(site.running_workloads()).collect();
    let what = "the control plane and the workloads to be rolled out";
    until_newest(site, &parts, what, patience).await
}

/// These parts run only their newest template, completely, and everything else is there and Ready.
pub(crate) async fn until_restarted(
    site: &Site,
    parts: &[Component],
    patience: Duration,
) -> Result<(), MeshError> {
    until_newest(site, parts, "the rollout to be complete", patience).await
}

async fn until_newest(
    site: &Site,
    parts: &[Component],
    what: &str,
    patience: Duration,
) -> Result<(), MeshError> {
    let of_parts = components::changes(site, parts);
    let (glance, of_workloads) = Glance::new(site);
    let others = [of_workloads, changes_of_others(site)];
    let changes = select_all(of_parts.into_iter().chain(others)).boxed();
    let waited = until(what, patience, changes, || async {
        if let Some(missing) = glance.still_missing(site) {
            return Ok(Err(missing));
        }
        let looked = newest_now(site, parts).await?;
        if let Err(missing) = &looked {
            glance.note(missing);
        }
        Ok(looked)
    });
    explained(site, waited.await).await
}

/// What is missing of these parts' newest template, or of everything else.
async fn newest_now(site: &Site, parts: &[Component]) -> Result<Result<(), String>, MeshError> {
    let missing = components::missing_of(site, parts).await?;
    // Afterwards: pods that were ready before may have been the old ones. What pods wait for says more than how many of them
    // there are.
    let waiting = ready_now(site).await?;
    Ok(waiting.and_then(|()| match missing.is_empty() {
        true => Ok(()),
        false => Err(missing.join("; ")),
    }))
}

/// These pods are gone and no EndpointSlice names them.
pub(crate) async fn until_gone(
    site: &Site,
    leaving: &BTreeSet<String>,
    patience: Duration,
) -> Result<(), MeshError> {
    let namespace = &site.definition.workloads.namespace;
    let slices: Api<EndpointSlice> = Api::namespaced(site.client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
    let changes = select_all([changes(slices.clone()), changes_of_pods(site)]).boxed();
    until("the workload to be gone", patience, changes, || {
        let (slices, pods) = (slices.clone(), pods.clone());
        async move {
            let everything = ListParams::default();
            let (slices, pods) = tokio::try_join!(slices.list(&everything), pods.list(&everything))
                .map_err(|source| MeshError::api("list pods and endpoints", source))?;
            let still_there = pods
                .items
                .into_iter()
                .filter_map(|pod| pod.metadata.name)
                .find(|name| leaving.contains(name));
            if let Some(name) = still_there {
                return Ok(Err(format!("pod {name} is still there")));
            }
            let still_named = slices
                .items
                .into_iter()
                .flat_map(|slice| slice.endpoints)
                .filter_map(|endpoint| endpoint.target_ref?.name)
                .find(|name| leaving.contains(name));
            Ok(match still_named {
                Some(name) => Err(format!("an endpoint of pod {name} is still there")),
                None => Ok(()),
            })
        }
    })
    .await
}

/// Looks after every change, and once a second, until `look` finds nothing missing. An API server that does not answer, or not
/// now, is asked again; what it refuses for good ends the wait.
pub(crate) async fn until<F, L>(
    what: &str,
    patience: Duration,
    mut changes: BoxStream<'_, ()>,
    mut look: L,
) -> Result<(), MeshError>
where
    F: Future<Output = Result<Result<(), String>, MeshError>>,
    L: FnMut() -> F,
{
    let mut last = "nothing yet".to_owned();
    let waiting = async {
        loop {
            match look().await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(missing)) => last = missing,
                Err(error) if passes(&error) => last = chain(&error),
                Err(error) => return Err(error),
            }
            // Once more after a while, also where nothing changes: what is told last is what was missing last.
            if let Ok(None) = tokio::time::timeout(AGAIN, changes.next()).await {
                return Err(MeshError::Missing(
                    "the watch of the API server ended".to_owned(),
                ));
            }
            // Changes that came together are one reason to look.
            while let Some(Some(())) = futures::FutureExt::now_or_never(changes.next()) {}
        }
    };
    match tokio::time::timeout(patience, waiting).await {
        Ok(result) => result,
        Err(_) => Err(MeshError::NotReady {
            what: what.to_owned(),
            seconds: patience.as_secs(),
            last,
        }),
    }
}

/// Whether the next look may do better: no answer came, or one that says so (429, 5xx).
fn passes(error: &MeshError) -> bool {
    let MeshError::Api { source, .. } = error else {
        return false;
    };
    match source.as_ref() {
        kube::Error::Api(answer) => answer.code == 429 || answer.code >= 500,
        kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_) => true,
        _ => false,
    }
}

/// One item for every change of a workload's pod, and one at first.
pub(crate) fn changes_of_workloads(site: &Site) -> BoxStream<'static, ()> {
    let form = &site.definition.workloads;
    let config = watcher::Config::default().labels(&form.application_label);
    changes_of::<Pod>(
        Api::namespaced(site.client.clone(), &form.namespace),
        config,
    )
}

fn changes_of_pods(site: &Site) -> BoxStream<'static, ()> {
    let workloads = &site.definition.workloads.namespace;
    let of_workloads = changes(Api::<Pod>::namespaced(site.client.clone(), workloads));
    select_all([of_workloads, changes_of_others(site)]).boxed()
}

/// The control plane's pods, where they are in a namespace of their own, and further parts.
fn changes_of_others(site: &Site) -> BoxStream<'static, ()> {
    let control_plane = site.definition.control_plane.iter();
    let pods = control_plane
        .map(|control_plane| &control_plane.namespace)
        .filter(|namespace| **namespace != site.definition.workloads.namespace)
        .map(|namespace| changes(Api::<Pod>::namespaced(site.client.clone(), namespace)));
    let parts = components::changes(site, &site.definition.components);
    select_all(pods.chain(parts)).boxed()
}

/// One item for every change, and one at first.
fn changes<K>(api: Api<K>) -> BoxStream<'static, ()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    changes_of(api, watcher::Config::default())
}

/// One item for every change of what is selected, and one at first.
pub(crate) fn changes_of<K>(api: Api<K>, config: watcher::Config) -> BoxStream<'static, ()>
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    told(watcher(api, config))
}

fn told<T, E>(events: impl Stream<Item = Result<T, E>> + Send + 'static) -> BoxStream<'static, ()>
where
    T: Send + 'static,
    E: std::error::Error + Send + 'static,
{
    events
        .backoff(Pauses)
        .filter_map(|event| async move {
            match event {
                Ok(_) => Some(()),
                Err(error) => {
                    tracing::debug!(%error, "a watch broke off and is made again");
                    None
                }
            }
        })
        .boxed()
}

/// What is missing now; nothing when everything is there.
async fn ready_now(site: &Site) -> Result<Result<(), String>, MeshError> {
    let form = &site.definition.workloads;
    let everything = ListParams::default();
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), &form.namespace);
    let workloads = async {
        pods.list(&everything)
            .await
            .map_err(|source| MeshError::api("list the workload pods", source))
    };
    let control = async {
        let Some(control_plane) = &site.definition.control_plane else {
            return Ok(None);
        };
        let namespace = &control_plane.namespace;
        let deployments: Api<Deployment> = Api::namespaced(site.client.clone(), namespace);
        let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
        let selector = ListParams::default().labels(&labels(&control_plane.selector));
        tokio::try_join!(
            deployments.get(&control_plane.deployment),
            pods.list(&selector)
        )
        .map(Some)
        .map_err(|source| MeshError::api("read the control plane", source))
    };
    let (workloads, control, mut missing) =
        tokio::try_join!(workloads, control, components::missing(site))?;
    if let Some((deployment, pods)) = &control {
        let wanted = deployment
            .spec
            .as_ref()
            .and_then(|spec| spec.replicas)
            .unwrap_or(1);
        let wanted = usize::try_from(wanted).unwrap_or_default();
        missing.extend(shortfall("control plane", wanted, pods.items.iter()));
    }
    missing.extend(glance::missing(&wanted_workloads(site), &workloads.items));
    Ok(if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("; "))
    })
}

/// The pod belongs to the Deployment: its ReplicaSet is the Deployment's name and a hash.
fn is_of(pod: &Pod, deployment: &str) -> bool {
    pod.metadata
        .owner_references
        .iter()
        .flatten()
        .filter(|owner| owner.kind == "ReplicaSet")
        .filter_map(|owner| owner.name.rsplit_once('-'))
        .any(|(name, _)| name == deployment)
}

fn shortfall<'a>(what: &str, wanted: usize, pods: impl Iterator<Item = &'a Pod>) -> Option<String> {
    let pods: Vec<&Pod> = pods.collect();
    let ready = pods
        .iter()
        .filter(|pod| is_there(pod) && is_ready(pod))
        .count();
    if ready == wanted && pods.len() == wanted {
        return None;
    }
    let states: Vec<String> = pods.iter().map(|pod| words(pod)).collect();
    Some(format!(
        "{what}: {ready} of {wanted} ready ({})",
        if states.is_empty() {
            "no pod yet".to_owned()
        } else {
            states.join(", ")
        }
    ))
}

#[cfg(test)]
mod tests;
