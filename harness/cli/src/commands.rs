//! The commands, one file for each.

pub(crate) mod clean;
pub(crate) mod cluster;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod judge;
pub(crate) mod list;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod selftest;

use crate::arguments::Arguments;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use clap::CommandFactory as _;
use std::io::Write as _;
use std::path::Path;

/// Prints completions for a shell.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut Out) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "meshproof", &mut script);
    out.write_all(&script)
        .map_err(|e| crate::write_failed(&e))?;
    Ok(ExitCode::Success)
}

/// Writes the manual pages: `meshproof.1`, `meshproof-run.1` and so on.
pub(crate) fn manual(folder: &Path, out: &mut Out) -> Result<ExitCode, Failure> {
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Arguments::command(), folder));
    written.map_err(|error| {
        let attempt = format!("write the manual pages into {}", folder.display());
        Failure::new(ExitCode::Environment, attempt).because(&error)
    })?;
    writeln!(out, "{}", folder.display()).map_err(|error| crate::write_failed(&error))?;
    Ok(ExitCode::Success)
}

/// Writes a value as indented JSON.
pub(crate) fn write_json(out: &mut Out, value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(ExitCode::Internal, "render JSON").because(&error))?;
    writeln!(out, "{text}").map_err(|e| crate::write_failed(&e))
}

/// Writes a value as one line of JSON.
pub(crate) fn write_json_line(out: &mut Out, value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::new(ExitCode::Internal, "render JSON").because(&error))?;
    writeln!(out, "{text}").map_err(|e| crate::write_failed(&e))
}
