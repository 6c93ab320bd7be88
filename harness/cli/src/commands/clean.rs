//! `meshproof clean`: removes what killed runs left behind, and says what.
//!
//! Only what belongs to nobody is touched: the folder of a cluster whose lock is free, kind clusters whose maker died,
//! and half-made assets while nobody makes them.

use crate::arguments::{CleanArguments, Common, OutputForm};
use crate::commands::{cluster, write_json};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output::Out;
use crate::plan;
use harness_cluster::assets::{self, AssetOptions};
use harness_cluster::kind::{self, State};
use harness_cluster::local;
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
    let options = plan::assets(None, true)?;
    let (kind_dead, kind_running): (Vec<_>, Vec<_>) = kind::list(&options.cache)
        .into_iter()
        .partition(|listed| listed.state == State::Dead);
    let removed_on_kind = if arguments.dry_run || kind_dead.is_empty() {
        kind_dead.into_iter().map(|listed| listed.name).collect()
    } else {
        sweep_kind(&options)?
    };
    let folders: Vec<PathBuf> = if arguments.dry_run {
        dead.into_iter().map(|listed| listed.folder).collect()
    } else {
        let mut removed = local::sweep();
        let cache = options.cache;
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
            .chain(
                removed_on_kind
                    .into_iter()
                    .map(|name| format!("kind cluster {name}")),
            )
            .collect(),
        running: running
            .into_iter()
            .map(|listed| listed.name)
            .chain(kind_running.into_iter().map(|listed| listed.name))
            .collect(),
    };
    match common.output {
        OutputForm::Text => text(&cleaned, out).map_err(|error| crate::write_failed(&error))?,
        OutputForm::Json | OutputForm::Jsonl => write_json(out, &cleaned)?,
    }
    Ok(ExitCode::Success)
}

/// Removes the kind clusters of dead runs and returns their names.
fn sweep_kind(options: &AssetOptions) -> Result<Vec<String>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::new(ExitCode::Environment, "start a worker thread").because(&error)
        })?;
    let program = cluster::kind_program(options)?;
    let swept = runtime.block_on(kind::sweep(&options.cache, &program));
    match swept.failed.first() {
        None => Ok(swept.removed),
        Some((name, error)) => Err(Failure::new(
            ExitCode::LeftBehind,
            format!("remove the kind cluster {name}"),
        )
        .because(error)
        .hint_opt(error.hint.clone())),
    }
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
