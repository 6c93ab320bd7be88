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
