//! A candidate that is named as the container engine knows it, on a kind cluster.

use super::meshproof;
use crate::engine::Engine;
use crate::junit::Count;
use crate::workspace;
use anyhow::{Context as _, ensure};
use std::path::Path;
use std::process::Stdio;

/// What the engine calls it.
const CANDIDATE: &str = "candidate/control-plane:engine";

/// Enough to see that the candidate works.
const SCENARIO: &str = "delivery-scope/everybody";

/// Gives the engine the candidate, runs against it, and takes it away.
pub(super) fn run(
    engine: &Engine,
    node_image: &str,
    program: &Path,
    results: &Path,
) -> anyhow::Result<Count> {
    let archive = workspace::root().join("target/images/control-plane.tar");
    let archive = archive.to_string_lossy();
    docker(engine, &["load", "--quiet", "--input", &archive])?;
    docker(engine, &["tag", "meshproof/control-plane:dev", CANDIDATE])?;
    let image = format!("control-plane={CANDIDATE}");
    let arguments = ["run", "--cluster", "kind", "--topology", "one-zone"];
    let arguments = [&arguments[..], &["--image", &image, SCENARIO]].concat();
    let mut command = engine.command(program);
    command.env("MESHPROOF_NODE_IMAGE", node_image);
    let count = meshproof(command, &arguments, results);
    let names = [CANDIDATE, "meshproof/control-plane:dev"];
    docker(engine, &[&["image", "rm"][..], &names].concat())?;
    let mut count = count?;
    count += told(&results.join("latest/report.json"))?;
    Ok(count)
}

/// Whether the report tells the digest that the pods run: one test.
fn told(report: &Path) -> anyhow::Result<Count> {
    let text = std::fs::read_to_string(report).context("read the report of the candidate")?;
    let report: serde_json::Value = serde_json::from_str(&text).context("read the report")?;
    let digest = report["environment"]["candidate.control-plane"].as_str();
    eprintln!("pods ran the candidate {digest:?}");
    Ok(match digest {
        Some(digest) if digest.starts_with("sha256:") => Count::ONE_PASSED,
        _ => Count::one_failed("the report names no digest of the candidate"),
    })
}

fn docker(engine: &Engine, arguments: &[&str]) -> anyhow::Result<()> {
    let status = engine
        .docker()
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("start docker")?;
    ensure!(
        status.success(),
        "docker {} ended with {status}",
        arguments.join(" ")
    );
    Ok(())
}
