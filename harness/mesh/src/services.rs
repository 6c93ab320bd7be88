//! Taking services away and bringing them back, each in every cluster.
//!
//! Invariant: what is taken away was applied by us, and what has to be brought back is noted before it is gone, in memory:
//! after a kill the next deployment applies it again.

use crate::definition::MeshDefinition;
use crate::error::MeshError;
use crate::mesh::Mesh;
use crate::site::Site;
use crate::template::Context;
use crate::{FIELD_MANAGER, apply, deploy, wait};
use futures::future::{join_all, try_join_all};
use harness_model::causes::chain;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, Preconditions};
use kube::runtime::watcher;
use std::sync::PoisonError;
use std::time::Duration;

/// The label by which an EndpointSlice names its service.
const OF_SERVICE: &str = "kubernetes.io/service-name";

impl Mesh {
    /// Deletes a service. Its pods stay.
    ///
    /// # Errors
    ///
    /// When the mesh does not deploy it, and when an API server does not delete it.
    pub async fn withdraw(&self, service: &str) -> Result<(), MeshError> {
        let withdrawn = self.sites.iter().map(|site| site.withdraw(service));
        // One that fails must not leave open what becomes of the others.
        join_all(withdrawn).await.into_iter().collect()
    }

    /// Waits until no API server tells an endpoint of a service that was deleted.
    ///
    /// # Errors
    ///
    /// When one still does after `patience`, or cannot be read.
    pub async fn wait_until_without_endpoints(
        &self,
        service: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let sites = self.sites.iter();
        let gone = sites.map(|site| site.wait_until_without_endpoints(service, patience));
        try_join_all(gone).await.map(drop)
    }

    /// Applies a service that was deleted, as it was deployed.
    ///
    /// # Errors
    ///
    /// When the mesh does not deploy it, and when an API server does not take it.
    pub async fn offer(&self, service: &str) -> Result<(), MeshError> {
        let offered = self.sites.iter().map(|site| site.offer(service));
        join_all(offered).await.into_iter().collect()
    }
}

impl Site {
    async fn withdraw(&self, service: &str) -> Result<(), MeshError> {
        // Nothing is deleted that could not be brought back.
        self.deployed(service)?;
        let services = self.services();
        let there = services.get_metadata(service).await;
        let act = format!("delete the Service {service}");
        let there = there.map_err(|source| MeshError::api(act.clone(), source))?;
        if !apply::is_ours(&there.metadata) {
            // Somebody has put another one in its place.
            let why = format!("{act}: the one that is there was not applied by a run");
            return Err(MeshError::Missing(why));
        }
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(service.to_owned());
        let this_one = DeleteParams {
            preconditions: Some(Preconditions {
                uid: there.metadata.uid,
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let deleted = services.delete(service, &this_one).await;
        deleted
            .map(drop)
            .map_err(|source| MeshError::api(act, source))
    }

    async fn wait_until_without_endpoints(
        &self,
        service: &str,
        patience: Duration,
    ) -> Result<(), MeshError> {
        let namespace = &self.definition.workloads.namespace;
        let slices: Api<EndpointSlice> = Api::namespaced(self.client.clone(), namespace);
        let labels = format!("{OF_SERVICE}={service}");
        let watched = watcher::Config::default().labels(&labels);
        let changes = wait::changes_of(slices.clone(), watched);
        let of_service = ListParams::default().labels(&labels);
        let what = format!("the endpoints of the service {service} to be gone");
        wait::until(&what, patience, changes, || {
            let (slices, of_service) = (slices.clone(), of_service.clone());
            async move {
                let left = slices
                    .list(&of_service)
                    .await
                    .map_err(|source| MeshError::api("list endpoints", source))?;
                Ok(match left.items.len() {
                    0 => Ok(()),
                    left => Err(format!("{left} EndpointSlices of it are still there")),
                })
            }
        })
        .await
    }

    async fn offer(&self, service: &str) -> Result<(), MeshError> {
        let object = self.deployed(service)?;
        // Who has made one of the same name meanwhile is not overruled.
        let parameters = PatchParams::apply(FIELD_MANAGER);
        let services = self.services();
        services
            .patch(service, &parameters, &Patch::Apply(&object))
            .await
            .map_err(|source| MeshError::api(format!("apply the Service {service}"), source))?;
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(service);
        Ok(())
    }

    /// The services that are away.
    pub(crate) fn withdrawn(&self) -> Vec<String> {
        let withdrawn = self.withdrawn.lock();
        let withdrawn = withdrawn.unwrap_or_else(PoisonError::into_inner);
        withdrawn.iter().cloned().collect()
    }

    /// Brings every service back that is still away.
    pub(crate) async fn offer_again(&self) -> Result<(), MeshError> {
        let withdrawn = self.withdrawn();
        let offered = withdrawn.iter().map(|service| self.offer(service));
        join_all(offered).await.into_iter().collect()
    }

    fn services(&self) -> Api<Service> {
        let namespace = &self.definition.workloads.namespace;
        Api::namespaced(self.client.clone(), namespace)
    }

    fn deployed(&self, service: &str) -> Result<DynamicObject, MeshError> {
        deployed(&self.definition, &self.context, service)
    }
}

/// The object of a service that workloads call, as it is deployed.
fn deployed(
    definition: &MeshDefinition,
    context: &Context,
    service: &str,
) -> Result<DynamicObject, MeshError> {
    let act = format!("render the Service {service}");
    let waves = deploy::waves(definition, context, None)
        .map_err(|error| MeshError::Missing(format!("{act}: {}", chain(&error))))?;
    let namespace = definition.workloads.namespace.as_str();
    let is_it = |object: &DynamicObject| {
        apply::kind(object) == "Service"
            && object.metadata.name.as_deref() == Some(service)
            && object.metadata.namespace.as_deref() == Some(namespace)
    };
    waves
        .into_iter()
        .flat_map(|wave| wave.objects)
        .find(is_it)
        .ok_or_else(|| MeshError::Missing(format!("{act}: no manifest of the mesh has it")))
}

#[cfg(test)]
mod tests;
