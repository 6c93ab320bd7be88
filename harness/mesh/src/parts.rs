//! Every pod of the mesh and the part it belongs to, whatever state it is in: for figures, not for scenarios.

use crate::directory::labels;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};

/// A pod of the mesh that was given to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshPod {
    /// Its cluster, as the topology calls it.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its node.
    pub node: String,
    /// What it is of the mesh.
    pub part: Part,
}

/// What a pod is of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The control plane or a further component, by its name.
    Component(String),
    /// A workload, by its application.
    Workload(String),
}

impl Mesh {
    /// Every pod of the mesh that was given to a node.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn pods(&self) -> Result<Vec<MeshPod>, MeshError> {
        let listed = try_join_all(self.sites.iter().map(Site::pods)).await?;
        Ok(listed.concat())
    }
}

impl Site {
    async fn pods(&self) -> Result<Vec<MeshPod>, MeshError> {
        let components = self.definition.component_names().all;
        let components = components
            .iter()
            .filter_map(|name| self.definition.component(name));
        let lists = components.map(|component| async move {
            let of = |_: &Pod| Some(Part::Component(component.name.clone()));
            self.listed(&component.namespace, &labels(&component.selector), of)
                .await
        });
        let workloads = &self.definition.workloads;
        let label = workloads.application_label.as_str();
        let of = |pod: &Pod| {
            let application = pod.metadata.labels.as_ref()?.get(label)?;
            Some(Part::Workload(application.clone()))
        };
        let (mut pods, others) = tokio::try_join!(
            self.listed(&workloads.namespace, label, of),
            try_join_all(lists)
        )?;
        pods.extend(others.concat());
        Ok(pods)
    }

    async fn listed(
        &self,
        namespace: &str,
        selector: &str,
        part: impl Fn(&Pod) -> Option<Part>,
    ) -> Result<Vec<MeshPod>, MeshError> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let listed = pods
            .list(&ListParams::default().labels(selector))
            .await
            .map_err(|source| MeshError::api("list the pods of the mesh", source))?;
        let cluster = self.context.cluster();
        let found = listed.items.into_iter().filter_map(|pod| {
            Some(MeshPod {
                part: part(&pod)?,
                cluster: cluster.to_owned(),
                name: pod.metadata.name?,
                uid: pod.metadata.uid?,
                node: pod.spec?.node_name?,
            })
        });
        Ok(found.collect())
    }
}
