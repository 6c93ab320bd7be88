//! Deploying a mesh from its definition, and putting another control plane into it.

use crate::apply::Applier;
use crate::definition::{MeshDefinition, WaitFor};
use crate::error::DeployMeshError;
use crate::template::Context;
use crate::{Mesh, certificate, manifest, wait};
use harness_cluster::Cluster;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

/// What the caller decides about a deployment.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    /// Names the run; the label [`crate::RUN_LABEL`] of everything that is applied.
    pub run: String,
    /// Component → image reference, in place of those of the definition.
    pub images: BTreeMap<String, String>,
    /// Values in place of the definition's `variables`.
    pub variables: BTreeMap<String, String>,
    /// Deploy the control plane with this seeded bug.
    pub mutant: Option<String>,
    /// How long everything together may take to become Ready.
    pub ready: Duration,
}

/// Takes lines for people about how far a deployment is.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Mesh {
    /// Deploys the mesh and its workloads and waits until all of them are Ready. The images must have been loaded, or
    /// be on their way: pods wait for them.
    ///
    /// # Errors
    ///
    /// When a template or manifest is wrong, the API server refuses an object, or something does not become
    /// Ready in time.
    pub async fn deploy(
        cluster: &dyn Cluster,
        definition: MeshDefinition,
        options: DeployOptions,
        progress: Progress<'_>,
    ) -> Result<Self, DeployMeshError> {
        let home = definition.control_plane.as_ref();
        let home = home.map_or(&definition.workloads.namespace, |home| &home.namespace);
        let kept = certificate::kept(&cluster.client(), home).await?;
        let certificates = certificate::obtain(&definition.certificates, kept)?;
        let keep = certificate::manifest(&certificates, home);
        let context = Context::new(cluster, &definition, &options, certificates);
        let mesh = Self {
            client: cluster.client(),
            topology: cluster.topology().clone(),
            context,
            names: Mutex::new(BTreeMap::new()),
            scaled: Mutex::new(BTreeMap::new()),
            ready: options.ready,
            definition,
        };
        let applier = Applier::new(mesh.client.clone());
        for group in &mesh.definition.manifests {
            let mut objects = Vec::new();
            for file in &group.files {
                objects.extend(mesh.rendered(file, options.mutant.as_deref())?);
            }
            progress(format!("apply {}", group.files.join(", ")));
            applier.apply(objects).await?;
            if group.wait_for == Some(WaitFor::Established) {
                applier.wait_until_established(options.ready).await?;
            }
        }
        if !mesh.definition.certificates.is_empty() {
            let keep = manifest::parse("the certificates", &keep, mesh.context.run())?;
            applier.apply(keep).await?;
        }
        progress("wait until the control plane and every workload are ready".to_owned());
        wait::until_ready(&mesh, options.ready)
            .await
            .map_err(DeployMeshError::from)?;
        Ok(mesh)
    }

    /// Puts the control plane with this seeded bug (or the sound one again) in place and waits until no other
    /// replica is left.
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy), and when the definition has no mutants.
    pub async fn set_mutant(&self, mutant: Option<&str>) -> Result<(), DeployMeshError> {
        let Some(control_plane) = &self.definition.control_plane else {
            return match mutant {
                Some(name) => Err(DeployMeshError::NoMutants(name.to_owned())),
                None => Ok(()),
            };
        };
        let mut objects = Vec::new();
        for file in &control_plane.files {
            objects.extend(self.rendered(file, mutant)?);
        }
        Applier::new(self.client.clone()).apply(objects).await?;
        wait::until_rolled_out(self, control_plane, self.ready)
            .await
            .map_err(DeployMeshError::from)
    }

    fn rendered(
        &self,
        file: &str,
        mutant: Option<&str>,
    ) -> Result<Vec<kube::api::DynamicObject>, DeployMeshError> {
        let text = self
            .context
            .render_manifest(&self.definition, file, mutant)?;
        manifest::parse(file, &text, self.context.run())
    }
}
