//! Starting one more pod of a workload, scaling a workload to nothing, moving it elsewhere, and undoing all of that, with
//! rollouts that were broken off and services that were taken away.

use crate::definition::Component;
use crate::error::MeshError;
use crate::site::Site;
use crate::{FIELD_MANAGER, Workload, wait};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;
use std::time::Duration;

impl Site {
    /// Starts one more pod of `application` in `data_center` and waits until it is Ready, which a sidecar's pod is
    /// when its sidecar has its first configuration. Returns the new pod.
    ///
    /// # Errors
    ///
    /// When the workload is unknown, the API server cannot be written, or the pod does not become Ready within
    /// `patience`.
    pub(crate) async fn join(
        &self,
        application: &str,
        data_center: &str,
        patience: Duration,
    ) -> Result<Workload, MeshError> {
        let before: BTreeSet<String> = self
            .workloads()
            .await?
            .into_iter()
            .map(|workload| workload.sidecar.pod_uid)
            .collect();
        let name = self.deployment_of(application, data_center);
        let replicas = self.wanted(&name) + 1;
        self.scale(&name, replicas).await?;
        let after = self.wait_until_ready(patience).await?;
        let joined = after
            .into_iter()
            .find(|workload| {
                workload.sidecar.application == application
                    && workload.sidecar.data_center == data_center
                    && !before.contains(&workload.sidecar.pod_uid)
            })
            .ok_or_else(|| {
                MeshError::Missing(format!(
                    "find the pod that joined {application} in {data_center}: no new pod is Ready"
                ))
            })?;
        self.mark_as_first_to_go(&joined.sidecar.pod).await?;
        Ok(joined)
    }

    /// Of two pods the ReplicaSet controller may end either when it scales down. It must be the one that joined: the
    /// other keeps its stable name, which later scenarios know it by.
    async fn mark_as_first_to_go(&self, pod: &str) -> Result<(), MeshError> {
        let pods: Api<Pod> =
            Api::namespaced(self.client.clone(), &self.definition.workloads.namespace);
        let patch = serde_json::json!({
            "metadata": { "annotations": { "controller.kubernetes.io/pod-deletion-cost": "-1" } }
        });
        pods.patch(pod, &PatchParams::default(), &Patch::Merge(&patch))
            .await
            .map(|_| ())
            .map_err(|source| {
                MeshError::api(format!("mark the pod {pod} as the first to go"), source)
            })
    }

    /// Scales `application` in `data_center` to nothing and waits until its pods are gone and the service of the
    /// application has no endpoint of them any more.
    ///
    /// # Errors
    ///
    /// When the workload is unknown, the API server cannot be written, or the pods are not gone within
    /// `patience`.
    pub(crate) async fn vacate(
        &self,
        application: &str,
        data_center: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let leaving: BTreeSet<String> = self
            .workloads()
            .await?
            .into_iter()
            .filter(|workload| {
                workload.sidecar.application == application
                    && workload.sidecar.data_center == data_center
            })
            .map(|workload| workload.sidecar.pod)
            .collect();
        let name = self.deployment_of(application, data_center);
        self.scale(&name, 0).await?;
        wait::until_gone(self, &leaving, patience).await
    }

    /// Has the Deployment of `application` in one data center scheduled in another one, as its node selector says, and
    /// waits until its new pod is Ready and no other is left.
    ///
    /// # Errors
    ///
    /// When the workload is unknown, the API server cannot be written, or that does not happen within `patience`.
    pub(crate) async fn reschedule(
        &self,
        application: &str,
        from: &str,
        to: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let name = self.deployment_of(application, from);
        let leaving: BTreeSet<String> = self
            .workloads()
            .await?
            .into_iter()
            .map(|workload| workload.sidecar)
            .filter(|sidecar| sidecar.application == application && sidecar.data_center == from)
            .map(|sidecar| sidecar.pod)
            .collect();
        self.place(&name, to).await?;
        self.moved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(name)
            .or_insert_with(|| from.to_owned());
        wait::until_gone(self, &leaving, patience).await?;
        wait::until_ready(self, patience).await
    }

    /// Schedules the pods of a Deployment in this data center.
    async fn place(&self, deployment: &str, data_center: &str) -> Result<(), MeshError> {
        let selector = serde_json::json!({ "topology.kubernetes.io/zone": data_center });
        let patch = serde_json::json!({
            "spec": { "template": { "spec": { "nodeSelector": selector } } }
        });
        self.patch(deployment, &patch)
            .await
            .map_err(|source| MeshError::api(format!("move the Deployment {deployment}"), source))
    }

    /// Undoes every [`join`](Self::join), [`vacate`](Self::vacate) and [`reschedule`](Self::reschedule), brings back the services
    /// that were taken away, and waits until the workloads are as deployed, of the build under test.
    ///
    /// # Errors
    ///
    /// When the API server cannot be written or the workloads are not Ready within `patience`.
    pub(crate) async fn restore(&self, patience: Duration) -> Result<(), MeshError> {
        // One that cannot be put back keeps nothing else from it.
        let builds = self.restore_builds(patience).await;
        let services = self.offer_again().await;
        let scaled: Vec<String> = {
            let scaled = self.scaled.lock().unwrap_or_else(PoisonError::into_inner);
            scaled.keys().cloned().collect()
        };
        let moved: Vec<(String, String)> = {
            let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            moved.clone().into_iter().collect()
        };
        if scaled.is_empty() && moved.is_empty() {
            return builds.and(services);
        }
        for name in scaled {
            self.scale(&name, 1).await?;
        }
        let mut parts = Vec::new();
        for (name, home) in moved {
            self.place(&name, &home).await?;
            let mut moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
            moved.remove(&name);
            let namespace = &self.definition.workloads.namespace;
            parts.push(Component::deployment(namespace, name, BTreeMap::new()));
        }
        // Until the controller has looked at it, the pod that is still away is ready, too.
        wait::until_restarted(self, &parts, patience).await?;
        builds.and(services)
    }

    /// How many pods a workload's Deployment should have now.
    pub(crate) fn wanted(&self, deployment: &str) -> u32 {
        let scaled = self.scaled.lock().unwrap_or_else(PoisonError::into_inner);
        scaled.get(deployment).copied().unwrap_or(1)
    }

    /// The Deployment of an application in a data center.
    pub(crate) fn deployment_of(&self, application: &str, data_center: &str) -> String {
        self.context.deployment(
            &self.definition.workloads.deployment,
            application,
            data_center,
        )
    }

    async fn patch(&self, deployment: &str, patch: &serde_json::Value) -> Result<(), kube::Error> {
        let namespace = &self.definition.workloads.namespace;
        let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
        let parameters = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let patched = deployments.patch(deployment, &parameters, &patch);
        patched.await.map(drop)
    }

    async fn scale(&self, deployment: &str, replicas: u32) -> Result<(), MeshError> {
        let patch = serde_json::json!({ "spec": { "replicas": replicas } });
        self.patch(deployment, &patch).await.map_err(|source| {
            MeshError::api(format!("scale the Deployment {deployment}"), source)
        })?;
        let mut scaled = self.scaled.lock().unwrap_or_else(PoisonError::into_inner);
        if replicas == 1 {
            scaled.remove(deployment);
        } else {
            scaled.insert(deployment.to_owned(), replicas);
        }
        Ok(())
    }
}
