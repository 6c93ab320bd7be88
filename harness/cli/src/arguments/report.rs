//! Options of the command `report`.

use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReportArguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: ReportCommand,
}

/// What to do with reports.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ReportCommand {
    /// Say in which scenarios and verdicts two runs differ
    ///
    /// Exit code 0 when they differ in nothing but skips that the allow-list excuses, and every entry of it is needed; 1
    /// when they differ in more, or an entry excuses nothing any more.
    Compare(CompareArguments),
    /// Put the reports of several runs together, as those of shards
    ///
    /// Writes one artefact folder with all documents, histories and diagnostics. A shard that is missing or there twice, and a
    /// scenario that two runs have, are mistakes. Ends with the exit code of the whole: 0 only when everything in all of them
    /// passed.
    Merge(MergeArguments),
}

/// Arguments of `report merge`.
#[derive(Clone, Debug, Args)]
pub(crate) struct MergeArguments {
    /// The runs: their artefact folders, or their report.json
    #[arg(value_name = "RUN", required = true)]
    pub(crate) runs: Vec<PathBuf>,
    /// The folder to write; it must not have a report yet
    #[arg(short = 'O', long, value_name = "DIR")]
    pub(crate) out: PathBuf,
}

/// Arguments of `report compare`.
#[derive(Clone, Debug, Args)]
pub(crate) struct CompareArguments {
    /// One run: its artefact folder, or its report.json
    pub(crate) a: PathBuf,
    /// The other one
    pub(crate) b: PathBuf,
    /// Which scenarios may be skipped where, instead of the built-in list (`suites/parity.yaml`)
    #[arg(long, value_name = "FILE")]
    pub(crate) allow: Option<PathBuf>,
}
