//! Scenarios on a kind cluster that is addressed as one of somebody else: by its kubeconfig alone.

use super::{forget_run, meshproof, with_engine};
use crate::engine::Engine;
use crate::junit::Count;
use crate::{node_image, workspace};
use anyhow::{Context as _, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// The cluster; what a killed test has left is replaced.
const NAME: &str = "xtask-foreign";

/// What is run there: everybody, nobody and some receive something.
const SCENARIOS: [&str; 3] = [
    "delivery-scope/everybody",
    "delivery-scope/another-cluster",
    "delivery-scope/application",
];

/// Brings the cluster up, runs on it and takes it down.
pub(super) fn run(program: &Path, results: &Path, install: bool) -> anyhow::Result<Count> {
    forget_run(results)?;
    with_engine(install, |engine| {
        let image = node_image::ensure(engine, install)?;
        on(engine, &image, program, results)
    })
}

fn on(engine: &Engine, image: &str, program: &Path, results: &Path) -> anyhow::Result<Count> {
    let cluster = |arguments: &[&str]| {
        let mut command = engine.command(program);
        command
            .current_dir(workspace::root())
            .arg("cluster")
            .args(arguments)
            .env("MESHPROOF_NODE_IMAGE", image)
            .env("MESHPROOF_IMAGES", workspace::root().join("target/images"));
        command
    };
    // Nothing to take down is what is hoped for.
    let _ = finish(cluster(&["down", NAME]).stderr(Stdio::null()));
    let made = bring_up(cluster(&[
        "up",
        NAME,
        "--cluster",
        "kind",
        "--topology",
        "one-zone",
        "--output",
        "json",
    ]));
    let outcome = made.and_then(|kubeconfig| {
        let mut command = engine.command(program);
        command.env("KUBECONFIG", kubeconfig);
        let context = format!("kind-meshproof-{NAME}");
        let options = [
            "run",
            "--cluster",
            "kubeconfig",
            "--allow-context",
            &context,
            "--images-preloaded",
        ];
        meshproof(command, &[&options[..], &SCENARIOS].concat(), results)
    });
    finish(&mut cluster(&["down", NAME])).context("take the cluster down")?;
    outcome
}

/// The kubeconfig of the cluster that is brought up.
fn bring_up(mut up: Command) -> anyhow::Result<String> {
    let output = up
        .stderr(Stdio::inherit())
        .output()
        .context("start meshproof")?;
    ensure!(
        output.status.success(),
        "meshproof cluster up ended with {}",
        output.status
    );
    let said: serde_json::Value =
        serde_json::from_slice(&output.stdout).context("read what `cluster up` says")?;
    let kubeconfig = said["kubeconfig"].as_str();
    Ok(kubeconfig.context("it names a kubeconfig")?.to_owned())
}

fn finish(command: &mut Command) -> anyhow::Result<()> {
    let status = command.status().context("start meshproof")?;
    ensure!(status.success(), "meshproof ended with {status}");
    Ok(())
}
