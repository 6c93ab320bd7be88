//! Scenarios over several clusters.

use super::addresses::{self, OF_AN_ADDRESS};
use super::on_kind::on_kind;
use crate::junit::Count;
use std::path::Path;

/// What is run over several clusters, and how: two cores carry the six nodes of the topology, but not at the pace of one
/// cluster, and the bounds are not what this part is about.
const OPTIONS: [&str; 13] = [
    "delivery-scope/cluster",
    OF_AN_ADDRESS,
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

/// Runs them on two kind clusters, and looks at whom the scenario about addresses had to tell apart.
pub(super) fn run(program: &Path, results: &Path, install: bool) -> anyhow::Result<Count> {
    let mut count = on_kind(program, results, &OPTIONS, install)?;
    // A run that came to nothing has said so, and has no history.
    count += addresses::of_both(&results.join("latest"))
        .unwrap_or_else(|error| Count::one_failed(format!("{error:#}")));
    Ok(count)
}
