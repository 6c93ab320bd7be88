//! `meshproof list`: which scenarios there are, with what would be skipped here and why.

use crate::arguments::{Common, ListArguments, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::{plan, selection};
use harness_model::scenario::{Disturbs, Scenario};
use harness_report::words;
use serde::Serialize;
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
    let selected = selection::select(suites::all(), &arguments.selection)?;
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

/// Why a scenario would be skipped.
fn skip_reason(
    scenario: &Scenario,
    has: &std::collections::BTreeSet<harness_model::capability::Capability>,
) -> Option<String> {
    let lacking: Vec<String> = scenario
        .requires
        .iter()
        .filter(|needed| !has.contains(needed))
        .map(|needed| words::capability(*needed))
        .collect();
    (!lacking.is_empty()).then(|| format!("needs {}", lacking.join(" and ")))
}

fn text(listed: &[Listed<'_>], out: &mut Out) -> std::io::Result<()> {
    let width = listed.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let tags_width = listed
        .iter()
        .map(|s| s.tags.join(",").len())
        .max()
        .unwrap_or(0);
    for scenario in listed {
        write!(
            out,
            "{:width$}  {:tags_width$}  {}",
            scenario.name,
            scenario.tags.join(","),
            scenario.claim
        )?;
        if let Some(reason) = &scenario.skipped {
            write!(out, " (skipped: {reason})")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
