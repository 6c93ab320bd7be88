//! A run as the documents need it, gathered from its events: small, whatever the length of the run, since
//! histories are reduced to timelines as they come.

use crate::timeline::Timeline;
use crate::{ReportError, Reporter};
use harness_model::directory::Sidecar;
use harness_model::run_event::{RunEvent, Summary};
use harness_model::scenario::Scenario;
use harness_model::verdict::{Judgement, Verdict};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the events of a run do not tell: who the scenarios are and how they were asked for.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// The selected scenarios, by name.
    pub scenarios: BTreeMap<String, Scenario>,
    /// What the user selected, as on the command line; empty for everything. A rerun line of the whole run repeats it.
    pub selection: Vec<String>,
    /// Options of this run that decide what was tested, to be repeated in a rerun line.
    pub options: Vec<String>,
    /// Scenarios that came from files: their rerun line names the file.
    pub files: BTreeMap<String, PathBuf>,
    /// The artefact folder.
    pub artifacts: Option<PathBuf>,
    /// The program as the user can call it.
    pub program: String,
}

impl Context {
    /// The exact command that runs one scenario again as it was run.
    #[must_use]
    pub fn rerun(&self, scenario: &str, seed: u64) -> String {
        let name = match self.files.get(scenario) {
            Some(file) => file.display().to_string(),
            None => scenario.to_owned(),
        };
        let mut line = format!("{} run {}", self.program, quote(&name));
        for option in &self.options {
            line.push(' ');
            line.push_str(&quote(option));
        }
        line.push_str(&format!(" --seed {seed}"));
        line
    }

    /// Where the history of one scenario is stored.
    #[must_use]
    pub fn history(&self, scenario: &str, repetition: u32) -> Option<PathBuf> {
        let folder = self.artifacts.as_ref()?;
        Some(folder.join(history_path(scenario, repetition)))
    }
}

/// Where the runner stores the history of one scenario below the artefact folder.
#[must_use]
pub fn history_path(scenario: &str, repetition: u32) -> PathBuf {
    let name: String = scenario
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '/' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let folder = PathBuf::from("scenarios").join(name.trim_matches('/'));
    if repetition == 1 {
        folder.join("history.jsonl")
    } else {
        folder
            .join(format!("repetition-{repetition}"))
            .join("history.jsonl")
    }
}

/// Quotes a word for a POSIX shell where it needs it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A run, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// What the events do not tell.
    pub context: Context,
    /// The run's name.
    pub run: String,
    /// Wall clock at the start, RFC 3339.
    pub at: String,
    /// The seed.
    pub seed: u64,
    /// What the scenarios ran on.
    pub environment: BTreeMap<String, String>,
    /// How many scenarios were selected.
    pub selected: usize,
    /// Phases of bringing the environment up, with milliseconds when done.
    pub phases: Vec<(String, Option<u64>)>,
    /// Who was there at the start.
    pub sidecars: Vec<Sidecar>,
    /// Milliseconds from the start of the process to the environment being ready.
    pub ready_millis: Option<u64>,
    /// The scenarios in the order in which they began.
    pub scenarios: Vec<ScenarioRecord>,
    /// The sum; none while the run goes on, or when it ended without one.
    pub summary: Option<Summary>,
}

/// One scenario of a run, once for each repetition.
#[derive(Clone, Debug)]
pub struct ScenarioRecord {
    /// Name.
    pub name: String,
    /// Claim.
    pub claim: String,
    /// 1 for the first repetition.
    pub repetition: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// Who showed what when.
    pub timeline: Timeline,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It did not end: the run was over before.
    Unfinished,
    /// It was not run.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was judged.
    Judged {
        /// The judgement.
        judgement: Judgement,
        /// How long it took, milliseconds.
        millis: u64,
    },
}

impl ScenarioRecord {
    /// Name, with the repetition from the second on.
    #[must_use]
    pub fn title(&self) -> String {
        title(&self.name, self.repetition)
    }

    /// The verdict, where there is one.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match &self.outcome {
            Outcome::Judged { judgement, .. } => Some(judgement.verdict),
            Outcome::Unfinished | Outcome::Skipped { .. } => None,
        }
    }
}

/// Name of a scenario, with the repetition from the second on.
#[must_use]
pub fn title(name: &str, repetition: u32) -> String {
    if repetition > 1 {
        format!("{name}#{repetition}")
    } else {
        name.to_owned()
    }
}

impl RunRecord {
    /// An empty record.
    #[must_use]
    pub fn new(context: Context) -> Self {
        Self {
            context,
            ..Self::default()
        }
    }

    /// The sum, counted from the scenarios where the run ended without one.
    #[must_use]
    pub fn sum(&self) -> Summary {
        if let Some(summary) = &self.summary {
            return summary.clone();
        }
        let mut summary = Summary::default();
        for scenario in &self.scenarios {
            match &scenario.outcome {
                Outcome::Judged { judgement, .. } => summary.count(judgement.verdict),
                Outcome::Skipped { .. } => summary.skipped += 1,
                Outcome::Unfinished => {}
            }
        }
        summary
    }

    fn find(&mut self, name: &str, repetition: u32) -> Option<&mut ScenarioRecord> {
        self.scenarios
            .iter_mut()
            .rev()
            .find(|s| s.name == name && s.repetition == repetition)
    }

    fn claim_of(&self, name: &str) -> String {
        self.context
            .scenarios
            .get(name)
            .map(|s| s.claim.clone())
            .unwrap_or_default()
    }
}

impl Reporter for RunRecord {
    fn on(&mut self, event: &RunEvent) -> Result<(), ReportError> {
        match event {
            RunEvent::RunStarted {
                run,
                at,
                seed,
                environment,
                selected,
                ..
            } => {
                self.run.clone_from(run);
                self.at.clone_from(at);
                self.seed = *seed;
                self.environment.clone_from(environment);
                self.selected = *selected;
            }
            RunEvent::PhaseStarted { phase, .. } => self.phases.push((phase.clone(), None)),
            RunEvent::PhaseProgress { .. } => {}
            RunEvent::PhaseFinished { phase, millis, .. } => {
                match self.phases.iter_mut().rev().find(|(name, _)| name == phase) {
                    Some(entry) => entry.1 = Some(*millis),
                    None => self.phases.push((phase.clone(), Some(*millis))),
                }
            }
            RunEvent::EnvironmentReady {
                sidecars, millis, ..
            } => {
                self.sidecars.clone_from(sidecars);
                self.ready_millis = Some(*millis);
            }
            RunEvent::ScenarioStarted {
                scenario,
                claim,
                repetition,
                ..
            } => self.scenarios.push(ScenarioRecord {
                name: scenario.clone(),
                claim: claim.clone(),
                repetition: *repetition,
                outcome: Outcome::Unfinished,
                timeline: Timeline::default(),
            }),
            RunEvent::ScenarioEvent {
                scenario,
                repetition,
                event,
                ..
            } => {
                if let Some(record) = self.find(scenario, *repetition) {
                    record.timeline.on(event);
                }
            }
            RunEvent::ScenarioFinished {
                scenario,
                repetition,
                judgement,
                millis,
                ..
            } => {
                let outcome = Outcome::Judged {
                    judgement: judgement.clone(),
                    millis: *millis,
                };
                if let Some(record) = self.find(scenario, *repetition) {
                    record.outcome = outcome;
                    record.timeline.finish();
                }
            }
            RunEvent::ScenarioSkipped {
                scenario, reason, ..
            } => {
                let claim = self.claim_of(scenario);
                self.scenarios.push(ScenarioRecord {
                    name: scenario.clone(),
                    claim,
                    repetition: 1,
                    outcome: Outcome::Skipped {
                        reason: reason.clone(),
                    },
                    timeline: Timeline::default(),
                });
            }
            RunEvent::RunFinished { summary, .. } => {
                let mut summary = summary.clone();
                if summary.interrupted.is_some() {
                    // Who was interrupted while preparing did not fail to prepare.
                    summary.environment_error = None;
                }
                self.summary = Some(summary);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rerun_line_can_be_pasted_into_a_shell() {
        let context = Context {
            program: "meshproof".to_owned(),
            options: vec!["--mesh".to_owned(), "my mesh.yaml".to_owned()],
            ..Context::default()
        };
        assert_eq!(
            context.rerun("delivery-scope/ip", 7),
            "meshproof run delivery-scope/ip --mesh 'my mesh.yaml' --seed 7"
        );
    }

    #[test]
    fn history_files_of_repetitions_do_not_collide() {
        assert_eq!(
            history_path("a/b-c", 1),
            PathBuf::from("scenarios/a/b-c/history.jsonl")
        );
        assert_eq!(
            history_path("a/b", 2),
            PathBuf::from("scenarios/a/b/repetition-2/history.jsonl")
        );
    }

    #[test]
    fn a_run_that_ended_without_a_sum_is_counted() {
        let mut record = RunRecord::new(Context::default());
        for event in crate::fixture::events() {
            if !matches!(event, RunEvent::RunFinished { .. }) {
                record.on(&event).expect("a record takes everything");
            }
        }
        let sum = record.sum();
        assert_eq!(
            (sum.passed, sum.failed, sum.inconclusive, sum.skipped),
            (2, 1, 1, 1)
        );
    }
}
