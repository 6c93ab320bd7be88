//! `meshproof list`: which scenarios there are, with what would be skipped here and why; or which seeded bugs.

pub(crate) mod mutants;

use crate::arguments::{Arguments, Common, ListArguments, OutputForm, SelectionArguments};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::plan;
use crate::selection::{self, Selection};
use clap::CommandFactory as _;
use harness_model::capability::Capability;
use harness_model::scenario::{Disturbs, Scenario};
use harness_model::words;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::Write as _;

/// One scenario, for programs.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed<'a> {
    name: &'a str,
    claim: &'a str,
    tags: Vec<&'static str>,
    alone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

/// Lists.
pub(crate) fn list(
    arguments: &ListArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let selected = select(&arguments.selection)?;
    if arguments.mutants {
        return mutants::list(&selected.scenarios, common, out);
    }
    let topology = plan::topology(&arguments.topology)?;
    let mesh = plan::mesh(&arguments.mesh)?;
    let has = plan::capabilities(&topology, &mesh);
    let listed: Vec<Listed<'_>> = selected
        .scenarios
        .iter()
        .map(|scenario| Listed {
            name: &scenario.name,
            claim: &scenario.claim,
            tags: scenario.tags.iter().map(|tag| words::tag(*tag)).collect(),
            alone: scenario.disturbs == Disturbs::Everything,
            skipped: skip_reason(scenario, &has),
        })
        .collect();
    match common.output {
        OutputForm::Json => write_json(out, &listed)?,
        OutputForm::Jsonl => {
            for scenario in &listed {
                write_json_line(out, scenario)?;
            }
        }
        OutputForm::Text => text(&listed, out).map_err(|e| crate::write_failed(&e))?,
    }
    Ok(ExitCode::Success)
}

/// Selects; who leaves out the dashes of an option is told that there is one.
fn select(arguments: &SelectionArguments) -> Result<Selection, Failure> {
    selection::select(suites::all(), arguments).map_err(|failure| {
        let command = Arguments::command();
        let list = command.find_subcommand("list").into_iter();
        list.flat_map(clap::Command::get_arguments)
            .filter_map(clap::Arg::get_long)
            .filter(|option| arguments.names.iter().any(|name| is_word_of(name, option)))
            .fold(failure, |failure, option| {
                failure.hint(format!("did you mean the option `--{option}`?"))
            })
    })
}

/// Whether both are the same word, in the singular or the plural.
fn is_word_of(name: &str, option: &str) -> bool {
    name.trim_end_matches('s') == option.trim_end_matches('s')
}

/// Why a scenario would be skipped.
pub(crate) fn skip_reason(scenario: &Scenario, has: &BTreeSet<Capability>) -> Option<String> {
    let lacking: Vec<String> = scenario
        .needs()
        .difference(has)
        .map(|needed| words::capability(*needed))
        .collect();
    (!lacking.is_empty()).then(|| format!("needs {}", lacking.join(" and ")))
}

/// How wide a line is at most.
const WIDTH: usize = 100;
/// Before a claim.
const INDENT: &str = "    ";

/// Two lines for each scenario: its name with its tags, and its claim.
fn text(listed: &[Listed<'_>], out: &mut Out) -> std::io::Result<()> {
    let width = listed.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for scenario in listed {
        writeln!(out, "{:width$}  {}", scenario.name, scenario.tags.join(","))?;
        let skipped = scenario
            .skipped
            .as_ref()
            .map(|reason| format!(" (skipped: {reason})"))
            .unwrap_or_default();
        for line in wrapped(&format!("{}{skipped}", scenario.claim)) {
            writeln!(out, "{INDENT}{line}")?;
        }
    }
    Ok(())
}

/// Text in lines that fit behind the indent.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if INDENT.len() + line.len() + 1 + word.len() <= WIDTH => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_leaves_out_the_dashes_of_an_option_is_told_of_it() {
        let told = |name: &str| {
            let arguments = SelectionArguments {
                names: vec![name.to_owned()],
                ..SelectionArguments::default()
            };
            let failure = select(&arguments).expect_err("there is no such scenario");
            assert_eq!(failure.exit, ExitCode::Usage);
            failure.render(false)
        };
        for (name, option) in [
            ("mutants", "--mutants"),
            ("mutant", "--mutants"),
            ("tags", "--tag"),
            ("topology", "--topology"),
        ] {
            let told = told(name);
            let hint = format!("hint: did you mean the option `{option}`?\n");
            assert!(told.ends_with(&hint), "{told}");
        }
        for name in ["suites", "scenarios"] {
            let told = told(name);
            assert!(
                told.contains("hint: `meshproof list` shows what there is"),
                "{told}"
            );
            assert!(!told.contains("the option"), "{told}");
        }
    }
}
