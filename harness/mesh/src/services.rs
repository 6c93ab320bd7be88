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
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
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
        self.withdrawn
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(service.to_owned());
        let services = self.services();
        let deleted = services.delete(service, &DeleteParams::default()).await;
        deleted
            .map(drop)
            .map_err(|source| MeshError::api(format!("delete the Service {service}"), source))
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
mod tests {
    use super::*;
    use crate::DeployOptions;
    use crate::certificate;
    use std::collections::{BTreeMap, BTreeSet};

    fn context(definition: &MeshDefinition) -> Context {
        let options = DeployOptions {
            run: "r1".to_owned(),
            images: BTreeMap::new(),
            pulled: BTreeSet::new(),
            before: BTreeMap::new(),
            variables: BTreeMap::new(),
            mutant: None,
            ready: Duration::ZERO,
        };
        Context::of_environment(
            "one".to_owned(),
            "10.96.0.0/16".to_owned(),
            ["zone-a", "zone-b"].map(str::to_owned).to_vec(),
            definition,
            &options,
            certificate::obtain(&definition.certificates, BTreeMap::new()).unwrap(),
        )
    }

    #[test]
    fn a_service_is_brought_back_as_it_is_deployed() {
        for shipped in fixtures::meshes::ALL {
            let definition = MeshDefinition::load(shipped.name).unwrap();
            let context = context(&definition);
            let workloads = &definition.workloads;
            for service in workloads.applications.iter().chain(&workloads.services) {
                let object = deployed(&definition, &context, service).unwrap();
                assert_eq!(object.metadata.name.as_ref(), Some(service));
                assert!(object.data["spec"]["selector"].is_object(), "{object:?}");
                let labels = object.metadata.labels.unwrap_or_default();
                assert!(labels.contains_key(crate::RUN_LABEL), "{labels:?}");
            }
        }
    }

    #[test]
    fn what_is_not_deployed_is_not_taken_away() {
        let definition = MeshDefinition::load("reference").unwrap();
        // This one is in another namespace than workloads call services in.
        for service in ["nobody", "control-plane"] {
            let error = deployed(&definition, &context(&definition), service).unwrap_err();
            assert!(error.to_string().contains(service), "{error}");
        }
    }
}
