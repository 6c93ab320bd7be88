//! `meshproof list --mutants`: the seeded bugs, what each does wrong, and which scenarios must catch it.

use super::{INDENT, wrapped};
use crate::arguments::{Common, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use harness_model::document::Problems;
use harness_model::scenario::Scenario;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;

/// One seeded bug, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    name: String,
    bug: String,
    caught_by: BTreeSet<String>,
}

/// Lists those that one of the scenarios must catch.
pub(super) fn list(
    scenarios: &[Scenario],
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let matrix = suites::matrix::checked_in().map_err(|problems| unreadable(&problems))?;
    let sentences = sentences()?;
    let selected: BTreeSet<&str> = scenarios.iter().map(|s| s.name.as_str()).collect();
    let listed: Vec<Listed> = matrix
        .into_iter()
        .map(|(name, kills)| Listed {
            bug: sentences.get(&name).cloned().unwrap_or_default(),
            caught_by: kills
                .into_iter()
                .map(|kill| kill.scenario)
                .filter(|scenario| selected.contains(scenario.as_str()))
                .collect(),
            name,
        })
        .filter(|mutant| !mutant.caught_by.is_empty())
        .collect();
    if listed.is_empty() {
        return Err(Failure::new(ExitCode::NothingSelected, "list seeded bugs")
            .reason("none is known that these scenarios must catch")
            .hint("seeded bugs belong to the shipped scenarios"));
    }
    match common.output {
        OutputForm::Json => write_json(out, &listed)?,
        OutputForm::Jsonl => {
            for mutant in &listed {
                write_json_line(out, mutant)?;
            }
        }
        OutputForm::Text => text(&listed, out).map_err(|error| crate::write_failed(&error))?,
    }
    Ok(ExitCode::Success)
}

/// What each seeded bug does wrong.
pub(crate) fn sentences() -> Result<BTreeMap<String, String>, Failure> {
    suites::matrix::sentences().map_err(|problems| unreadable(&problems))
}

fn unreadable(problems: &Problems) -> Failure {
    let attempt = "read the built-in list of seeded bugs";
    Failure::new(ExitCode::Internal, attempt).because(problems)
}

fn text(listed: &[Listed], out: &mut Out) -> std::io::Result<()> {
    for mutant in listed {
        writeln!(out, "{}", mutant.name)?;
        let scenarios: Vec<&str> = mutant.caught_by.iter().map(String::as_str).collect();
        for line in wrapped(&mutant.bug)
            .into_iter()
            .chain(wrapped(&format!("caught by {}", scenarios.join(", "))))
        {
            writeln!(out, "{INDENT}{line}")?;
        }
    }
    Ok(())
}
