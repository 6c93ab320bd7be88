//! What a failed run leaves for people, as the API server tells it: nodes, pods, events, and the logs of pods. No keys
//! and no tokens: see `redaction`.

use crate::redaction::redact;
use crate::{ClusterError, RUN_LABEL, failed, pod_diagnostics};
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod};
use kube::Client;
use kube::api::{Api, ListParams};
use std::collections::BTreeSet;
use std::path::Path;

/// Whose pods are described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    /// Everybody's: the cluster is ours.
    All,
    /// Those in namespaces that carry our label: the others are none of our business.
    Ours,
}

/// Writes nodes, pods and events, and what is known of single pods, below `target`. What cannot be had is noted there
/// instead.
pub(crate) async fn write(
    client: &Client,
    namespaces: Namespaces,
    target: &Path,
) -> Result<(), ClusterError> {
    let act = || format!("write diagnostics to {}", target.display());
    std::fs::create_dir_all(target).map_err(failed(act()))?;
    let everything = ListParams::default();
    let (nodes, pods, events, ours) = tokio::join!(
        listed::<Node>(client, &everything),
        listed::<Pod>(client, &everything),
        listed::<Event>(client, &everything),
        ours(client, namespaces),
    );
    let is_wanted = |namespace: &Option<String>| match (&ours, namespace) {
        (None, _) => true,
        (Some(ours), Some(namespace)) => ours.contains(namespace),
        (Some(_), None) => false,
    };
    let pods = pods.map(|mut pods| {
        pods.retain(|pod| is_wanted(&pod.metadata.namespace));
        pods
    });
    let events = events.map(|mut events| {
        events.retain(|event| is_wanted(&event.metadata.namespace));
        events
    });
    for (name, text) in [
        ("nodes.json", in_json(&nodes)),
        ("pods.json", in_json(&pods)),
        ("events.json", in_json(&events)),
    ] {
        std::fs::write(target.join(name), redact(&text)).map_err(failed(act()))?;
    }
    pod_diagnostics::write(
        client,
        &pods.unwrap_or_default(),
        &events.unwrap_or_default(),
        &target.join("pods"),
    )
    .await
    .map_err(failed(act()))
}

/// The namespaces to which everything is confined; none when it is not.
async fn ours(client: &Client, namespaces: Namespaces) -> Option<BTreeSet<String>> {
    if namespaces == Namespaces::All {
        return None;
    }
    let labelled = ListParams::default().labels(RUN_LABEL);
    let found = listed::<Namespace>(client, &labelled).await;
    let names = found.unwrap_or_default().into_iter();
    Some(names.filter_map(|found| found.metadata.name).collect())
}

async fn listed<K>(client: &Client, parameters: &ListParams) -> Result<Vec<K>, kube::Error>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let list = Api::<K>::all(client.clone()).list(parameters).await?;
    Ok(list.items)
}

fn in_json<K: serde::Serialize>(listed: &Result<Vec<K>, kube::Error>) -> String {
    match listed {
        Ok(items) => serde_json::to_string_pretty(items).unwrap_or_else(|error| error.to_string()),
        Err(error) => format!("{:?}", format!("not there: {error}")),
    }
}
