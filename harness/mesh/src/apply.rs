//! Server-side apply of many objects at once.
//!
//! Invariant: an object that is there already and does not carry our label is never changed.

use crate::error::DeployMeshError;
use crate::{FIELD_MANAGER, RUN_LABEL};
use futures::stream::{self, StreamExt, TryStreamExt};
use harness_cluster::kinds;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, DynamicObject, ObjectMeta, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// So many objects are on their way at once.
const AT_ONCE: usize = 16;

/// What the cluster has under the name of an object that is to be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing.
    Absent,
    /// One that we made.
    Ours,
    /// One of somebody else.
    Foreign,
}

/// When an object is applied among others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Order {
    /// Others are in it.
    First,
    /// Others bind it: of whom may not bind everything, the API server wants to see which rights a role grants.
    Second,
    /// Needs no other than these.
    Third,
}

fn order(object: &DynamicObject) -> Order {
    match kind(object) {
        "Namespace" => Order::First,
        "Role" | "ClusterRole" => Order::Second,
        _ => Order::Third,
    }
}

/// The objects in the order in which they are applied: within each wave as they come, but bindings before all others, or pods
/// would start, be refused what they are about to be allowed, and try again later and later.
fn in_order(objects: Vec<DynamicObject>) -> BTreeMap<Order, Vec<DynamicObject>> {
    let mut waves: BTreeMap<Order, Vec<DynamicObject>> = BTreeMap::new();
    for object in objects {
        waves.entry(order(&object)).or_default().push(object);
    }
    let is_binding = |object: &DynamicObject| kind(object).ends_with("RoleBinding");
    for wave in waves.values_mut() {
        wave.sort_by_key(|object| !is_binding(object));
    }
    waves
}

/// Applies objects that it has looked for before.
pub(crate) struct Applier {
    client: Client,
    /// What was there, by the object's [`words`].
    standing: BTreeMap<String, Standing>,
    /// CustomResourceDefinitions applied since the last wait.
    definitions: Mutex<Vec<String>>,
}

impl Applier {
    /// Looks what the cluster has under the names of these objects. Nothing is written.
    ///
    /// # Errors
    ///
    /// When some of them are somebody else's, all of which are listed, or the API server does not tell.
    pub(crate) async fn survey<'a>(
        client: Client,
        objects: impl IntoIterator<Item = &'a DynamicObject>,
    ) -> Result<Self, DeployMeshError> {
        let (namespaced, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| object.metadata.namespace.is_some());
        let mut standing = look(&client, others).await?;
        let new: BTreeSet<String> = standing
            .iter()
            .filter(|(_, standing)| **standing == Standing::Absent)
            .map(|(words, _)| words.clone())
            .collect();
        // Nothing is in a namespace that is not there.
        let (empty, namespaced): (Vec<_>, Vec<_>) = namespaced.into_iter().partition(|object| {
            let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
            new.contains(&format!("Namespace {namespace}"))
        });
        standing.extend(
            empty
                .into_iter()
                .map(|object| (words(object), Standing::Absent)),
        );
        standing.extend(look(&client, namespaced).await?);
        let foreign: Vec<String> = standing
            .iter()
            .filter(|(words, standing)| **standing == Standing::Foreign && !is_shared(words))
            .map(|(words, _)| words.clone())
            .collect();
        if !foreign.is_empty() {
            return Err(DeployMeshError::Foreign { objects: foreign });
        }
        Ok(Self {
            client,
            standing,
            definitions: Mutex::new(Vec::new()),
        })
    }

    /// Applies some of the objects, in parallel as far as none needs another.
    pub(crate) async fn apply(&self, objects: Vec<DynamicObject>) -> Result<(), DeployMeshError> {
        for wave in in_order(objects).into_values() {
            stream::iter(wave.into_iter().map(|object| self.apply_one(object)))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
        }
        Ok(())
    }

    async fn apply_one(&self, object: DynamicObject) -> Result<(), DeployMeshError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let words = words(&object);
        let parameters = match self.standing.get(&words) {
            // Somebody's resources may depend on it as it is.
            Some(Standing::Foreign) => {
                tracing::info!(name, "the definition is there already and is used as it is");
                self.await_establishment(name);
                return Ok(());
            }
            Some(Standing::Ours) => PatchParams::apply(FIELD_MANAGER).force(),
            // Who makes one of the same name in this moment is not overruled.
            Some(Standing::Absent) | None => PatchParams::apply(FIELD_MANAGER),
        };
        api(&self.client, &object)
            .patch(&name, &parameters, &Patch::Apply(&object))
            .await
            .map_err(|source| DeployMeshError::Apply {
                object: words,
                source: Box::new(source),
            })?;
        if kind(&object) == "CustomResourceDefinition" {
            self.await_establishment(name);
        }
        Ok(())
    }

    fn await_establishment(&self, name: String) {
        self.definitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(name);
    }

    /// Waits until the API server serves the CustomResourceDefinitions applied so far.
    pub(crate) async fn wait_until_established(
        &self,
        patience: Duration,
    ) -> Result<(), DeployMeshError> {
        let names = std::mem::take(
            &mut *self
                .definitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let waits = names.iter().map(|name| {
            let api = api.clone();
            async move {
                let established = await_condition(api, name, conditions::is_crd_established());
                let not_ready = |last: String| DeployMeshError::NotReady {
                    what: format!("the CustomResourceDefinition {name} to be established"),
                    seconds: patience.as_secs(),
                    last,
                };
                match tokio::time::timeout(patience, established).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(not_ready(error.to_string())),
                    Err(_) => Err(not_ready("not established".to_owned())),
                }
            }
        });
        futures::future::try_join_all(waits).await.map(drop)
    }
}

async fn look(
    client: &Client,
    objects: Vec<&DynamicObject>,
) -> Result<BTreeMap<String, Standing>, DeployMeshError> {
    let asked: Vec<_> = objects
        .into_iter()
        .map(|object| {
            let name = object.metadata.name.clone().unwrap_or_default();
            (words(object), api(client, object), name)
        })
        .collect();
    stream::iter(asked)
        .map(|(words, api, name)| async move {
            match api.get_metadata_opt(&name).await {
                Ok(found) => Ok((words, standing(found.map(|found| found.metadata).as_ref()))),
                Err(source) => Err(DeployMeshError::Read {
                    object: words,
                    source: Box::new(source),
                }),
            }
        })
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

fn standing(found: Option<&ObjectMeta>) -> Standing {
    match found {
        None => Standing::Absent,
        Some(found) if is_ours(found) => Standing::Ours,
        Some(_) => Standing::Foreign,
    }
}

/// Whether an object that is there was applied by a run.
pub(crate) fn is_ours(found: &ObjectMeta) -> bool {
    let mut labels = found.labels.iter().flatten();
    labels.any(|(key, _)| key == RUN_LABEL)
}

/// An object that is used as it is where somebody else has brought it along.
fn is_shared(words: &str) -> bool {
    words.starts_with("CustomResourceDefinition ")
}

fn api(client: &Client, object: &DynamicObject) -> Api<DynamicObject> {
    let resource = kinds::resource(&object.types.clone().unwrap_or_default());
    match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    }
}

/// The object for people: kind, namespace and name.
pub(crate) fn words(object: &DynamicObject) -> String {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match &object.metadata.namespace {
        Some(namespace) => format!("{} {namespace}/{name}", kind(object)),
        None => format!("{} {name}", kind(object)),
    }
}

pub(crate) fn kind(object: &DynamicObject) -> &str {
    object
        .types
        .as_ref()
        .map_or("", |types| types.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bindings_come_after_their_roles_and_before_whom_they_are_for() {
        let text = [
            ("apps/v1", "Deployment"),
            ("rbac.authorization.k8s.io/v1", "RoleBinding"),
            ("rbac.authorization.k8s.io/v1", "Role"),
            ("v1", "Namespace"),
            ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
            ("v1", "Secret"),
        ]
        .map(|(version, kind)| {
            format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: n}}\n")
        })
        .join("---\n");
        let objects = crate::manifest::parse("n.yaml", &text, "r1").unwrap();
        let kinds: Vec<String> = in_order(objects)
            .into_values()
            .flatten()
            .map(|object| kind(&object).to_owned())
            .collect();
        assert_eq!(
            kinds,
            [
                "Namespace",
                "Role",
                "RoleBinding",
                "ClusterRoleBinding",
                "Deployment",
                "Secret"
            ]
        );
    }
}
