//! `meshproof doctor`: whether this machine has what a run needs, one line for each check.

use crate::arguments::{Common, DoctorArguments, OutputForm};
use crate::commands::{write_json, write_json_line};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::Write as _;

mod checks;
pub(crate) mod namespaces;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    /// As it must be.
    Ok,
    /// A run works, but not as well as it could, or not in every case.
    Warning,
    /// A run cannot work.
    Missing,
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    /// What was looked at.
    name: &'static str,
    /// How it ended.
    state: State,
    /// What was found.
    found: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            found: found.into(),
            hint: None,
        }
    }

    fn warning(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Warning,
            found: found.into(),
            hint: Some(hint.into()),
        }
    }

    fn missing(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Missing,
            found: found.into(),
            hint: Some(hint.into()),
        }
    }
}

/// Checks this machine.
pub(crate) fn doctor(
    arguments: &DoctorArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let checks = checks::all(arguments.assets.as_deref(), arguments.images.as_deref());
    match common.output {
        OutputForm::Json => write_json(out, &checks)?,
        OutputForm::Jsonl => {
            for check in &checks {
                write_json_line(out, check)?;
            }
        }
        OutputForm::Text => {
            text(&checks, common.quiet, out).map_err(|e| crate::write_failed(&e))?
        }
    }
    if checks.iter().any(|check| check.state == State::Missing) {
        Ok(ExitCode::Environment)
    } else {
        Ok(ExitCode::Success)
    }
}

fn text(checks: &[Check], quiet: bool, out: &mut Out) -> std::io::Result<()> {
    let width = checks.iter().map(|c| c.name.len()).max().unwrap_or(0);
    for check in checks {
        let (style, word): (Style, _) = match check.state {
            State::Ok if quiet => continue,
            State::Ok => (AnsiColor::Green.on_default(), "ok     "),
            State::Warning => (AnsiColor::Yellow.on_default(), "warning"),
            State::Missing => (AnsiColor::Red.on_default().bold(), "missing"),
        };
        writeln!(
            out,
            "{style}{word}{style:#}  {:width$}  {}",
            check.name, check.found
        )?;
        if let Some(hint) = &check.hint {
            writeln!(out, "         {:width$}  hint: {hint}", "")?;
        }
    }
    let missing = checks.iter().filter(|c| c.state == State::Missing).count();
    match missing {
        0 => writeln!(out, "this machine can run meshproof"),
        1 => writeln!(out, "1 thing is missing"),
        n => writeln!(out, "{n} things are missing"),
    }
}
