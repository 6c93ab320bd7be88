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
    let set = variables_set(arguments);
    if common.output != OutputForm::Text {
        let plan = serde_json::json!({
            "dryRun": true,
            "reuse": &execution.reuse,
            "topology": checked.ground.topology().map(|topology| &topology.name),
            "mesh": checked.mesh.name,
            "mutant": &arguments.mutant,
            "set": set,
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
            mesh_in_words(&checked.mesh.name, arguments.mutant.as_deref(), &set),
        )
    };
    write().map_err(|error| crate::write_failed(&error))?;
    Ok(ExitCode::Success)
}

/// The variables that are given a value, with it; the last one where there are several.
fn variables_set(arguments: &RunArguments) -> BTreeMap<&str, &str> {
    let set = arguments.execution.environment.set.iter();
    set.map(|(name, value)| (name.as_str(), value.as_str()))
        .collect()
}

/// A mesh by its name, with what is not as its definition says: a seeded bug, and variables.
fn mesh_in_words(name: &str, mutant: Option<&str>, set: &BTreeMap<&str, &str>) -> String {
    let bug = mutant.map(|mutant| format!("the seeded bug {mutant}"));
    let set = set.iter().map(|(name, value)| format!("{name}={value}"));
    let other: Vec<String> = bug.into_iter().chain(set).collect();
    if other.is_empty() {
        return name.to_owned();
    }
    format!("{name} ({})", other.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser as _;

    #[test]
    fn a_seeded_bug_and_variables_that_are_set_are_told_with_the_mesh() {
        let told = |words: &[&str]| {
            let words = ["meshproof", "run", "--dry-run"].iter().chain(words);
            let parsed = Arguments::try_parse_from(words).expect("the words are right");
            let Command::Run(run) = parsed.command else {
                panic!("it is a run");
            };
            mesh_in_words("reference", run.mutant.as_deref(), &variables_set(&run))
        };
        assert_eq!(told(&[]), "reference");
        assert_eq!(
            told(&["--mutant=leak-late"]),
            "reference (the seeded bug leak-late)"
        );
        assert_eq!(
            told(&[
                "--mutant=leak-late",
                "--set=xds=mixed,sidecarLog=debug",
                "--set=xds=delta"
            ]),
            "reference (the seeded bug leak-late, sidecarLog=debug, xds=delta)"
        );
    }
}
