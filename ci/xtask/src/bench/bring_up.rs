//! Bringing up: from the start of a run to its first act, against the least a Kubernetes API needs.

use super::alone;
use super::program::{Program, millis};
use super::report::{Report, Unit};
use super::statistics::median;
use anyhow::Context as _;
use harness_assets::{AssetOptions, ForImages, Progress};
use serde_json::json;
use std::collections::BTreeMap;

/// A scenario with nothing special; only its first act counts.
const SCENARIO: &str = "delivery-scope/everybody";
/// How much more than an API server alone a whole run with a mesh may take until its first act.
const AIM: f64 = 2.5;

/// Measures pairs, one after the other so that whatever else the machine does hits both alike.
///
/// # Errors
///
/// When one of the two does not come up.
pub(super) fn measure(
    program: &Program,
    samples: usize,
    report: &mut Report,
) -> anyhow::Result<bool> {
    let options = AssetOptions::from_environment(None)?;
    let assets = harness_assets::obtain(&options, ForImages::Nothing, &|progress| {
        if !matches!(progress, Progress::Activity { .. }) {
            eprintln!("{progress}");
        }
    })?;
    let mut works = true;
    let (mut alone, mut acts, mut ready, mut ratios) = (vec![], vec![], vec![], vec![]);
    let mut phases: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for number in 1..=samples {
        let yardstick = alone::measure(&assets, &program.folder().join(format!("alone-{number}")))?;
        let run = program.run(&format!("run-{number}"), &[SCENARIO])?;
        works &= run.has_passed();
        let first_act = millis(run.first_act().context("the run has issued no act")?);
        let environment = run
            .ready_millis()
            .context("the environment was not ready")?;
        eprintln!(
            "pair {number} of {samples}: alone {yardstick:.0} ms, first act {first_act:.0} ms"
        );
        report.sample(json!({
            "aloneMillis": yardstick,
            "environmentReadyMillis": environment,
            "firstActMillis": first_act,
            "ratio": first_act / yardstick,
            "phases": run.phases().into_iter().collect::<BTreeMap<_, _>>(),
            "machineUsed": run.machine_used,
        }));
        for (phase, took) in run.phases() {
            phases.entry(phase).or_default().push(took);
        }
        alone.push(yardstick);
        acts.push(first_act);
        ready.push(environment);
        ratios.push(first_act / yardstick);
    }
    let middle = |values: &[f64]| median(values).unwrap_or_default();
    report.figure(
        "aloneMillis",
        "etcd and API server alone, ready",
        Unit::Millis,
        middle(&alone),
    );
    report.figure(
        "environmentReadyMillis",
        "run: every sidecar in sync",
        Unit::Millis,
        middle(&ready),
    );
    report.figure(
        "firstActMillis",
        "run: first act issued",
        Unit::Millis,
        middle(&acts),
    );
    for (phase, took) in &phases {
        report.figure(
            &format!("phases.{phase}"),
            &format!("  phase {phase}"),
            Unit::Millis,
            middle(took),
        );
    }
    let ratio = middle(&ratios);
    report.figure(
        "firstActToAlone",
        "first act against alone, median of pairs",
        Unit::Ratio,
        ratio,
    );
    report.aim("firstActToAlone", Unit::Ratio, ratio, AIM);
    Ok(works)
}
