//! Names in scenarios, against what the mesh and the cluster have.

use super::PrepareError;
use crate::plan::{MeshChoice, RunPlan};
use harness_cluster::Cluster;
use harness_model::names::{Names, Places};
use harness_model::scenario::file;

/// Refuses scenarios that speak of what neither the mesh nor the cluster has. Of a scenario that is going to be skipped for
/// what the cluster cannot do only the applications are looked at.
pub(super) fn check(
    cluster: &dyn Cluster,
    plan: &RunPlan,
    choice: &MeshChoice,
) -> Result<(), PrepareError> {
    let mesh = &choice.definition;
    let known = Names {
        applications: mesh.applications(),
        places: Some(Places::of(cluster.topology())),
    };
    let nowhere = Names {
        places: None,
        ..known.clone()
    };
    let capabilities = cluster.capabilities();
    let has = |needed| capabilities.contains(needed) || mesh.capabilities.contains(needed);
    let wrong: Vec<String> = plan
        .scenarios
        .iter()
        .flat_map(|scenario| {
            let can_run = scenario.requires.iter().all(has);
            file::check_for(scenario, if can_run { &known } else { &nowhere })
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
