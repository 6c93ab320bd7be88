//! A mesh over all clusters of an environment: what is written is written to each of them, what is read is read from all.

mod moves;

use crate::definition::MeshDefinition;
use crate::deploy::{DeployOptions, Progress};
use crate::directory::{Replica, Workload};
use crate::error::{DeployMeshError, MeshError, WriteError};
use crate::keys::Keys;
use crate::site::Site;
use crate::write::Written;
use crate::{wait, write};
use futures::future::{join_all, try_join_all};
use futures::stream::{BoxStream, StreamExt, select_all};
use harness_cluster::Clusters;
use harness_cluster::PodAddress;
use harness_model::configuration::Configuration;
use harness_model::history::DeliveryStatus;
use harness_model::rotation::Rotation;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A mesh that was deployed to the clusters of an environment: in each a control plane and workloads of its own.
///
/// How it is deployed and read in one cluster stands, by file, in [`crate::deploy`], [`crate::directory`],
/// [`mod@crate::write`] and [`crate::scale`]; [`crate::observe`] reduces readings of its sidecars.
pub struct Mesh {
    pub(crate) definition: Arc<MeshDefinition>,
    pub(crate) sites: Vec<Site>,
}

impl Mesh {
    /// Deploys the mesh and its workloads to every cluster and waits until all of them are Ready. The images must have
    /// been loaded, or be on their way: pods wait for them.
    ///
    /// # Errors
    ///
    /// When a template or manifest is wrong, objects of others have names of ours (nothing is applied to that cluster
    /// then), an API server refuses an object, or something does not become Ready in time.
    pub async fn deploy(
        clusters: &Clusters,
        definition: MeshDefinition,
        options: DeployOptions,
        progress: Progress<'_>,
    ) -> Result<Self, DeployMeshError> {
        let definition = Arc::new(definition);
        let several = clusters.all().len() > 1;
        let deployments = clusters.all().iter().map(|cluster| {
            let (definition, options) = (Arc::clone(&definition), options.clone());
            async move {
                let name = harness_cluster::clusters::name(cluster.as_ref());
                let line = |text: String| match several {
                    true => progress(format!("{name}: {text}")),
                    false => progress(text),
                };
                Site::deploy(cluster.as_ref(), definition, options, &line).await
            }
        });
        let sites = try_join_all(deployments).await?;
        Ok(Self { definition, sites })
    }

    /// Puts the control plane, or whatever else has this seeded bug (or the sound one again), in place and waits until nothing
    /// of what was there before is left. Pods of workloads may be new ones: see [`settle_names`](Self::settle_names).
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy), and when the definition has no mutants.
    pub async fn set_mutant(&self, mutant: Option<&str>) -> Result<(), DeployMeshError> {
        let placed = self.sites.iter().map(|site| site.set_mutant(mutant));
        try_join_all(placed).await.map(drop)
    }

    /// The definition it was deployed from.
    #[must_use]
    pub fn definition(&self) -> &MeshDefinition {
        &self.definition
    }

    /// The workload pods that have an address and are not being deleted, ordered by stable name.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn workloads(&self) -> Result<Vec<Workload>, MeshError> {
        let listed = try_join_all(self.sites.iter().map(Site::workloads)).await?;
        let mut workloads = listed.concat();
        workloads.sort_by(|a, b| a.sidecar.name.cmp(&b.sidecar.name));
        Ok(workloads)
    }

    /// One item for every change of a workload's pod, and one for each cluster at first.
    #[must_use]
    pub fn changes_of_workloads(&self) -> BoxStream<'static, ()> {
        select_all(self.sites.iter().map(wait::changes_of_workloads)).boxed()
    }

    /// The control-plane pods that have an address and are not being deleted, by cluster and name; empty where
    /// the mesh has no control plane.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn replicas(&self) -> Result<Vec<Replica>, MeshError> {
        let listed = try_join_all(self.sites.iter().map(Site::replicas)).await?;
        Ok(listed.concat())
    }

    /// Waits until every workload and every control-plane replica that should be there is there and Ready, and
    /// nobody else is; returns the workloads.
    ///
    /// # Errors
    ///
    /// When that does not happen within `patience`, with what was last seen; or when an API server cannot
    /// be read.
    pub async fn wait_until_ready(&self, patience: Duration) -> Result<Vec<Workload>, MeshError> {
        let ready = self
            .sites
            .iter()
            .map(|site| site.wait_until_ready(patience));
        try_join_all(ready).await?;
        self.workloads().await
    }

    /// Creates or replaces a configuration: its scope, toggles and rules, under the scenario's keys, in one cluster after
    /// the other.
    ///
    /// # Errors
    ///
    /// When an API server refuses an object, or when the fate of a write is unknown.
    pub async fn write(
        &self,
        keys: &Keys,
        configuration: &Configuration,
    ) -> Result<Written, WriteError> {
        let mut all = BTreeMap::new();
        for site in &self.sites {
            self.note(&mut all, site, site.write(keys, configuration).await)?;
        }
        Ok(Written { objects: all })
    }

    /// Deletes a configuration in one cluster after the other; fine where it is not there.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn delete(&self, keys: &Keys, configuration: &str) -> Result<Written, WriteError> {
        let mut all = BTreeMap::new();
        for site in &self.sites {
            self.note(&mut all, site, site.delete(keys, configuration).await)?;
        }
        Ok(Written { objects: all })
    }

    /// Writes the scenario's marker for everybody, with a value of lower-case letters, digits and dashes that
    /// was never used before. Each scenario has its own marker, so that parallel scenarios do not overwrite each other's.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write).
    pub async fn write_marker(&self, keys: &Keys, value: &str) -> Result<Written, WriteError> {
        self.write(keys, &write::marker(&self.definition, value))
            .await
    }

    /// Replaces what certificates lead to, as an operator would, in every cluster. `partner` is the root in PEM that comes into
    /// trust by it, where one does.
    ///
    /// # Errors
    ///
    /// When the mesh does not say how, or an API server does not take it.
    pub async fn rotate(
        &self,
        rotation: &Rotation,
        partner: Option<&str>,
    ) -> Result<(), MeshError> {
        let sites = self.sites.iter();
        // One that fails must not leave open what becomes of the others.
        let all = join_all(sites.map(|site| site.rotate(rotation, partner))).await;
        all.into_iter().collect()
    }

    /// What was written so far, in all clusters: where a later one fails, the earlier ones have it.
    fn note(
        &self,
        all: &mut BTreeMap<String, String>,
        site: &Site,
        outcome: Result<Written, WriteError>,
    ) -> Result<(), WriteError> {
        let several = self.sites.len() > 1;
        let named = |objects: BTreeMap<String, String>| {
            objects
                .into_iter()
                .map(move |(kind, version)| match several {
                    true => (format!("{kind} in {}", site.context.cluster()), version),
                    false => (kind, version),
                })
        };
        match outcome {
            Ok(written) => {
                all.extend(named(written.objects));
                Ok(())
            }
            Err(error) => {
                let mut written = std::mem::take(all);
                written.extend(named(error.written));
                Err(WriteError { written, ..error })
            }
        }
    }

    /// The mesh's own status of a configuration, summed over the clusters; none where the mesh reports none, or one of
    /// them none yet.
    ///
    /// # Errors
    ///
    /// When an object is not there, cannot be read, or its status has another form than the definition says.
    pub async fn status(
        &self,
        keys: &Keys,
        configuration: &str,
    ) -> Result<Option<DeliveryStatus>, MeshError> {
        let read = self
            .sites
            .iter()
            .map(|site| site.status(keys, configuration));
        let read = try_join_all(read).await?;
        Ok(read.into_iter().reduce(summed).flatten())
    }

    /// Removes every object of one scenario, markers included. Fine when there is none.
    ///
    /// # Errors
    ///
    /// When an API server does not answer or refuses.
    pub async fn delete_scenario(&self, keys: &Keys) -> Result<(), MeshError> {
        let deleted = self.sites.iter().map(|site| site.delete_scenario(keys));
        try_join_all(deleted).await.map(drop)
    }

    /// The pods of a part of the mesh, in every cluster and in each the oldest first, with a port that they listen on; nobody
    /// where the mesh has no such part.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn pods_of(&self, component: &str) -> Result<Vec<(PodAddress, u16)>, MeshError> {
        let Some(part) = self.definition.component(component) else {
            return Ok(Vec::new());
        };
        let found = try_join_all(self.sites.iter().map(|site| site.pods_of(&part))).await?;
        Ok(found
            .concat()
            .into_iter()
            .map(|pod| (pod, part.port))
            .collect())
    }

    /// The data center of each pod of a part of the mesh, by the pod's name; nobody where the mesh has no such part.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn places_of(&self, component: &str) -> Result<BTreeMap<String, String>, MeshError> {
        let Some(part) = self.definition.component(component) else {
            return Ok(BTreeMap::new());
        };
        let found = try_join_all(self.sites.iter().map(|site| site.places_of(&part))).await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// The namespaces in which something of the mesh runs.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        let definition = &self.definition;
        let control_plane = definition.control_plane.iter();
        let mut namespaces: Vec<String> = control_plane
            .map(|control_plane| control_plane.namespace.clone())
            .chain([definition.workloads.namespace.clone()])
            .collect();
        let parts = definition
            .components
            .iter()
            .map(|part| part.namespace.clone());
        namespaces.extend(parts);
        namespaces.sort();
        namespaces.dedup();
        namespaces
    }

    /// The folders that its parts have on the disks of their nodes.
    #[must_use]
    pub fn folders(&self) -> Vec<PathBuf> {
        self.definition.folders()
    }

    /// The Secrets that its parts keep private keys in which nobody else may be able to read, by namespace and name.
    #[must_use]
    pub fn secrets(&self) -> Vec<(String, String)> {
        self.definition.secrets()
    }

    /// Objects of scenarios that are still there, `Kind namespace/name`; empty when everything was removed.
    ///
    /// # Errors
    ///
    /// When an API server cannot be read.
    pub async fn leftovers(&self) -> Result<Vec<String>, MeshError> {
        let found = try_join_all(self.sites.iter().map(Site::leftovers)).await?;
        Ok(found.concat())
    }

    pub(crate) fn site_of(&self, cluster: &str) -> Result<&Site, MeshError> {
        let found = self
            .sites
            .iter()
            .find(|site| site.context.cluster() == cluster);
        found.ok_or_else(|| MeshError::Missing(format!("find the cluster {cluster}")))
    }

    fn holding(&self, data_center: &str) -> Result<&Site, MeshError> {
        self.sites
            .iter()
            .find(|site| {
                let known = site.context.data_centers();
                known.iter().any(|known| known == data_center)
            })
            .ok_or_else(|| {
                MeshError::Missing(format!(
                    "find the data center {data_center}: no cluster has it"
                ))
            })
    }
}

/// The status in two clusters as one: as new as the older of them.
fn summed(one: Option<DeliveryStatus>, other: Option<DeliveryStatus>) -> Option<DeliveryStatus> {
    let (one, other) = (one?, other?);
    let lag = |status: &DeliveryStatus| status.generation - status.observed_generation;
    let (observed_generation, generation) = if lag(&one) >= lag(&other) {
        (one.observed_generation, one.generation)
    } else {
        (other.observed_generation, other.generation)
    };
    Some(DeliveryStatus {
        observed_generation,
        generation,
        matched: one.matched + other.matched,
        delivered: one.delivered + other.delivered,
        acknowledged: one.acknowledged + other.acknowledged,
        rejected: one.rejected.into_iter().chain(other.rejected).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(observed_generation: i64, generation: i64, matched: u64) -> DeliveryStatus {
        DeliveryStatus {
            observed_generation,
            generation,
            matched,
            delivered: matched,
            acknowledged: matched,
            rejected: [(format!("pod-{matched}"), "no".to_owned())].into(),
        }
    }

    #[test]
    fn a_status_over_clusters_is_the_sum_and_as_new_as_the_oldest() {
        let sum = summed(Some(status(3, 3, 2)), Some(status(1, 2, 5))).expect("both have one");
        assert_eq!((sum.observed_generation, sum.generation), (1, 2));
        assert_eq!((sum.matched, sum.delivered, sum.acknowledged), (7, 7, 7));
        assert_eq!(sum.rejected.len(), 2);
        assert_eq!(summed(Some(status(1, 1, 1)), None), None);
        assert_eq!(summed(None, Some(status(1, 1, 1))), None);
    }
}
