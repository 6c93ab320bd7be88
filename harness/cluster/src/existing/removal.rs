//! Removing what carries our label: cluster-wide objects, and namespaces with everything in them.

use crate::{ClusterError, failed};
use futures::future::join_all;
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use std::time::Duration;

/// The kinds of objects that are removed: those without a namespace that a mesh may bring along.
const KINDS: [(&str, &str, &str); 6] = [
    (
        "admissionregistration.k8s.io",
        "v1",
        "MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "v1",
        "ValidatingWebhookConfiguration",
    ),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole"),
    ("", "v1", "Namespace"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition"),
];

/// An object that is ours.
pub(super) struct Found {
    resource: ApiResource,
    name: String,
    uid: String,
}

/// The objects that `selector` selects.
pub(super) async fn find(client: &Client, selector: &str) -> Result<Vec<Found>, ClusterError> {
    let mut found = Vec::new();
    for (group, version, kind) in KINDS {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let list = match objects
            .list_metadata(&ListParams::default().labels(selector))
            .await
        {
            Ok(list) => list,
            // Who may not list webhooks has brought none along.
            Err(kube::Error::Api(status)) if status.code == 403 && kind.contains("Webhook") => {
                continue;
            }
            Err(error) => return Err(failed(format!("find every {kind} of ours"))(error)),
        };
        found.extend(list.items.into_iter().filter_map(|object| {
            Some(Found {
                resource: resource.clone(),
                name: object.metadata.name?,
                uid: object.metadata.uid?,
            })
        }));
    }
    Ok(found)
}

/// Removes objects and waits until they are gone; says which are not.
pub(super) async fn remove(client: &Client, found: Vec<Found>, patience: Duration) -> Vec<String> {
    let removals = found.iter().map(|one| async move {
        let objects: Api<DynamicObject> = Api::all_with(client.clone(), &one.resource);
        let words = format!("{} {}", one.resource.kind, one.name);
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: Some(one.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match objects.delete(&one.name, &parameters).await {
            Ok(_) => {}
            // Gone, or another object of the same name, which is not ours.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
                return None;
            }
            Err(error) => return Some(format!("{words}: {error}")),
        }
        let gone = await_condition(objects, &one.name, conditions::is_deleted(&one.uid));
        match tokio::time::timeout(patience, gone).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(format!("{words}: {error}")),
            Err(_) => Some(format!(
                "{words}: still there after {} s",
                patience.as_secs()
            )),
        }
    });
    join_all(removals).await.into_iter().flatten().collect()
}
