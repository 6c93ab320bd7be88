//! Clusters that were brought up together: what each of them says of the whole, and what is kept under one name.
//!
//! A topology of one cluster is the cluster of the name that was asked for. Of several, cluster `east` of `dev` is the
//! cluster `dev-east`, and each that is kept says of which whole it is a part.

use crate::ClusterError;
use harness_model::causes::chain;
use harness_model::topology::Topology;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Several clusters that were brought up together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Whole {
    /// The name that was asked for.
    pub name: String,
    /// The shape of all of them.
    pub topology: Topology,
}

/// What is kept under one name: a cluster, or the clusters of a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub topology: Topology,
    /// The names of its clusters that are still there, in the topology's order.
    pub clusters: Vec<String>,
    /// Whether somebody uses one of them.
    pub in_use: bool,
}

impl Kept {
    /// That clusters of it are gone; none when all of them are there.
    pub(crate) fn incomplete(&self) -> Option<ClusterError> {
        if self.clusters.len() == self.topology.clusters.len() {
            return None;
        }
        let reason = format!(
            "of its clusters only {} are there",
            self.clusters.join(", ")
        );
        let name = &self.name;
        let hint = format!("end what is left of them: meshproof cluster down {name}");
        Some(ClusterError::because(format!("attach to the clusters `{name}`"), reason).hint(hint))
    }
}

/// Puts clusters that were brought up together under their common name. Each comes with its name, its shape, and the
/// whole that it is a part of, if it is one, and whether it is in use.
pub(crate) fn kept(
    listed: impl IntoIterator<Item = (String, Topology, Option<Whole>, bool)>,
) -> Vec<Kept> {
    let mut found: BTreeMap<String, Kept> = BTreeMap::new();
    for (own_name, topology, part_of, in_use) in listed {
        let (name, topology) = match part_of {
            Some(whole) => (whole.name, whole.topology),
            None => (own_name.clone(), topology),
        };
        let kept = found.entry(name.clone()).or_insert_with(|| Kept {
            name,
            topology,
            clusters: Vec::new(),
            in_use: false,
        });
        kept.in_use |= in_use;
        kept.clusters.push(own_name);
    }
    for kept in found.values_mut() {
        let position = |name: &String| {
            let shapes = &kept.topology.clusters;
            let is_called = |shape: &str| *name == name_of(&kept.name, shape);
            shapes.iter().position(|shape| is_called(&shape.name))
        };
        kept.clusters.sort_by_key(position);
    }
    found.into_values().collect()
}

/// The name of one cluster of several.
pub(crate) fn name_of(whole: &str, cluster: &str) -> String {
    format!("{whole}-{cluster}")
}

/// Several errors as one; `act` is what none of them says.
pub(crate) fn one_error(act: &str, mut failed: Vec<ClusterError>) -> Option<ClusterError> {
    if failed.len() < 2 {
        return failed.pop();
    }
    let reasons: Vec<String> = failed.iter().map(|error| chain(error)).collect();
    let error = ClusterError::because(act, reasons.join("\n"));
    let left = failed
        .iter_mut()
        .flat_map(|error| std::mem::take(&mut error.left))
        .collect();
    let hint = failed.into_iter().find_map(|error| error.hint);
    Some(ClusterError {
        hint,
        left,
        ..error
    })
}
