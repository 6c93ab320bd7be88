//! Scenarios on the local cluster otherwise than by default: over several clusters and many data centers, over a topology of a
//! file as users write them, with certificates that live as short as they may, and with seeded bugs over several clusters; and
//! how far data centers are from each other.

use super::addresses::{self, OF_AN_ADDRESS};
use super::{distances, forget_run, meshproof};
use crate::junit::Count;
use anyhow::Context as _;
use std::path::Path;
use std::process::Command;

/// What is run, and the fewest sidecars that it is to be run with.
struct Pass {
    /// The folder of its artefacts.
    name: &'static str,
    options: &'static [&'static str],
    sidecars: usize,
}

const PASSES: [Pass; 4] = [
    Pass {
        name: "two-clusters",
        options: &[
            "delivery-scope",
            "--tag=qa",
            "--topology=two-clusters",
            // Two cores carry twice the sidecars, and the bounds are not what this is about.
            "--parallel=4",
            "--delivery=15s",
            "--patience=marker=30s",
            "--set=xds=mixed",
        ],
        sidecars: 15,
    },
    Pass {
        name: "five-data-centers",
        options: &[
            "delivery-scope/data-center",
            "delivery-scope/cluster-and-data-center",
            "delivery-scope/rescheduled",
            "routing/across-zones",
            "tls/scope",
            "--topology=three-regions-five-data-centers",
        ],
        sidecars: 15,
    },
    Pass {
        name: "topology-of-a-file",
        options: &[
            "delivery-scope/data-center",
            "routing/across-zones",
            "--topology=kind-config/topologies/far-zones.yaml",
        ],
        sidecars: 11,
    },
    Pass {
        name: "short-certificates",
        options: &["tls/renewal", "--set=certificateLifetime=10"],
        sidecars: 11,
    },
];

/// Scenarios that must catch seeded bugs over two clusters, in one of them a bug that shows nowhere else. That they pass without a
/// bug is shown by the pass of that topology.
const SELFTEST: [&str; 8] = [
    "selftest",
    "delivery-scope/cluster",
    OF_AN_ADDRESS,
    "--topology=two-clusters",
    "--without-faithful",
    "--without-absent",
    "--delivery=15s",
    "--patience=marker=30s",
];

/// What the matrix says of them over two clusters, as a self-test tells it.
const CAUGHT: [(&str, &str, &str); 2] = [
    (
        "cluster-ignored",
        "delivery-scope/cluster",
        "failed by confined at *@zone-d",
    ),
    (
        "cluster-ignored",
        OF_AN_ADDRESS,
        "failed by confined at *@zone-d",
    ),
];

/// Runs them, one after the other.
pub(super) fn run(program: &Path, results: &Path) -> anyhow::Result<Count> {
    forget_run(results)?;
    let mut total = Count::default();
    for pass in &PASSES {
        let artifacts = results.join(pass.name);
        let arguments = [&["run"], pass.options].concat();
        total += meshproof(Command::new(program), &arguments, &artifacts)?;
        let sidecars = sidecars(&artifacts.join("latest/report.json"))?;
        total += if sidecars >= pass.sidecars {
            Count::ONE_PASSED
        } else {
            let (name, fewest) = (pass.name, pass.sidecars);
            Count::one_failed(format!("{name} had {sidecars} sidecars, not {fewest}"))
        };
    }
    total += addresses::same(&results.join("two-clusters/latest"))?;
    let artifacts = results.join("two-clusters-selftest");
    total += meshproof(Command::new(program), &SELFTEST, &artifacts)?;
    total += caught(&artifacts.join("latest/selftest.json"))?;
    total += distances::run(program)?;
    Ok(total)
}

/// Whether a self-test had the bug that takes several clusters to show there, and it was caught as it must be.
fn caught(report: &Path) -> anyhow::Result<Count> {
    let text =
        std::fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text)?;
    let cases = report["cases"].as_array().context("no cases are told")?;
    let outcomes = CAUGHT.map(|(bug, scenario, expected)| {
        let was_caught = cases.iter().any(|case| {
            case["controlPlane"] == bug
                && case["scenario"] == scenario
                && case["expected"] == expected
                && case["agrees"] == true
        });
        if was_caught {
            Count::ONE_PASSED
        } else {
            Count::one_failed(format!(
                "{scenario} did not catch {bug} over two clusters: {expected}"
            ))
        }
    });
    let mut total = Count::default();
    for outcome in outcomes {
        total += outcome;
    }
    Ok(total)
}

/// How many sidecars a run was made with, as its report tells.
fn sidecars(report: &Path) -> anyhow::Result<usize> {
    let text =
        std::fs::read_to_string(report).with_context(|| format!("read {}", report.display()))?;
    let report: serde_json::Value = serde_json::from_str(&text)?;
    let sidecars = report["sidecars"].as_array();
    Ok(sidecars.context("the report tells no sidecars")?.len())
}
