//! `meshproof explain`: a scenario in words, and what it takes to fail it.

mod reference;

use crate::arguments::{Common, ExplainArguments, OutputForm};
use crate::commands::write_json;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::selection;
use anstyle::Style;
use harness_model::scenario::{Disturbs, Scenario, file};
use harness_model::words;
use std::collections::BTreeMap;
use std::io::Write as _;
use suites::matrix::Matrix;

const STRONG: Style = Style::new().bold();

/// Explains.
pub(crate) fn explain(
    arguments: &ExplainArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    if arguments.schema {
        return write_json(out, &file::schema()).map(|()| ExitCode::Success);
    }
    if arguments.reference {
        return out
            .write_all(reference::page().as_bytes())
            .map(|()| ExitCode::Success)
            .map_err(|error| crate::write_failed(&error));
    }
    let selected = selection::select(suites::all(), &arguments.selection)?;
    if arguments.yaml {
        return yaml(&selected.scenarios, out);
    }
    if common.output != OutputForm::Text {
        return write_json(out, &selected.scenarios).map(|()| ExitCode::Success);
    }
    let matrix = suites::matrix::checked_in().map_err(|problems| {
        Failure::new(
            ExitCode::Internal,
            "read the built-in matrix of seeded bugs",
        )
        .because(&problems)
    })?;
    let sentences = super::list::mutants::sentences()?;
    for (index, scenario) in selected.scenarios.iter().enumerate() {
        let mut write = || {
            if index > 0 {
                writeln!(out)?;
            }
            words_of(scenario, out)?;
            // A file of the user's own is not what the seeded bugs were tried on, whatever its name.
            if selected.files.contains_key(&scenario.name) {
                return Ok(());
            }
            section(
                out,
                "it fails when",
                &kills(scenario, &matrix, &sentences),
                false,
            )
        };
        write().map_err(|error| crate::write_failed(&error))?;
    }
    Ok(ExitCode::Success)
}

fn yaml(scenarios: &[Scenario], out: &mut Out) -> Result<ExitCode, Failure> {
    if scenarios.len() > 1 {
        return Err(Failure::new(ExitCode::Usage, "print the YAML form")
            .reason(format!(
                "{} scenarios are selected, and a file holds one",
                scenarios.len()
            ))
            .hint("name one scenario"));
    }
    for scenario in scenarios {
        let text = harness_model::scenario::file::print(scenario);
        out.write_all(text.as_bytes())
            .map_err(|e| crate::write_failed(&e))?;
    }
    Ok(ExitCode::Success)
}

fn words_of(scenario: &Scenario, out: &mut Out) -> std::io::Result<()> {
    writeln!(out, "{STRONG}{}{STRONG:#}", scenario.name)?;
    writeln!(out, "{}", scenario.claim)?;
    let tags: Vec<&str> = scenario.tags.iter().map(|tag| words::tag(*tag)).collect();
    writeln!(out, "tags: {}", tags.join(", "))?;
    let needs = scenario.needs();
    if !needs.is_empty() {
        let needs: Vec<String> = needs.iter().map(|c| words::capability(*c)).collect();
        writeln!(out, "needs: {}", needs.join(", "))?;
    }
    match scenario.disturbs {
        Disturbs::Nothing => {}
        Disturbs::Traffic if scenario.speaks_of_tls() => {
            writeln!(
                out,
                "runs beside those that send nothing: it changes how requests travel"
            )?;
        }
        Disturbs::Traffic | Disturbs::Everything => {
            writeln!(out, "runs alone: it changes what others would see")?
        }
    }
    section(out, "given", &words::given(scenario), false)?;
    section(out, "when", &words::acts(scenario), true)?;
    section(out, "then", &words::expectations(scenario), false)
}

/// The seeded bugs that a built-in scenario must catch.
fn kills(
    scenario: &Scenario,
    matrix: &Matrix,
    sentences: &BTreeMap<String, String>,
) -> Vec<String> {
    matrix
        .iter()
        .flat_map(|(mutant, kills)| {
            kills
                .iter()
                .filter(|kill| kill.scenario == scenario.name && !kill.is_by_search())
                .map(move |kill| {
                    let at = kill
                        .sidecar
                        .as_ref()
                        .map(|pattern| format!(" at {}", words::sidecars(pattern)))
                        .unwrap_or_default();
                    let over = if kill.is_of_one_cluster() {
                        String::new()
                    } else {
                        format!(" over {} clusters", kill.clusters)
                    };
                    let bug = sentences
                        .get(mutant)
                        .map(|sentence| format!(" ({sentence})"))
                        .unwrap_or_default();
                    format!(
                        "the mesh{over} has the seeded bug `{mutant}`{bug}: `{}` fails{at}",
                        kill.checker
                    )
                })
        })
        .collect()
}

fn section(out: &mut Out, title: &str, lines: &[String], numbered: bool) -> std::io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{STRONG}{title}{STRONG:#}")?;
    for (index, line) in lines.iter().enumerate() {
        if numbered {
            writeln!(out, "  {index}. {line}")?;
        } else {
            writeln!(out, "  - {line}")?;
        }
    }
    Ok(())
}
