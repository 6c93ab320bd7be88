//! Deploying a mesh from its definition, and putting another control plane into it.

use crate::apply::Applier;
use crate::definition::{MeshDefinition, WaitFor};
use crate::error::DeployMeshError;
use crate::site::Site;
use crate::template::Context;
use crate::{certificate, manifest, pull, wait};
use harness_cluster::Cluster;
use harness_model::causes::chain;
use kube::api::DynamicObject;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the caller decides about a deployment.
#[derive(Clone, Debug)]
pub struct DeployOptions {
    /// Names the run; the label [`crate::RUN_LABEL`] of everything that is applied.
    pub run: String,
    /// Component → image reference, in place of those of the definition.
    pub images: BTreeMap<String, String>,
    /// Those of the images that nodes pull by themselves, as they are named.
    pub pulled: BTreeSet<String>,
    /// Image under test → the build that comes before it, both as nodes know them. Rollouts put that in place first.
    pub before: BTreeMap<String, String>,
    /// Values in place of the definition's `variables`.
    pub variables: BTreeMap<String, String>,
    /// Deploy the control plane with this seeded bug.
    pub mutant: Option<String>,
    /// How long everything together may take to become Ready.
    pub ready: Duration,
}

/// Takes lines for people about how far a deployment is.
pub type Progress<'a> = &'a (dyn Fn(String) + Send + Sync);

impl Site {
    /// Deploys the mesh and its workloads and waits until all of them are Ready, and nothing is left of what was there
    /// before. The images must have been loaded, or be on their way: pods wait for them.
    ///
    /// # Errors
    ///
    /// When a template or manifest is wrong, objects of others have names of ours (nothing is applied then), the API
    /// server refuses an object, or something does not become Ready in time.
    pub(crate) async fn deploy(
        cluster: &dyn Cluster,
        definition: Arc<MeshDefinition>,
        options: DeployOptions,
        progress: Progress<'_>,
    ) -> Result<Self, DeployMeshError> {
        let kept = certificate::kept(&cluster.client(), &definition).await?;
        let certificates = certificate::obtain(&definition.certificates, kept)?;
        let context = Context::new(cluster, &definition, &options, certificates);
        let site = Self {
            client: cluster.client(),
            context,
            names: Mutex::new(BTreeMap::new()),
            scaled: Mutex::new(BTreeMap::new()),
            moved: Mutex::new(BTreeMap::new()),
            withdrawn: Mutex::new(BTreeSet::new()),
            before: options.before,
            taken_back: Mutex::new(BTreeMap::new()),
            ready: options.ready,
            definition,
        };
        let waves = waves(&site.definition, &site.context, options.mutant.as_deref())?;
        let objects = waves.iter().flat_map(|wave| &wave.objects);
        let applier = Applier::survey(site.client.clone(), objects).await?;
        cluster
            .separate_folders(&site.definition.folders())
            .await
            .map_err(DeployMeshError::Folders)?;
        // On a cluster that is kept, a run may have been killed. Nothing is deployed over it yet, so nobody else writes now.
        if let Err(error) = site.drop_partner_left().await {
            tracing::warn!(
                error = chain(&error),
                "a root of somebody else's that a killed run has left cannot be taken out of trust"
            );
        }
        for wave in waves {
            progress(format!("apply {}", wave.what));
            applier.apply(wave.objects).await?;
            if wave.wait_for == Some(WaitFor::Established) {
                applier.wait_until_established(options.ready).await?;
            }
        }
        // On a cluster that is kept, a run may have been killed.
        site.delete_leftovers()
            .await
            .map_err(DeployMeshError::from)?;
        progress("wait until the control plane and every workload are ready".to_owned());
        // Over another deployment all pods may be Ready that were there before.
        wait::until_rolled_out_telling(&site, options.ready, progress)
            .await
            .map_err(DeployMeshError::from)?;
        Ok(site)
    }

    /// Puts the control plane, or whatever else has this seeded bug (or the sound one again), in place and waits until nothing
    /// of what was there before is left.
    ///
    /// # Errors
    ///
    /// As [`deploy`](Self::deploy), and when the definition has no mutants.
    pub(crate) async fn set_mutant(&self, mutant: Option<&str>) -> Result<(), DeployMeshError> {
        let Some(control_plane) = &self.definition.control_plane else {
            return match mutant {
                Some(name) => Err(DeployMeshError::NoMutants(name.to_owned())),
                None => Ok(()),
            };
        };
        let objects = rendered(
            &self.definition,
            &self.context,
            &control_plane.files,
            mutant,
        )?;
        let applier = Applier::survey(self.client.clone(), &objects).await?;
        applier.apply(objects).await?;
        wait::until_rolled_out(self, self.ready)
            .await
            .map_err(DeployMeshError::from)
    }
}

/// Objects that are applied together.
pub(crate) struct Wave {
    /// What they are, for people.
    what: String,
    pub(crate) objects: Vec<DynamicObject>,
    /// What must hold before the next wave.
    wait_for: Option<WaitFor>,
}

/// Everything that is applied: the groups of the definition in its order, and last what is kept for later deployments.
pub(crate) fn waves(
    definition: &MeshDefinition,
    context: &Context,
    mutant: Option<&str>,
) -> Result<Vec<Wave>, DeployMeshError> {
    let mut waves = Vec::new();
    for group in &definition.manifests {
        waves.push(Wave {
            what: group.files.join(", "),
            objects: rendered(definition, context, &group.files, mutant)?,
            wait_for: group.wait_for,
        });
    }
    let certificates = context.certificates();
    if !certificates.is_empty() {
        let what = "the certificates".to_owned();
        let text = certificate::manifest(certificates, certificate::home(definition));
        waves.push(Wave {
            objects: manifest::parse(&what, &text, context.run())?,
            what,
            wait_for: None,
        });
    }
    Ok(waves)
}

pub(crate) fn rendered(
    definition: &MeshDefinition,
    context: &Context,
    files: &[String],
    mutant: Option<&str>,
) -> Result<Vec<DynamicObject>, DeployMeshError> {
    let mut objects = Vec::new();
    for file in files {
        let text = context.render_manifest(definition, file, mutant)?;
        objects.extend(manifest::parse(file, &text, context.run())?);
    }
    pull::each_time(&mut objects, context.pulled());
    Ok(objects)
}
