//! kind: what a run adds to plain `kind create cluster`, the suites there against those on the local cluster, and several
//! clusters side by side against one.

use super::clusters::Clusters;
use super::program::{GATE, Program, Run, millis};
use super::report::{Report, Unit};
use super::statistics::median;
use super::whole_run::share_of_time;
use crate::engine::{self, Engine};
use crate::{images, node_image, workspace};
use anyhow::{Context as _, ensure};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// How much longer than plain kind a run may take until its first act.
const AIM: f64 = 1.25;
/// The plain cluster; one that a killed bench has left is replaced.
const PLAIN: &str = "meshproof-bench-plain";
/// How long plain kind waits for its control plane.
const WAIT: &str = "5m";

/// Measures plain kind, a run on kind and a run on the local cluster, one after the other, so that whatever else the
/// machine does hits all of them.
///
/// # Errors
///
/// When there is no container engine or one of them does not come up.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let engine = engine::Kept::ensure(true)?;
    let outcome = measure_on(&engine, program, samples, report);
    engine.end()?;
    outcome
}

fn measure_on(
    engine: &Engine,
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let plain = Plain {
        engine,
        kind: images::kind()?,
        image: node_image::ensure(engine, true)?,
        folder: program.folder().to_owned(),
    };
    let clusters = Clusters::new(engine, program, &plain.image)?;
    let mut works = true;
    let mut columns: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for number in 1..=samples {
        let alone = plain.measure(number)?;
        let mut command = engine.command(program.path());
        command.env("MESHPROOF_NODE_IMAGE", &plain.image);
        let on_kind = program.run_as(
            command,
            &format!("kind-{number}"),
            &[&["--cluster", "kind"], &GATE[..]].concat(),
        )?;
        let local = program.run(&format!("local-{number}"), &GATE)?;
        works &= on_kind.has_passed() & local.has_passed();
        let first_act = on_kind.first_act().context("the run has issued no act")?;
        let first_act = first_act.as_secs_f64();
        let (suites_on_kind, suites_local) = (Suites::of(&on_kind), Suites::of(&local));
        let (one_cluster, three_clusters) = (clusters.measure(1)?, clusters.measure(3)?);
        eprintln!(
            "{number} of {samples}: plain kind {alone:.1} s, first act {first_act:.1} s, suites {:.1} s, local {:.1} s, one cluster {one_cluster:.1} s, three {three_clusters:.1} s",
            suites_on_kind.seconds, suites_local.seconds
        );
        let phases: BTreeMap<_, _> = on_kind.phases().into_iter().collect();
        report.sample(json!({
            "plainSeconds": alone,
            "firstActSeconds": first_act,
            "suitesOnKindSeconds": suites_on_kind.seconds,
            "suitesLocalSeconds": suites_local.seconds,
            "scenarios": suites_on_kind.scenarios,
            "oneClusterSeconds": one_cluster,
            "threeClustersSeconds": three_clusters,
            "phases": phases,
            "machineUsed": on_kind.machine_used,
        }));
        let mut add = |name, value| columns.entry(name).or_default().push(value);
        add("plain", alone);
        add("firstAct", first_act);
        add("overhead", first_act / alone);
        add(
            "cluster",
            phases.get("cluster").copied().unwrap_or_default() / 1000.0,
        );
        add("onKind", suites_on_kind.seconds);
        add("local", suites_local.seconds);
        add(
            "ratio",
            suites_on_kind.seconds / suites_local.seconds.max(0.001),
        );
        add("pace", suites_on_kind.per_minute());
        add("localPace", suites_local.per_minute());
        add("one", one_cluster);
        add("three", three_clusters);
        add("threeToOne", three_clusters / one_cluster);
    }
    show(&columns, report);
    Ok(works)
}

fn show(columns: &BTreeMap<&str, Vec<f64>>, report: &mut Report) {
    let middle = |name: &str| {
        let values = columns.get(name);
        values.and_then(|values| median(values)).unwrap_or_default()
    };
    let rows = [
        (
            "plainSeconds",
            "plain `kind create cluster --wait`, three zones",
            Unit::Seconds,
            "plain",
        ),
        (
            "clusterSeconds",
            "run: the cluster, every node and name server ready",
            Unit::Seconds,
            "cluster",
        ),
        (
            "firstActSeconds",
            "run: first act issued",
            Unit::Seconds,
            "firstAct",
        ),
    ];
    for (name, words, unit, column) in rows {
        report.figure(name, words, unit, middle(column));
    }
    let overhead = middle("overhead");
    report.figure(
        "firstActToPlain",
        "first act against plain kind, median",
        Unit::Ratio,
        overhead,
    );
    report.aim("firstActToPlain", Unit::Ratio, overhead, AIM);
    let rows = [
        (
            "suitesOnKindSeconds",
            "suites on kind",
            Unit::Seconds,
            "onKind",
        ),
        (
            "suitesLocalSeconds",
            "suites on the local cluster",
            Unit::Seconds,
            "local",
        ),
        (
            "kindToLocal",
            "kind against local, median",
            Unit::Ratio,
            "ratio",
        ),
        (
            "scenariosPerMinuteOnKind",
            "scenarios per minute on kind",
            Unit::Count,
            "pace",
        ),
        (
            "scenariosPerMinuteLocal",
            "scenarios per minute on the local cluster",
            Unit::Count,
            "localPace",
        ),
        (
            "oneClusterSeconds",
            "one cluster of one zone, ready",
            Unit::Seconds,
            "one",
        ),
        (
            "threeClustersSeconds",
            "three of them side by side, ready",
            Unit::Seconds,
            "three",
        ),
        (
            "threeClustersToOne",
            "three clusters side by side against one, median",
            Unit::Ratio,
            "threeToOne",
        ),
    ];
    for (name, words, unit, column) in rows {
        report.figure(name, words, unit, middle(column));
    }
}

/// The scenarios of a run, without bringing up and taking down.
struct Suites {
    scenarios: usize,
    seconds: f64,
}

impl Suites {
    fn of(run: &Run) -> Self {
        Self {
            scenarios: run.finished().len(),
            seconds: share_of_time(run).scenarios / 1000.0,
        }
    }

    fn per_minute(&self) -> f64 {
        self.scenarios as f64 * 60.0 / self.seconds.max(0.001)
    }
}

/// kind as its user starts it, with the configuration that a run gives it and the same node image.
struct Plain<'a> {
    engine: &'a Engine,
    kind: PathBuf,
    image: String,
    folder: PathBuf,
}

impl Plain<'_> {
    /// Seconds until kind is done.
    fn measure(&self, number: usize) -> anyhow::Result<f64> {
        let log = self.folder.join(format!("plain-{number}.txt"));
        self.delete(&log)?;
        let started = Instant::now();
        let mut create =
            self.command(&["create", "cluster", "--wait", WAIT, "--image", &self.image]);
        // A test of the cluster's crate holds it to be what a run writes.
        create
            .arg("--config")
            .arg(workspace::root().join("kind-config/kind/three-zones.yaml"));
        let created = finish(&mut create, &log);
        let took = millis(started.elapsed()) / 1000.0;
        self.delete(&log)?;
        created.map(|()| took)
    }

    fn delete(&self, log: &Path) -> anyhow::Result<()> {
        finish(&mut self.command(&["delete", "cluster"]), log)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.engine.command(&self.kind);
        command
            .args(arguments)
            .args(["--name", PLAIN, "--kubeconfig"])
            .arg(self.folder.join("plain.kubeconfig"));
        command
    }
}

pub(super) fn finish(command: &mut Command, log: &Path) -> anyhow::Result<()> {
    let said = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("write {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said)
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    ensure!(
        status.success(),
        "kind ended with {status} (see {})",
        log.display()
    );
    Ok(())
}
