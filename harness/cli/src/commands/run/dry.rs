//! `run --dry-run`: what would be run and where.

use crate::arguments::{Common, OutputForm, RunArguments};
use crate::commands::list::skip_reason;
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::plan;
use harness_model::scenario::Scenario;
use std::collections::BTreeMap;
use std::io::Write as _;

/// Says it.
pub(super) fn dry_run(
    arguments: &RunArguments,
    common: &Common,
    scenarios: &[Scenario],
    checked: &plan::Checked,
    seed: u64,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let names: Vec<&str> = scenarios.iter().map(|s| s.name.as_str()).collect();
    // Of a cluster of somebody else nothing is known before it is used.
    let has = checked
        .ground
        .topology()
        .map(|topology| plan::capabilities(topology, &checked.mesh));
    let reason = |scenario: &Scenario| skip_reason(scenario, has.as_ref()?);
    let skipped: BTreeMap<&str, String> = scenarios
        .iter()
        .filter_map(|scenario| Some((scenario.name.as_str(), reason(scenario)?)))
        .collect();
    let execution = &arguments.execution;
    if common.output != OutputForm::Text {
        let plan = serde_json::json!({
            "dryRun": true,
            "reuse": &execution.reuse,
            "topology": checked.ground.topology().map(|topology| &topology.name),
            "mesh": checked.mesh.name,
            "seed": seed,
            "repeat": arguments.repeat,
            "parallel": execution.parallel,
            "scenarios": names,
            "skipped": skipped,
        });
        let written = match common.output {
            OutputForm::Jsonl => write_json_line(out, &plan),
            OutputForm::Text | OutputForm::Json => write_json(out, &plan),
        };
        return written.map(|()| ExitCode::Success);
    }
    let count = names.len() - skipped.len();
    let mut write = || {
        for name in &names {
            match skipped.get(name) {
                Some(reason) => writeln!(out, "{name}  (would be skipped: it {reason})")?,
                None => writeln!(out, "{name}")?,
            }
        }
        writeln!(
            out,
            "would run {} scenario{} {} with mesh {}, seed {seed}; nothing was run",
            count,
            if count == 1 { "" } else { "s" },
            checked.ground.describe(),
            checked.mesh.name,
        )
    };
    write().map_err(|error| crate::write_failed(&error))?;
    Ok(ExitCode::Success)
}
