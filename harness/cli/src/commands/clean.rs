//! `meshproof clean`: removes what killed runs left behind, and says what.
//!
//! Only what belongs to nobody is touched: the folder of a cluster whose lock is free, and half-made assets while
//! nobody makes them.

use crate::arguments::{CleanArguments, Common, OutputForm};
use crate::commands::write_json;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::plan;
use harness_cluster::{assets, local};
use serde::Serialize;
use std::io::Write as _;
use std::path::PathBuf;

/// What was (or would be) done, for programs.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cleaned {
    dry_run: bool,
    removed: Vec<String>,
    running: Vec<String>,
}

/// Cleans.
pub(crate) fn clean(
    arguments: &CleanArguments,
    common: &Common,
    out: &mut Out,
) -> Result<ExitCode, Failure> {
    let (running, dead): (Vec<_>, Vec<_>) =
        local::list().into_iter().partition(|listed| listed.running);
    let folders: Vec<PathBuf> = if arguments.dry_run {
        dead.into_iter().map(|listed| listed.folder).collect()
    } else {
        let mut removed = local::sweep();
        let cache = plan::assets(None, true)?.cache;
        removed.extend(assets::clean(&cache).map_err(|error| {
            let hint = error.hint();
            Failure::new(ExitCode::Environment, "clean the cache of programs")
                .because(&error)
                .hint_opt(hint)
        })?);
        removed
    };
    let cleaned = Cleaned {
        dry_run: arguments.dry_run,
        removed: folders
            .iter()
            .map(|path| path.display().to_string())
            .collect(),
        running: running.into_iter().map(|listed| listed.name).collect(),
    };
    match common.output {
        OutputForm::Text => text(&cleaned, out).map_err(|error| crate::write_failed(&error))?,
        OutputForm::Json | OutputForm::Jsonl => write_json(out, &cleaned)?,
    }
    Ok(ExitCode::Success)
}

fn text(cleaned: &Cleaned, out: &mut Out) -> std::io::Result<()> {
    let verb = if cleaned.dry_run {
        "would remove"
    } else {
        "removed"
    };
    for one in &cleaned.removed {
        writeln!(out, "{verb} {one}")?;
    }
    for name in &cleaned.running {
        writeln!(
            out,
            "left the running cluster {name} (`meshproof cluster down {name}`)"
        )?;
    }
    if cleaned.removed.is_empty() {
        writeln!(out, "nothing to remove")?;
    }
    Ok(())
}
