//! `report.json`: the run for programs, under a format version of its own.

use crate::ReportError;
use crate::record::{Outcome, Quarantined, RunRecord, ScenarioRecord, Shard};
use harness_model::directory::Sidecar;
use harness_model::in_vain::VainWait;
use harness_model::machine::MachineLoad;
use harness_model::scenario::Tag;
use harness_model::usage::Usage;
use harness_model::verdict::{Finding, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the form; it grows when a field is removed or changes its meaning.
pub const SCHEMA_VERSION: u32 = 1;

/// The whole document.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Document {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The run's name.
    pub run: String,
    /// Wall clock at the start, RFC 3339.
    pub started_at: String,
    /// Milliseconds from the start of the process to the end.
    pub millis: u64,
    /// The process's exit code.
    pub exit_code: u8,
    /// The seed; that of the first run where several were put together, whose seeds `environment` has as `seeds` then.
    pub seed: u64,
    /// Which part of a selection this run is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// What was selected, as on the command line, whichever part of it this run is; empty for everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selection: Vec<String>,
    /// Options that put something in the place of a part of the mesh, each with its value after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<String>,
    /// What the scenarios ran on.
    pub environment: BTreeMap<String, String>,
    /// Milliseconds until the environment was ready; none when it never was.
    pub ready_millis: Option<u64>,
    /// Phases of bringing it up: milliseconds.
    pub phases: Vec<Phase>,
    /// How many scenarios were selected.
    pub selected: usize,
    /// How many ended how.
    pub summary: Counts,
    /// Why the environment could not be prepared, or was lost before the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment_error: Option<String>,
    /// What scenarios name and the cluster does not have; nothing was run then.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_names: Vec<String>,
    /// The signal that interrupted the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<i32>,
    /// Where a private key was found that must not leave its pod.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_keys: Vec<String>,
    /// What could not be looked through for private keys, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_searched: Vec<String>,
    /// What was left behind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<String>,
    /// Who was there.
    pub sidecars: Vec<Sidecar>,
    /// What the mesh has used; absent where nobody has looked, and in reports of versions that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The scenarios, in the order in which they began.
    pub scenarios: Vec<ScenarioForm>,
}

/// One phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took; none when it did not end.
    pub millis: Option<u64>,
}

/// How many scenarios ended how.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    /// Passed.
    pub passed: usize,
    /// Failed.
    pub failed: usize,
    /// Inconclusive.
    pub inconclusive: usize,
    /// Skipped.
    pub skipped: usize,
    /// Without a verdict because the run ended before; 0 in a whole run.
    #[serde(default)]
    pub not_run: usize,
}

/// One scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScenarioForm {
    /// Name.
    pub name: String,
    /// 1 for the first repetition.
    pub repetition: u32,
    /// Claim.
    pub claim: String,
    /// When it is run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    /// The file that it was read from, where it is no shipped one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its failure is excused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quarantined: Option<Quarantined>,
    /// How it ended.
    pub outcome: Ending,
    /// Why it was skipped or not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How long it took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub millis: Option<u64>,
    /// How busy the machine was while it ran; absent where nobody knows, or clusters run elsewhere, and in reports of
    /// versions that did not look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineLoad>,
    /// One for each expectation.
    pub findings: Vec<Finding>,
    /// What its steps waited for in vain; absent where it passed, and in reports of versions that did not tell it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waited_in_vain: Vec<VainWait>,
    /// Its history, relative to the folder of the report.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<String>,
    /// The command that runs it again.
    pub rerun: String,
}

/// How a scenario ended, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It was judged: passed.
    Passed,
    /// It was judged: failed.
    Failed,
    /// It was judged: what was seen does not decide it.
    Inconclusive,
    /// It was not run: the environment lacks something.
    Skipped,
    /// It was not run, for what became of the whole run.
    NotRun,
    /// The run was over before it was.
    Unfinished,
}

impl Ending {
    /// The word, as it is written in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Inconclusive => "inconclusive",
            Self::Skipped => "skipped",
            Self::NotRun => "not-run",
            Self::Unfinished => "unfinished",
        }
    }
}

impl Ending {
    /// How a scenario of a run ended.
    #[must_use]
    pub fn of(scenario: &ScenarioRecord) -> Self {
        match &scenario.outcome {
            Outcome::Unfinished => Self::Unfinished,
            Outcome::Skipped { .. } => Self::Skipped,
            Outcome::NotRun { .. } => Self::NotRun,
            Outcome::Judged { judgement, .. } => Self::from(judgement.verdict),
        }
    }
}

impl From<Verdict> for Ending {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Passed => Self::Passed,
            Verdict::Inconclusive => Self::Inconclusive,
            Verdict::Failed => Self::Failed,
        }
    }
}

impl Document {
    /// The kind of cluster the scenarios ran on, as `--cluster` names it. Reports of runs that did not note it say where
    /// they ran, which for clusters that were made for the run is the same word.
    #[must_use]
    pub fn cluster_kind(&self) -> &str {
        ["clusterKind", "cluster"]
            .into_iter()
            .find_map(|fact| self.environment.get(fact))
            .map_or("unknown", String::as_str)
    }
}

/// A report could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is no document of ours, or a part is missing.
    #[error("it is no report of meshproof")]
    Form(#[source] serde_json::Error),
    /// It was written by a newer version.
    #[error(
        "its schema version is {found}, and this version of meshproof knows up to {SCHEMA_VERSION}"
    )]
    Version {
        /// The document's version.
        found: u64,
    },
}

/// Reads a document.
///
/// # Errors
///
/// See [`ReadError`].
pub fn read(text: &str) -> Result<Document, ReadError> {
    /// What every version has.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Versioned {
        schema_version: u64,
    }
    // The version first: a newer form need not have the fields of this one.
    let Versioned {
        schema_version: found,
    } = serde_json::from_str(text).map_err(ReadError::Form)?;
    if !(1..=u64::from(SCHEMA_VERSION)).contains(&found) {
        return Err(ReadError::Version { found });
    }
    serde_json::from_str(text).map_err(ReadError::Form)
}

/// The document of a run.
#[must_use]
pub fn document(record: &RunRecord, exit_code: u8) -> Document {
    let sum = record.sum();
    let scenarios = record
        .scenarios
        .iter()
        .map(|scenario| {
            let (reason, millis, machine, judgement) = match &scenario.outcome {
                Outcome::Unfinished => (None, None, None, None),
                Outcome::Skipped { reason } | Outcome::NotRun { reason } => {
                    (Some(reason.clone()), None, None, None)
                }
                Outcome::Judged {
                    judgement,
                    millis,
                    machine,
                } => (None, Some(*millis), *machine, Some(judgement)),
            };
            let (findings, waited_in_vain) = judgement
                .map(|told| (told.findings.clone(), told.waited_in_vain.clone()))
                .unwrap_or_default();
            let history = (reason.is_none() && record.context.artifacts.is_some()).then(|| {
                crate::record::history_path(&scenario.name, scenario.repetition)
                    .display()
                    .to_string()
            });
            ScenarioForm {
                name: scenario.name.clone(),
                repetition: scenario.repetition,
                claim: scenario.claim.clone(),
                tags: record
                    .context
                    .scenarios
                    .get(&scenario.name)
                    .map(|known| known.tags.clone())
                    .unwrap_or_default(),
                file: record
                    .context
                    .files
                    .get(&scenario.name)
                    .map(|file| file.display().to_string()),
                quarantined: record.context.quarantine.get(&scenario.name).cloned(),
                outcome: Ending::of(scenario),
                reason,
                millis,
                machine,
                findings,
                waited_in_vain,
                history,
                rerun: record.context.rerun(&scenario.name, record.seed),
            }
        })
        .collect();
    Document {
        schema_version: SCHEMA_VERSION,
        run: record.run.clone(),
        started_at: record.at.clone(),
        millis: sum.millis,
        exit_code,
        seed: record.seed,
        shard: record.context.shard,
        selection: without_shard(&record.context.selection),
        replaced: crate::conformance::replaced(&record.context.options),
        environment: record.environment.clone(),
        ready_millis: record.ready_millis,
        phases: record
            .phases
            .iter()
            .map(|(name, millis)| Phase {
                name: name.clone(),
                millis: *millis,
            })
            .collect(),
        selected: record.selected,
        summary: Counts {
            passed: sum.passed,
            failed: sum.failed,
            inconclusive: sum.inconclusive,
            skipped: sum.skipped,
            not_run: sum.not_run,
        },
        environment_error: sum.environment_error,
        unknown_names: sum.unknown_names,
        interrupted: sum.interrupted,
        exposed_keys: sum.exposed_keys,
        not_searched: sum.not_searched,
        left_behind: sum.left_behind,
        sidecars: record.sidecars.clone(),
        usage: record.usage.clone(),
        scenarios,
    }
}

fn without_shard(selection: &[String]) -> Vec<String> {
    let words = selection.iter();
    words
        .filter(|word| !word.starts_with("--shard="))
        .cloned()
        .collect()
}

/// Renders the document, indented.
///
/// # Errors
///
/// When it has no JSON form.
pub fn render(record: &RunRecord, exit_code: u8) -> Result<String, ReportError> {
    let mut text =
        serde_json::to_string_pretty(&document(record, exit_code)).map_err(ReportError::Json)?;
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests;
