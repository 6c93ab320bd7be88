//! What reporters read: the runner emits these, and a reporter cannot change a verdict.

use crate::directory::Sidecar;
use crate::history::Event;
use crate::machine::MachineLoad;
use crate::usage::Usage;
use crate::verdict::{INTERRUPTED, Judgement, Verdict};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One event of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    tag = "type"
)]
pub enum RunEvent {
    /// A run begins.
    RunStarted {
        /// Names the run and its artefact folder.
        run: String,
        /// Wall clock, RFC 3339.
        at: String,
        /// The seed of everything random.
        seed: u64,
        /// What the scenarios run on: `local`, mesh name, topology, versions.
        environment: BTreeMap<String, String>,
        /// How many scenarios were selected.
        selected: usize,
    },
    /// A part of bringing the environment up begins (`assets`, `images`, `cluster`, `mesh`, ...).
    PhaseStarted {
        /// Which.
        phase: String,
    },
    /// Progress within a phase.
    PhaseProgress {
        /// Which.
        phase: String,
        /// A line for people.
        message: String,
    },
    /// A phase is done.
    PhaseFinished {
        /// Which.
        phase: String,
        /// How long it took, milliseconds.
        millis: u64,
    },
    /// The environment is ready.
    EnvironmentReady {
        /// Who is there.
        sidecars: Vec<Sidecar>,
        /// Image that was replaced (`control-plane`) → the digests that the nodes tell of the containers that run it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        candidates: BTreeMap<String, Vec<String>>,
        /// Image → the build before the one under test that was named for rollouts, as nodes know it.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        before: BTreeMap<String, String>,
        /// From the start of the process, milliseconds.
        millis: u64,
    },
    /// A scenario begins.
    ScenarioStarted {
        /// Its name.
        scenario: String,
        /// Its claim.
        claim: String,
        /// 1 for the first repetition.
        repetition: u32,
    },
    /// One event of its history.
    ScenarioEvent {
        /// Its name.
        scenario: String,
        /// 1 for the first repetition.
        repetition: u32,
        /// What was seen.
        event: Event,
    },
    /// A scenario was judged.
    ScenarioFinished {
        /// Its name.
        scenario: String,
        /// 1 for the first repetition.
        repetition: u32,
        /// The judgement.
        judgement: Judgement,
        /// How long it took, milliseconds.
        millis: u64,
        /// How busy the machine was while it ran; none where nobody knows, or clusters run elsewhere.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        machine: Option<MachineLoad>,
    },
    /// A scenario was not run.
    ScenarioSkipped {
        /// Its name.
        scenario: String,
        /// 1 for the first repetition.
        repetition: u32,
        /// Why.
        reason: String,
    },
    /// What the mesh has used, after the last scenario.
    Used {
        /// The figures.
        usage: Usage,
    },
    /// A run is over; nothing comes after it.
    RunFinished {
        /// The sum.
        summary: Summary,
    },
}

/// The sum of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// Scenarios that passed.
    pub passed: usize,
    /// Scenarios that failed.
    pub failed: usize,
    /// Scenarios that could not be decided.
    pub inconclusive: usize,
    /// Scenarios that were not run, with reason.
    pub skipped: usize,
    /// Scenarios that were selected and got no verdict, for what became of the whole run: it was interrupted, had no
    /// environment, or stopped after a failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub not_run: usize,
    /// Why the environment could not be prepared, or was lost before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment_error: Option<String>,
    /// Scenarios name what the cluster turned out not to have, and nothing was run: each name with its scenario and field.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unknown_names: Vec<String>,
    /// Something of ours was left behind: what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<String>,
    /// Where a private key was found that must not leave its pod: containers by their logs, files of nodes (`NODE:PATH`), and
    /// files of the run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exposed_keys: Vec<String>,
    /// Logs, folders and files that could not be looked through for private keys, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_searched: Vec<String>,
    /// The run was interrupted by this signal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupted: Option<i32>,
    /// From the start of the process, milliseconds.
    pub millis: u64,
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

impl Summary {
    /// Counts those of `selected` scenarios of which nothing was told as not run.
    pub fn count_rest(&mut self, selected: usize) {
        let told = self.passed + self.failed + self.inconclusive + self.skipped;
        self.not_run = selected.saturating_sub(told);
    }

    /// Why scenarios were not run, in words.
    #[must_use]
    pub fn why_not_run(&self) -> &'static str {
        if self.interrupted.is_some() {
            INTERRUPTED
        } else if self.environment_error.is_some() {
            "the environment could not be prepared, or was lost"
        } else if !self.unknown_names.is_empty() {
            "scenarios name what is not there"
        } else {
            "the run ended before"
        }
    }

    /// Counts one verdict.
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Passed => self.passed += 1,
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Failed => self.failed += 1,
        }
    }
}
