//! A candidate that is named as the container engine knows it, on a kind cluster. What the pods run is asked of the cluster, and
//! what that is of its node: a run that took our own image all the same is told.

use super::{DELIVERY, finish, meshproof};
use crate::engine::Engine;
use crate::junit::Count;
use crate::workspace;
use anyhow::{Context as _, bail};
use harness_images::another;
use std::collections::BTreeSet;
use std::path::Path;

/// What the engine calls it.
const CANDIDATE: &str = "candidate/control-plane:engine";

/// Enough to see that the candidate works.
const SCENARIO: &str = "delivery-scope/everybody";

/// The images of the control plane's containers, as nodes call them.
const IMAGES: &str =
    r#"jsonpath={.items[*].status.containerStatuses[?(@.name=="control-plane")].imageID}"#;

/// Gives the engine the candidate, runs against it, and takes it away.
pub(super) fn run(
    engine: &Engine,
    node_image: &str,
    program: &Path,
    results: &Path,
) -> anyhow::Result<Count> {
    let folder = tempfile::tempdir().context("make a folder for the candidate")?;
    let archive = folder.path().join("candidate.tar");
    let ours = workspace::root().join("target/images/control-plane.tar");
    let candidate = another::build(&ours, CANDIDATE, "CANDIDATE=yes", &archive)?;
    let archive = archive.to_string_lossy();
    engine.says(&["load", "--quiet", "--input", &archive])?;
    let count = run_against(engine, node_image, program, results, &candidate);
    engine.says(&["image", "rm", CANDIDATE])?;
    count
}

/// A run that leaves its cluster standing, which is asked then and taken down.
fn run_against(
    engine: &Engine,
    node_image: &str,
    program: &Path,
    results: &Path,
    candidate: &str,
) -> anyhow::Result<Count> {
    let image = format!("control-plane={CANDIDATE}");
    let arguments = ["run", "--cluster", "kind", "--topology", "one-zone"];
    let options = [DELIVERY, "--keep=always", "--image", &image, SCENARIO];
    let mut command = engine.command(program);
    command.env("MESHPROOF_NODE_IMAGE", node_image);
    let mut count = meshproof(command, &[&arguments[..], &options].concat(), results)?;
    let run = results.join("latest");
    let cluster = match cluster_of(&run) {
        // It ended before it had a folder, and the count says why.
        Err(_) if !count.failed.is_empty() => return Ok(count),
        cluster => cluster?,
    };
    let told = told(engine, &cluster, &run.join("report.json"), candidate);
    let mut down = engine.command(program);
    down.current_dir(workspace::root())
        .args(["cluster", "down", &cluster]);
    let taken_down = finish(&mut down).context("take the cluster down");
    // Where the run went wrong there may be no cluster, which says less than why it went wrong.
    if count.failed.is_empty() {
        count += told?;
        taken_down?;
    }
    Ok(count)
}

/// The name of a run's own cluster, by the folder of its artefacts.
fn cluster_of(run: &Path) -> anyhow::Result<String> {
    let folder = std::fs::read_link(run).context("find the run with the candidate")?;
    let folder = folder.to_string_lossy();
    let (_, id) = folder
        .rsplit_once('-')
        .with_context(|| format!("{folder} is not the name of a run"))?;
    Ok(format!("run-{id}"))
}

/// Whether the report tells the digest that the pods run, and that is an image of the candidate: one test.
fn told(engine: &Engine, cluster: &str, report: &Path, candidate: &str) -> anyhow::Result<Count> {
    let text = std::fs::read_to_string(report).context("read the report of the candidate")?;
    let report: serde_json::Value = serde_json::from_str(&text).context("read the report")?;
    let told = report["environment"]["candidate.control-plane"].as_str();
    let told = told.unwrap_or("no digest");
    let ran = control_plane_runs(engine, cluster)?;
    if ran != BTreeSet::from([told.to_owned()]) {
        let what = format!("the report names {told} as the candidate, and pods run {ran:?}");
        return Ok(Count::one_failed(what));
    }
    // The first worker, as kind names it: every node has the image.
    let node = format!("meshproof-{cluster}-worker");
    let configuration = configuration_of(engine, &node, told)?;
    eprintln!("pods ran {told}, whose configuration is {configuration}");
    Ok(if configuration == candidate {
        Count::ONE_PASSED
    } else {
        Count::one_failed(format!(
            "pods run {told}, whose configuration is {configuration}; that of the candidate is {candidate}"
        ))
    })
}

/// The digests of what the control plane's pods run, as the API server tells them.
fn control_plane_runs(engine: &Engine, cluster: &str) -> anyhow::Result<BTreeSet<String>> {
    let node = format!("meshproof-{cluster}-control-plane");
    let kubectl = ["exec", &node, "kubectl"];
    let administrator = ["--kubeconfig", "/etc/kubernetes/admin.conf"];
    let get = ["get", "pods", "--namespace", "mesh-system"];
    let get = [&kubectl[..], &administrator, &get, &["--output", IMAGES]].concat();
    let said = engine.says(&get)?;
    let digests = said.split_whitespace();
    let digests = digests.filter_map(|image| image.rsplit('@').next());
    Ok(digests.map(str::to_owned).collect())
}

/// The digest of the configuration of an image that a node has by this digest: of its manifest, which a node makes itself where
/// the engine saved none, of an index of manifests, or of the configuration itself.
fn configuration_of(engine: &Engine, node: &str, digest: &str) -> anyhow::Result<String> {
    const DEPTH: usize = 3;
    let mut digest = digest.to_owned();
    for _ in 0..DEPTH {
        let get = ["exec", node, "ctr", "--namespace", "k8s.io"];
        let get = [&get[..], &["content", "get", &digest]].concat();
        let text = engine.says(&get)?;
        let content: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("read {digest} of {node}"))?;
        if let Some(configuration) = content["config"]["digest"].as_str() {
            return Ok(configuration.to_owned());
        }
        match content["manifests"][0]["digest"].as_str() {
            Some(manifest) => digest = manifest.to_owned(),
            None => return Ok(digest),
        }
    }
    bail!("the image {digest} of {node} has no configuration")
}
