//! The images that the mesh's containers run, as the nodes tell it.

use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, ListParams};

/// A container that was started, and its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningImage {
    /// `CLUSTER: NAMESPACE/POD/CONTAINER`, for people.
    pub container: String,
    /// The image as the pod names it.
    pub image: String,
    /// What the node says it is: a digest, mostly with a name and `@` before it.
    pub id: String,
}

impl RunningImage {
    /// The digest in what the node says: of a manifest, or of a configuration.
    #[must_use]
    pub fn digest(&self) -> &str {
        self.id.rsplit('@').next().unwrap_or_default()
    }
}

impl Mesh {
    /// What the mesh's containers run that were started, but those of pods that are being deleted.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn running_images(&self) -> Result<Vec<RunningImage>, MeshError> {
        let namespaces = self.namespaces();
        let lists = self.sites.iter().flat_map(|site| {
            let namespaces = namespaces.iter();
            namespaces.map(move |namespace| running_in(site, namespace))
        });
        Ok(try_join_all(lists).await?.concat())
    }
}

async fn running_in(site: &Site, namespace: &str) -> Result<Vec<RunningImage>, MeshError> {
    let pods: Api<Pod> = Api::namespaced(site.client.clone(), namespace);
    let listed = pods
        .list(&ListParams::default())
        .await
        .map_err(|source| MeshError::api("list the pods of the mesh", source))?;
    let cluster = site.context.cluster();
    let found = listed.items.iter().flat_map(|pod| running(cluster, pod));
    Ok(found.collect())
}

fn running(cluster: &str, pod: &Pod) -> Vec<RunningImage> {
    let (Some(spec), Some(status)) = (&pod.spec, &pod.status) else {
        return Vec::new();
    };
    if pod.metadata.deletion_timestamp.is_some() {
        return Vec::new();
    }
    let place = [&pod.metadata.namespace, &pod.metadata.name]
        .map(|name| name.as_deref().unwrap_or_default())
        .join("/");
    let specified = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    let told: Vec<&ContainerStatus> = [&status.init_container_statuses, &status.container_statuses]
        .into_iter()
        .flatten()
        .flatten()
        .collect();
    let found = specified.filter_map(|container| {
        let told = told.iter().find(|told| told.name == container.name)?;
        (!told.image_id.is_empty()).then(|| RunningImage {
            container: format!("{cluster}: {place}/{}", container.name),
            image: container.image.clone().unwrap_or_default(),
            id: told.image_id.clone(),
        })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn pod(metadata: Value) -> Pod {
        let told = |name: &str, id: &str| {
            json!({
                "name": name, "image": "as the node calls it", "imageID": id,
                "ready": true, "restartCount": 0,
            })
        };
        serde_json::from_value(json!({
            "metadata": metadata,
            "spec": {
                "initContainers": [{ "name": "first", "image": "i:1" }],
                "containers": [{ "name": "main", "image": "m:1" }, { "name": "late", "image": "l:1" }],
            },
            "status": {
                "initContainerStatuses": [told("first", "sha256:1")],
                "containerStatuses": [told("main", "r.example/m@sha256:2"), told("late", "")],
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_was_started_is_told_by_the_pods_name_for_it_and_the_nodes_digest() {
        let found = running("one", &pod(json!({ "namespace": "n", "name": "p" })));
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.container.as_str(), one.image.as_str(), one.digest()))
            .collect();
        assert_eq!(
            found,
            [
                ("one: n/p/first", "i:1", "sha256:1"),
                ("one: n/p/main", "m:1", "sha256:2")
            ]
        );
    }

    #[test]
    fn a_pod_that_goes_does_not_count() {
        let metadata = json!({
            "namespace": "n", "name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z",
        });
        assert_eq!(running("one", &pod(metadata)), []);
    }
}
