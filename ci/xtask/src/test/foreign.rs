//! Scenarios on a kind cluster that is addressed as one of somebody else: by its kubeconfig alone. First with images that
//! its nodes have, then with images that they pull from a registry. Last on one of ours, with a candidate that the container
//! engine holds: another one, since a kubelet that has pulled an image asks for it again when it has another name.

mod candidate;
mod pods;
mod registry;

use super::on_kind::with_engine;
use super::side_by_side::DELIVERY;
use super::{forget_run, meshproof};
use crate::engine::Engine;
use crate::junit::Count;
use crate::{node_image, workspace};
use anyhow::{Context as _, ensure};
use pods::Watch;
use registry::PrivateRegistry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
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

/// What is run there with images from a registry: enough to see that every image works.
const FROM_A_REGISTRY: [&str; 2] = ["delivery-scope/everybody", "delivery-scope/application"];

/// Brings the cluster up, runs on it and takes it down.
pub(super) fn run(program: &Path, results: &Path, install: bool) -> anyhow::Result<Count> {
    forget_run(results)?;
    with_engine(install, |engine| {
        let image = node_image::ensure(engine, install)?;
        on(engine, &image, program, results, install)
    })
}

fn on(
    engine: &Engine,
    image: &str,
    program: &Path,
    results: &Path,
    install: bool,
) -> anyhow::Result<Count> {
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
        let foreign = Foreign {
            engine,
            program,
            kubeconfig,
        };
        let mut count = foreign.preloaded(&results.join("preloaded"))?;
        count += foreign.pulled_from_registry(&results.join("registry"), install)?;
        Ok(count)
    });
    let taken_down = finish(&mut cluster(&["down", NAME])).context("take the cluster down");
    // Where the cluster did not come up there may be none to take down, which says less than why it did not.
    let mut count = outcome?;
    taken_down?;
    count += candidate::run(engine, image, program, &results.join("candidate"))?;
    Ok(count)
}

/// The cluster, as those see it who are told of its kubeconfig.
struct Foreign<'a> {
    engine: &'a Engine,
    program: &'a Path,
    kubeconfig: String,
}

impl Foreign<'_> {
    /// With the images that the cluster was brought up with.
    fn preloaded(&self, results: &Path) -> anyhow::Result<Count> {
        let (command, options) = self.run();
        let options = [&options[..], &["--images-preloaded".to_owned()]].concat();
        scenarios(command, options, &SCENARIOS, results)
    }

    /// With images that the nodes pull from a registry, which they have to: what they had of them is removed before.
    fn pulled_from_registry(&self, results: &Path, install: bool) -> anyhow::Result<Count> {
        let nodes = self.nodes()?;
        let control_plane = format!("meshproof-{NAME}-control-plane");
        let registry = PrivateRegistry::start(self.engine, self.gateway(&control_plane)?, install)?;
        for node in &nodes {
            self.remove_images(node)?;
            registry.introduce_node(self.engine, node)?;
        }
        let watch = Watch::begin(self.engine, &control_plane)?;
        let (mut command, options) = self.run();
        registry.introduce(&mut command)?;
        let prefix = registry.prefix();
        let options = [&options[..], &["--registry".to_owned(), prefix.clone()]].concat();
        let mut count = scenarios(command, options, &FROM_A_REGISTRY, results)?;
        count += pulled(&watch.end()?, &prefix);
        Ok(count)
    }

    /// What both runs are started with.
    fn run(&self) -> (Command, Vec<String>) {
        let mut command = self.engine.command(self.program);
        command.env("KUBECONFIG", &self.kubeconfig);
        let context = format!("kind-meshproof-{NAME}");
        let options = [
            "run",
            DELIVERY,
            "--cluster",
            "kubeconfig",
            "--allow-context",
        ];
        let options = options.into_iter().map(str::to_owned).chain([context]);
        (command, options.collect())
    }

    fn nodes(&self) -> anyhow::Result<Vec<String>> {
        let label = format!("label=io.x-k8s.kind.cluster=meshproof-{NAME}");
        let said = self
            .engine
            .says(&["ps", "--filter", &label, "--format", "{{.Names}}"])?;
        let nodes: Vec<String> = said.lines().map(str::to_owned).collect();
        ensure!(!nodes.is_empty(), "the engine knows no node of the cluster");
        Ok(nodes)
    }

    /// Where a node reaches what is around it: there the engine's network has an address of its own.
    fn gateway(&self, node: &str) -> anyhow::Result<Ipv4Addr> {
        let said = self
            .engine
            .says(&["exec", node, "ip", "-4", "route", "show", "default"])?;
        let address = said.split(' ').nth(2).context("the node has no gateway")?;
        address
            .parse()
            .with_context(|| format!("read the gateway of the node: {said}"))
    }

    /// Removes the images of ours that a node has, with their contents.
    fn remove_images(&self, node: &str) -> anyhow::Result<()> {
        const REMOVE: &str = "set -e; ctr='ctr --namespace k8s.io images'; \
            ours=$($ctr list --quiet | grep ^docker.io/meshproof/ || true); \
            [ -z \"$ours\" ] || $ctr remove --sync $ours";
        self.engine
            .says(&["exec", node, "sh", "-c", REMOVE])
            .map(drop)
    }
}

fn scenarios(
    command: Command,
    options: Vec<String>,
    scenarios: &[&str],
    results: &Path,
) -> anyhow::Result<Count> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    meshproof(command, &[&options[..], scenarios].concat(), results)
}

/// Whether every container that ran was pulled from the registry by its digest: one test.
fn pulled(ran: &BTreeMap<String, String>, prefix: &str) -> Count {
    let start = format!("{prefix}/");
    let from_elsewhere: Vec<String> = ran
        .iter()
        .filter(|(_, image)| !image.starts_with(&start) || !image.contains("@sha256:"))
        .map(|(container, image)| format!("{container} ran {image}, not an image of {prefix}"))
        .collect();
    let images: BTreeSet<&String> = ran.values().collect();
    for image in &images {
        eprintln!("pods ran {image}");
    }
    match (ran.is_empty(), from_elsewhere.is_empty()) {
        (true, _) => Count::one_failed("no container was seen to run from the registry"),
        (_, true) => Count::ONE_PASSED,
        (_, false) => Count {
            failed: from_elsewhere,
            ..Count::default()
        },
    }
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
