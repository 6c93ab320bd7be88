//! How the mesh of a run is deployed.

use crate::images::{self, Images};
use crate::plan::RunPlan;
use harness_cluster::ImageNames;
use harness_images::reference::normalize;
use harness_mesh::DeployOptions;
use std::collections::BTreeMap;

/// How the mesh of a run is deployed, with these images.
pub(crate) fn deploy_options(plan: &RunPlan, images: &Images) -> DeployOptions {
    let pulled = images::pulled(plan).names.into_values().collect();
    DeployOptions {
        run: plan.run.clone(),
        images: renamed(&plan.mesh.definition.images, &images.names),
        pulled,
        before: images.before(),
        variables: BTreeMap::new(),
        mutant: plan.mutant.clone(),
        ready: plan.patience.ready.0,
    }
}

/// Component → the name by which the nodes know its image, for those that go by another name than in the definition.
fn renamed(components: &BTreeMap<String, String>, names: &ImageNames) -> BTreeMap<String, String> {
    components
        .iter()
        .filter_map(|(component, reference)| {
            let (_, name) = names
                .iter()
                .find(|(known, _)| normalize(known) == normalize(reference))?;
            Some((component.clone(), name.clone()))
        })
        .collect()
}
