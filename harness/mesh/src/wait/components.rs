//! Further parts of a mesh: that they run their newest template, completely.

use crate::definition::{Component, ComponentKind};
use crate::error::MeshError;
use crate::site::Site;
use futures::future::try_join_all;
use futures::stream::BoxStream;
use harness_cluster::kinds;
use kube::Api;
use kube::api::{DynamicObject, ListParams};
use kube::core::TypeMeta;
use kube::runtime::watcher;
use serde_json::Value;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter;

/// What is missing of the mesh's further parts now, in words.
pub(super) async fn missing(site: &Site) -> Result<Vec<String>, MeshError> {
    missing_of(site, &site.definition.components).await
}

/// Components of one kind in one namespace: they are asked for and watched together, since an API server that starts a mesh has
/// enough to do.
struct Place<'a> {
    first: &'a Component,
    others: Vec<&'a Component>,
}

impl<'a> Place<'a> {
    fn all(parts: &'a [Component]) -> Vec<Self> {
        let mut places = BTreeMap::<_, Self>::new();
        for part in parts {
            match places.entry((&part.namespace, part.kind.name())) {
                Entry::Vacant(new) => {
                    new.insert(Self {
                        first: part,
                        others: Vec::new(),
                    });
                }
                Entry::Occupied(known) => known.into_mut().others.push(part),
            }
        }
        places.into_values().collect()
    }

    fn components(&self) -> impl Iterator<Item = &'a Component> {
        iter::once(self.first).chain(self.others.iter().copied())
    }

    /// What is missing of each, going by the objects of this kind that are there.
    fn missing(&self, objects: &[DynamicObject]) -> Vec<String> {
        let looked = self.components().filter_map(|component| {
            let is_it = |object: &&DynamicObject| {
                object.metadata.name.as_deref() == Some(component.name.as_str())
            };
            let missing = match objects.iter().find(is_it) {
                None => Some("not there".to_owned()),
                Some(object) => rollout(component.kind, object),
            };
            missing.map(|missing| format!("{}: {missing}", component.name))
        });
        looked.collect()
    }

    /// The objects of all, and those of nobody else where that can be said.
    fn selector(&self) -> String {
        match self.others.is_empty() {
            true => format!("metadata.name={}", self.first.name),
            false => String::new(),
        }
    }
}

/// What is missing of these now, in words.
pub(super) async fn missing_of(site: &Site, parts: &[Component]) -> Result<Vec<String>, MeshError> {
    let places = Place::all(parts);
    let looks = places.iter().map(|place| async {
        let selector = ListParams::default().fields(&place.selector());
        let objects = api(site, place.first)
            .list(&selector)
            .await
            .map_err(|source| MeshError::api("read components of the mesh", source))?;
        Ok::<_, MeshError>(place.missing(&objects.items))
    });
    Ok(try_join_all(looks).await?.concat())
}

/// One item for every change of one of the components' objects, and one at first for each kind and namespace.
pub(super) fn changes(site: &Site, parts: &[Component]) -> Vec<BoxStream<'static, ()>> {
    let places = Place::all(parts);
    let watches = places.iter().map(|place| {
        let config = watcher::Config::default().fields(&place.selector());
        super::told(watcher(api(site, place.first), config))
    });
    watches.collect()
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
    fn each_kind_in_each_namespace_is_asked_for_once_and_by_name_where_only_one_is_meant() {
        let part = |namespace: &str, name: &str, kind: ComponentKind| Component {
            kind,
            ..Component::deployment(namespace, name.to_owned(), BTreeMap::new())
        };
        let parts = [
            part("system", "keys", ComponentKind::Deployment),
            part("shop", "cart", ComponentKind::Deployment),
            part("system", "agent", ComponentKind::DaemonSet),
            part("system", "authority", ComponentKind::Deployment),
        ];
        let places = Place::all(&parts);
        let names = |place: &Place<'_>| {
            let names = place.components().map(|part| part.name.clone());
            (names.collect::<Vec<_>>(), place.selector())
        };
        let one = |name: &str| (vec![name.to_owned()], format!("metadata.name={name}"));
        let several = vec!["keys".to_owned(), "authority".to_owned()];
        let expected = [one("cart"), one("agent"), (several, String::new())];
        assert_eq!(places.iter().map(names).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn each_is_told_apart_by_name_and_others_beside_them_are_left_alone() {
        let part = |name: &str| Component::deployment("shop", name.to_owned(), BTreeMap::new());
        let parts = [part("cart"), part("till")];
        let places = Place::all(&parts);
        let named = |name: &str, available: i64| {
            let mut object = object(json!({
                "observedGeneration": 2, "updatedReplicas": 2, "replicas": 2,
                "availableReplicas": available,
            }));
            object.metadata.name = Some(name.to_owned());
            object
        };
        let missing = |objects: &[DynamicObject]| places[0].missing(objects);
        let both = [
            named("till", 2),
            named("somebody-else", 0),
            named("cart", 2),
        ];
        assert_eq!(missing(&both), Vec::<String>::new());
        assert_eq!(missing(&both[..2]), ["cart: not there"]);
        let late = [named("cart", 1), named("till", 2)];
        assert_eq!(
            missing(&late),
            ["cart: 2 of 2 updated, 1 available, 2 in all"]
        );
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
