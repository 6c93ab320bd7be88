//! `meshproof deploy`: a mesh on a kept cluster, for work by hand.

use super::cluster::kubeconfig_of;
use super::run::{Readers, drive};
use super::write_json;
use crate::arguments::{ClusterKind, Common, DeployArguments, OutputForm};
use crate::artifacts::Artifacts;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::{self, Out};
use crate::{logging, plan, tools};
use harness_model::run_event::Summary;
use harness_report::record::{Context, RunRecord, quote};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Instant;

/// What the record tells of a candidate begins with this.
const CANDIDATE: &str = "candidate.";

/// Deploys.
pub(crate) fn deploy(
    arguments: &DeployArguments,
    common: &Common,
    out: &mut Out,
    started: Instant,
) -> Result<ExitCode, Failure> {
    let (environment, name) = (&arguments.environment, &arguments.name);
    let checked = plan::check(environment, plan::Stand::KeptOrNew(name))?;
    plan::check_images(environment, &harness_runner::mutant_images(&checked.mesh))?;
    if checked.ground.needs_tools(environment) {
        tools::ensure(environment.no_install)?;
    }
    let artifacts = Artifacts::create(&arguments.artifacts, 0)?;
    logging::start(common, Some(&artifacts.folder))
        .map_err(|error| Failure::new(ExitCode::Environment, "write the log").because(&error))?;
    let plan = plan::without_scenarios(
        environment,
        &arguments.bounds,
        checked,
        name.clone(),
        &artifacts,
        started,
    );
    let context = Context {
        artifacts: Some(artifacts.folder.clone()),
        ..Context::default()
    };
    let mut readers = Readers::silent(common, context, &artifacts.folder);
    drive(&mut readers, plan, |plan, events, interrupt| async move {
        harness_runner::deploy(plan, events, interrupt).await;
    })?;
    readers.finish();
    let summary = readers.record.sum();
    let exit = exit_code(&summary);
    if let Some(error) = &summary.environment_error
        && summary.interrupted.is_none()
    {
        output::say(&format!("error: failed to {error}"));
    }
    for left in &summary.left_behind {
        output::say(&format!("left behind: {left}"));
    }
    if exit == ExitCode::Success {
        tell(arguments, &readers.record, common, out)?;
    } else {
        super::cluster::tell_if_kept(name)?;
    }
    Ok(exit)
}

fn exit_code(summary: &Summary) -> ExitCode {
    let left_behind = !summary.left_behind.is_empty();
    let broken = summary.environment_error.is_some();
    ExitCode::of_end(left_behind, summary.interrupted, broken).unwrap_or(ExitCode::Success)
}

/// Says how what is there now is reached, and what can be done with it.
fn tell(
    arguments: &DeployArguments,
    record: &RunRecord,
    common: &Common,
    out: &mut Out,
) -> Result<(), Failure> {
    let (environment, name) = (&arguments.environment, &arguments.name);
    let kubeconfig = kubeconfig_of(name)?.unwrap_or_default();
    let candidates: BTreeMap<&str, &str> = record
        .environment
        .iter()
        .filter_map(|(fact, digests)| Some((fact.strip_prefix(CANDIDATE)?, digests.as_str())))
        .collect();
    let sidecars: Vec<&str> = record
        .sidecars
        .iter()
        .map(|sidecar| sidecar.name.as_str())
        .collect();
    if common.output != OutputForm::Text {
        let deployed = serde_json::json!({
            "name": name,
            "kubeconfig": kubeconfig,
            "mesh": environment.mesh,
            "candidates": candidates,
            "sidecars": sidecars,
        });
        return match common.output {
            OutputForm::Jsonl => super::write_json_line(out, &deployed),
            OutputForm::Text | OutputForm::Json => write_json(out, &deployed),
        };
    }
    let line = format!("export KUBECONFIG={}", quote(&kubeconfig));
    writeln!(out, "{line}").map_err(|error| crate::write_failed(&error))?;
    if common.quiet {
        return Ok(());
    }
    for (image, digests) in candidates {
        output::say(&format!("candidate for {image}: {digests}"));
    }
    let options = plan::of_environment(environment, Some(name), None);
    let options: Vec<String> = options.iter().map(|option| quote(option)).collect();
    let what = match environment.cluster.kind {
        ClusterKind::Kind => "kind cluster",
        ClusterKind::Local | ClusterKind::Kubeconfig => "cluster",
    };
    output::say(&format!(
        "the mesh `{}` is on the {what} {name}, with {} sidecars\nscenarios on it: meshproof run {}\nit stays until `meshproof cluster down {name}`",
        environment.mesh,
        sidecars.len(),
        options.join(" "),
    ));
    Ok(())
}
