//! Further parts of a mesh: that they run their newest template, completely.

use crate::definition::{Component, ComponentKind};
use crate::error::MeshError;
use crate::site::Site;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use harness_cluster::kinds;
use kube::Api;
use kube::api::DynamicObject;
use kube::core::TypeMeta;
use kube::runtime::watcher;
use serde_json::Value;

/// What is missing of the mesh's further parts now, in words.
pub(super) async fn missing(site: &Site) -> Result<Vec<String>, MeshError> {
    missing_of(site, &site.definition.components).await
}

/// What is missing of these now, in words.
pub(super) async fn missing_of(site: &Site, parts: &[Component]) -> Result<Vec<String>, MeshError> {
    let looks = parts.iter().map(|component| async {
        let object = api(site, component)
            .get_opt(&component.name)
            .await
            .map_err(|source| MeshError::api("read a component of the mesh", source))?;
        let missing = match &object {
            None => Some("not there".to_owned()),
            Some(object) => rollout(component.kind, object),
        };
        Ok::<_, MeshError>(missing.map(|missing| format!("{}: {missing}", component.name)))
    });
    Ok(try_join_all(looks).await?.into_iter().flatten().collect())
}

/// One item for every change of the component's object, and one at first.
pub(super) fn changes(site: &Site, component: &Component) -> BoxStream<'static, ()> {
    let config = watcher::Config::default().fields(&format!("metadata.name={}", component.name));
    super::told(watcher(api(site, component), config))
}

/// Objects of the component's kind in its namespace.
pub(crate) fn api(site: &Site, component: &Component) -> Api<DynamicObject> {
    let types = TypeMeta {
        api_version: "apps/v1".to_owned(),
        kind: component.kind.name().to_owned(),
    };
    Api::namespaced_with(
        site.client.clone(),
        &component.namespace,
        &kinds::resource(&types),
    )
}

/// What is missing of a rollout; nothing when it is complete.
fn rollout(kind: ComponentKind, object: &DynamicObject) -> Option<String> {
    let number = |pointer: &str| object.data.pointer(pointer).and_then(Value::as_i64);
    let generation = object.metadata.generation.unwrap_or_default();
    if number("/status/observedGeneration").unwrap_or_default() < generation {
        return Some("not looked at yet".to_owned());
    }
    let (wanted, updated, total, available) = match kind {
        ComponentKind::Deployment => (
            number("/spec/replicas").unwrap_or(1),
            number("/status/updatedReplicas"),
            number("/status/replicas"),
            number("/status/availableReplicas"),
        ),
        ComponentKind::DaemonSet => (
            number("/status/desiredNumberScheduled").unwrap_or_default(),
            number("/status/updatedNumberScheduled"),
            number("/status/currentNumberScheduled"),
            number("/status/numberAvailable"),
        ),
    };
    let [updated, total, available] = [updated, total, available].map(Option::unwrap_or_default);
    // A DaemonSet that no node was found for yet has nothing to do, and that is not what anybody waits for.
    (wanted == 0 || updated < wanted || total > updated || available < wanted)
        .then(|| format!("{updated} of {wanted} updated, {available} available, {total} in all"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(status: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "metadata": {"name": "n", "generation": 2},
            "spec": {"replicas": 2},
            "status": status,
        }))
        .expect("an object")
    }

    #[test]
    fn a_deployment_is_complete_when_every_replica_is_new_and_available() {
        let with = |updated: i64, total: i64, available: i64| {
            rollout(
                ComponentKind::Deployment,
                &object(json!({
                    "observedGeneration": 2, "updatedReplicas": updated,
                    "replicas": total, "availableReplicas": available,
                })),
            )
        };
        assert_eq!(with(2, 2, 2), None);
        assert!(with(1, 2, 2).is_some(), "one is old");
        assert!(with(2, 3, 2).is_some(), "an old one is left");
        assert!(with(2, 2, 1).is_some(), "one is not available");
        let unseen = object(json!({ "observedGeneration": 1, "updatedReplicas": 2 }));
        assert!(rollout(ComponentKind::Deployment, &unseen).is_some());
    }

    #[test]
    fn a_daemon_set_must_be_on_every_node_and_on_one_at_least() {
        let with = |wanted: i64, updated: i64, available: i64| {
            rollout(
                ComponentKind::DaemonSet,
                &object(json!({
                    "observedGeneration": 2, "desiredNumberScheduled": wanted,
                    "updatedNumberScheduled": updated, "currentNumberScheduled": updated,
                    "numberAvailable": available,
                })),
            )
        };
        assert_eq!(with(3, 3, 3), None);
        assert!(with(3, 3, 2).is_some());
        assert!(with(3, 2, 3).is_some());
        assert!(with(0, 0, 0).is_some());
    }
}
