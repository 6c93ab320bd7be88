//! How a part of a mesh is taken away and brought back.

use crate::definition::{Component, ComponentKind};
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use futures::future::try_join_all;
use harness_cluster::healer::Change;
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use serde_json::{Value, json};

/// A label that no node has: a DaemonSet that asks for it runs nowhere.
const NOWHERE: &str = "meshproof.io/nowhere";

/// How the object that runs a part of a mesh is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// The cluster it is in.
    pub cluster: String,
    /// From when on none of its pods is started.
    pub away: Change,
    /// From when on they are again, as many as now.
    pub back: Change,
}

impl Mesh {
    /// How a part of the mesh is taken away, in each cluster; nothing where the mesh has no such part.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn absence_of(&self, component: &str) -> Result<Vec<Absence>, MeshError> {
        let Some(part) = self.definition().component(component) else {
            return Ok(Vec::new());
        };
        try_join_all(self.sites.iter().map(|site| absence(site, &part))).await
    }
}

async fn absence(site: &Site, part: &Component) -> Result<Absence, MeshError> {
    let (away, back) = match part.kind {
        ComponentKind::Deployment => {
            let deployments: Api<Deployment> =
                Api::namespaced(site.client.clone(), &part.namespace);
            let deployment = deployments.get(&part.name).await.map_err(|source| {
                MeshError::api(format!("read the Deployment {}", part.name), source)
            })?;
            let now = deployment.spec.and_then(|spec| spec.replicas).unwrap_or(1);
            (replicas(0), replicas(now))
        }
        ComponentKind::DaemonSet => (nodes_with(json!("none")), nodes_with(Value::Null)),
    };
    let change = |patch| Change {
        path: part.path(),
        patch,
    };
    Ok(Absence {
        cluster: site.context.cluster().to_owned(),
        away: change(away),
        back: change(back),
    })
}

fn replicas(count: i32) -> Value {
    json!({ "spec": { "replicas": count } })
}

fn nodes_with(value: Value) -> Value {
    json!({ "spec": { "template": { "spec": { "nodeSelector": { NOWHERE: value } } } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_set_comes_back_by_the_removal_of_what_keeps_it_away() {
        let key = |patch: Value| patch["spec"]["template"]["spec"]["nodeSelector"][NOWHERE].clone();
        assert_eq!(key(nodes_with(json!("none"))), json!("none"));
        assert_eq!(key(nodes_with(Value::Null)), Value::Null);
        assert_eq!(replicas(0), json!({ "spec": { "replicas": 0 } }));
    }
}
