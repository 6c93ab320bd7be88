//! Scenarios over several clusters.

use super::on_kind::on_kind;
use crate::junit::Count;
use std::path::Path;

/// What is run over several clusters, and how: two cores carry the six nodes of the topology, but not at the pace of one
/// cluster, and the bounds are not what this part is about.
const OPTIONS: [&str; 13] = [
    "delivery-scope/cluster",
    "delivery-scope/address-in-cluster",
    "delivery-scope/data-center",
    "delivery-scope/application",
    "routing/own-zone",
    "--topology",
    "two-clusters",
    "--parallel",
    "2",
    "--delivery",
    "30s",
    "--patience=marker=60s",
    "--patience=ready=4m",
];

/// Runs them on two kind clusters.
pub(super) fn run(program: &Path, results: &Path, install: bool) -> anyhow::Result<Count> {
    on_kind(program, results, &OPTIONS, install)
}
