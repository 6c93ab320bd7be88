//! `meshproof list --mutants`: the seeded bugs, what each does wrong, and which scenarios must catch it.

use super::{INDENT, wrapped};
use crate::arguments::{Common, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use harness_model::document::Problems;
use harness_model::kill::Kill;
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
    /// Scenarios that catch it over several clusters alone.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    caught_over_clusters_by: BTreeSet<String>,
    /// Scenarios after which the search for private keys must find one.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    searched_after: BTreeSet<String>,
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
        .map(|(name, kills)| {
            let kills = kills
                .into_iter()
                .filter(|kill| selected.contains(kill.scenario.as_str()));
            let (search, scenarios): (Vec<Kill>, Vec<Kill>) = kills.partition(Kill::is_by_search);
            let (of_one, of_several) = scenarios.into_iter().partition(Kill::is_of_one_cluster);
            let names = |kills: Vec<Kill>| kills.into_iter().map(|kill| kill.scenario).collect();
            Listed {
                bug: sentences.get(&name).cloned().unwrap_or_default(),
                caught_by: names(of_one),
                caught_over_clusters_by: names(of_several),
                searched_after: names(search),
                name,
            }
        })
        .filter(|mutant| {
            let found = [
                &mutant.caught_by,
                &mutant.caught_over_clusters_by,
                &mutant.searched_after,
            ];
            found.iter().any(|scenarios| !scenarios.is_empty())
        })
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
        let caught = [
            ("caught by ", &mutant.caught_by),
            (
                "caught over several clusters by ",
                &mutant.caught_over_clusters_by,
            ),
            (
                "caught by the search for private keys after ",
                &mutant.searched_after,
            ),
        ];
        let caught = caught
            .into_iter()
            .filter(|(_, scenarios)| !scenarios.is_empty())
            .flat_map(|(by, scenarios)| {
                let scenarios: Vec<&str> = scenarios.iter().map(String::as_str).collect();
                wrapped(&format!("{by}{}", scenarios.join(", ")))
            });
        for line in wrapped(&mutant.bug).into_iter().chain(caught) {
            writeln!(out, "{INDENT}{line}")?;
        }
    }
    Ok(())
}
