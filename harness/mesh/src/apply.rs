//! Server-side apply of many objects at once.

use crate::error::DeployMeshError;
use crate::{FIELD_MANAGER, RUN_LABEL};
use futures::stream::{self, StreamExt, TryStreamExt};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use kube::runtime::wait::{await_condition, conditions};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

/// So many objects are on their way at once.
const AT_ONCE: usize = 16;

/// Applies objects.
pub(crate) struct Applier {
    client: Client,
    /// CustomResourceDefinitions applied since the last wait.
    definitions: Mutex<Vec<String>>,
}

impl Applier {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            definitions: Mutex::new(Vec::new()),
        }
    }

    /// Applies objects in parallel, namespaces first.
    pub(crate) async fn apply(&self, objects: Vec<DynamicObject>) -> Result<(), DeployMeshError> {
        let (namespaces, others): (Vec<_>, Vec<_>) = objects
            .into_iter()
            .partition(|object| kind(object) == "Namespace");
        for wave in [namespaces, others] {
            stream::iter(wave.into_iter().map(|object| self.apply_one(object)))
                .buffer_unordered(AT_ONCE)
                .try_collect::<Vec<()>>()
                .await?;
        }
        Ok(())
    }

    async fn apply_one(&self, object: DynamicObject) -> Result<(), DeployMeshError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let words = match &object.metadata.namespace {
            Some(namespace) => format!("{} {namespace}/{name}", kind(&object)),
            None => format!("{} {name}", kind(&object)),
        };
        let resource = resource(&object);
        let api: Api<DynamicObject> = match &object.metadata.namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        if object.metadata.namespace.is_none() && self.is_foreign(&api, &name, &words).await? {
            if kind(&object) != "CustomResourceDefinition" {
                return Err(DeployMeshError::Foreign { object: words });
            }
            // Somebody's resources may depend on it as it is.
            tracing::info!(name, "the definition is there already and is used as it is");
            self.await_establishment(name);
            return Ok(());
        }
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        api.patch(&name, &parameters, &Patch::Apply(&object))
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

    /// Whether there is such an object that we have not made.
    async fn is_foreign(
        &self,
        api: &Api<DynamicObject>,
        name: &str,
        words: &str,
    ) -> Result<bool, DeployMeshError> {
        let found = api
            .get_metadata_opt(name)
            .await
            .map_err(|source| DeployMeshError::Apply {
                object: words.to_owned(),
                source: Box::new(source),
            })?;
        Ok(found.is_some_and(|found| {
            found
                .metadata
                .labels
                .is_none_or(|labels| !labels.contains_key(RUN_LABEL))
        }))
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

fn kind(object: &DynamicObject) -> &str {
    object
        .types
        .as_ref()
        .map_or("", |types| types.kind.as_str())
}

/// The resource of an object without asking the API server: the plural is the kind's English one.
fn resource(object: &DynamicObject) -> ApiResource {
    let types = object.types.clone().unwrap_or_default();
    let (group, version) = types
        .api_version
        .split_once('/')
        .unwrap_or(("", &types.api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &types.kind))
}
