//! Removing what carries our label: objects in no namespace, namespaces with everything in them, and what is in a
//! namespace of others.
//!
//! Invariant: an object is removed as it was seen with our label, or not at all.

use crate::kinds::{KINDS, Kind};
use crate::rights::Right;
use crate::{ClusterError, RUN_LABEL, failed};
use futures::future::{join_all, try_join_all};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, ObjectMeta, PartialObjectMeta,
    Preconditions,
};
use kube::runtime::wait::{await_condition, conditions};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// An object that is ours.
pub(super) struct Found {
    resource: ApiResource,
    namespace: Option<String>,
    name: String,
    uid: String,
    version: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.resource.kind)?;
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(&self.name)
    }
}

/// What a search for objects of ours came to.
pub(super) struct Search {
    /// Those that were found.
    pub(super) found: Vec<Found>,
    /// The rights without which nobody knows whether there are more, in words.
    pub(super) missing: BTreeSet<String>,
}

/// The objects that `selector` selects, without those that go with their namespace.
pub(super) async fn find(client: &Client, selector: &str) -> Result<Search, ClusterError> {
    let lists = KINDS.iter().map(|kind| of_kind(client, kind, selector));
    let mut found = Vec::new();
    let mut missing = BTreeSet::new();
    for listed in try_join_all(lists).await? {
        match listed {
            Ok(objects) => found.extend(objects),
            Err(right) => {
                missing.insert(right.to_string());
            }
        }
    }
    let ours: BTreeSet<String> = found
        .iter()
        .filter(|one| one.namespace.is_none() && one.resource.kind == "Namespace")
        .map(|one| one.name.clone())
        .collect();
    found.retain(|one| {
        one.namespace
            .as_ref()
            .is_none_or(|namespace| !ours.contains(namespace))
    });
    Ok(Search { found, missing })
}

/// Those of one kind; or the right that is missing to see them.
async fn of_kind(
    client: &Client,
    kind: &Kind,
    selector: &str,
) -> Result<Result<Vec<Found>, Right>, ClusterError> {
    let resource = kind.resource();
    let objects: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let list = objects
        .list_metadata(&ListParams::default().labels(selector))
        .await;
    let list = match list {
        Ok(list) => list,
        // A cluster that does not have the kind has none.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(Ok(Vec::new())),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Ok(Err(Right::new("list", kind.group, kind.plural)));
        }
        Err(error) => {
            return Err(failed(format!("find every {} of ours", resource.kind))(
                error,
            ));
        }
    };
    let objects = list.items.into_iter();
    Ok(Ok(objects
        .filter_map(|object| seen(&resource, object.metadata))
        .collect()))
}

fn seen(resource: &ApiResource, metadata: ObjectMeta) -> Option<Found> {
    Some(Found {
        resource: resource.clone(),
        namespace: metadata.namespace,
        name: metadata.name?,
        uid: metadata.uid?,
        version: metadata.resource_version,
    })
}

/// Removes objects and waits until they are gone; says which are not.
pub(super) async fn remove(client: &Client, found: Vec<Found>, patience: Duration) -> Vec<String> {
    let removals = found.into_iter().map(|one| async move {
        let words = one.to_string();
        match tokio::time::timeout(patience, remove_one(client, one)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(format!("{words}: {error}")),
            Err(_) => Some(format!(
                "{words}: still there after {} s",
                patience.as_secs()
            )),
        }
    });
    join_all(removals).await.into_iter().flatten().collect()
}

async fn remove_one(client: &Client, mut one: Found) -> Result<(), String> {
    let objects: Api<DynamicObject> = match &one.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &one.resource),
        None => Api::all_with(client.clone(), &one.resource),
    };
    let words = |error: kube::Error| error.to_string();
    loop {
        match objects.delete(&one.name, &as_seen(&one)).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => return Err(words(error)),
        }
        // It has changed since: what it is now may be somebody else's.
        let now = objects.get_metadata_opt(&one.name).await.map_err(words)?;
        match now
            .filter(is_ours)
            .and_then(|now| seen(&one.resource, now.metadata))
        {
            Some(now) if now.uid == one.uid => one = now,
            _ => return Ok(()),
        }
    }
    await_condition(objects, &one.name, conditions::is_deleted(&one.uid))
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

fn is_ours(object: &PartialObjectMeta<DynamicObject>) -> bool {
    let labels = object.metadata.labels.as_ref();
    labels.is_some_and(|labels| labels.contains_key(RUN_LABEL))
}

fn as_seen(one: &Found) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            uid: Some(one.uid.clone()),
            resource_version: one.version.clone(),
        }),
        ..DeleteParams::default()
    }
}
