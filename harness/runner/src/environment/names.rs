//! Names in scenarios, against what the mesh and the cluster have.

use super::PrepareError;
use crate::plan::{MeshChoice, RunPlan};
use harness_cluster::Clusters;
use harness_model::names::{Names, Places};
use harness_model::scenario::file;

/// Refuses scenarios that speak of what neither the mesh nor the cluster has.
pub(super) fn check(
    clusters: &Clusters,
    plan: &RunPlan,
    choice: &MeshChoice,
) -> Result<(), PrepareError> {
    let mesh = &choice.definition;
    let known = Names {
        components: Some(mesh.component_names()),
        applications: mesh.applications(),
        services: mesh.services(),
        places: Some(Places::of(clusters.topology())),
    };
    let has = mesh.capabilities_on(clusters.capabilities());
    let wrong: Vec<String> = plan
        .scenarios
        .iter()
        .flat_map(|scenario| {
            file::check_for(scenario, &known.for_scenario(scenario, Some(&has)))
                .into_iter()
                .map(move |mistake| format!("{}: {mistake}", scenario.name))
        })
        .collect();
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(PrepareError::Names(wrong))
    }
}
