//! A run as the documents need it, gathered from its events: small, whatever the length of the run, since
//! histories are reduced to timelines as they come.

mod context;

pub use context::{
    Context, Quarantined, Shard, diagnostics_path, history_path, quote, seed_of, title,
};

use crate::deviation::Setting;
use crate::timeline::Timeline;
use crate::{ReportError, Reporter};
use harness_model::checker::may_come_of_lateness;
use harness_model::directory::Sidecar;
use harness_model::machine::MachineLoad;
use harness_model::run_event::{RunEvent, Summary};
use harness_model::usage::Usage;
use harness_model::verdict::{Judgement, Verdict};
use std::collections::BTreeMap;

/// The fact of the environment that runs with different seeds were put together, with all of them.
pub(crate) const SEEDS: &str = "seeds";

/// A run, as far as it has come.
#[derive(Clone, Debug, Default)]
pub struct RunRecord {
    /// What the events do not tell.
    pub context: Context,
    /// The run's name.
    pub run: String,
    /// Wall clock at the start, RFC 3339.
    pub at: String,
    /// The seed; that of the first run where several were put together, see [`RunRecord::seed_of_all`].
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
    /// What the mesh has used; none where nobody has looked.
    pub usage: Option<Usage>,
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
    /// It was selected, and the run ended before it began.
    NotRun {
        /// Why.
        reason: String,
    },
    /// It was judged.
    Judged {
        /// The judgement.
        judgement: Judgement,
        /// How long it took, milliseconds.
        millis: u64,
        /// How busy the machine was while it ran, where that is known.
        machine: Option<MachineLoad>,
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
            Outcome::Unfinished | Outcome::Skipped { .. } | Outcome::NotRun { .. } => None,
        }
    }

    /// How busy the machine was while it ran, where that is known and may be why it did not pass.
    #[must_use]
    pub fn busy_machine(&self) -> Option<MachineLoad> {
        match &self.outcome {
            Outcome::Judged {
                judgement, machine, ..
            } if may_come_of_lateness(judgement) => *machine,
            _ => None,
        }
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
                Outcome::Unfinished | Outcome::NotRun { .. } => {}
            }
        }
        summary.count_rest(self.selected);
        summary
    }

    /// The seed of every scenario; none where runs that had each their own were put together.
    #[must_use]
    pub fn seed_of_all(&self) -> Option<u64> {
        (!self.environment.contains_key(SEEDS)).then_some(self.seed)
    }

    /// The scenarios that did not pass and are excused: failed ones and inconclusive ones.
    #[must_use]
    pub fn excused(&self) -> (usize, usize) {
        let count = |wanted| {
            let is_excused =
                |s: &&ScenarioRecord| self.is_quarantined(&s.name) && s.verdict() == Some(wanted);
            self.scenarios.iter().filter(is_excused).count()
        };
        (count(Verdict::Failed), count(Verdict::Inconclusive))
    }

    /// A scenario's failure is excused.
    #[must_use]
    pub fn is_quarantined(&self, scenario: &str) -> bool {
        self.context.quarantine.contains_key(scenario)
    }

    /// The stable names of those who were there at the start.
    pub(crate) fn sidecar_names(&self) -> Vec<String> {
        self.sidecars
            .iter()
            .map(|found| found.name.clone())
            .collect()
    }

    /// What deviations of a scenario are told against.
    pub(crate) fn setting<'a>(&'a self, scenario: &str, sidecars: &'a [String]) -> Setting<'a> {
        Setting {
            scenario: self.context.scenarios.get(scenario),
            sidecars,
        }
    }

    fn find(&mut self, name: &str, repetition: u32) -> Option<&mut ScenarioRecord> {
        self.scenarios
            .iter_mut()
            .rev()
            .find(|s| s.name == name && s.repetition == repetition)
    }

    /// Takes down what was selected and of which nothing was told.
    fn note_not_run(&mut self, reason: &str) {
        let names: Vec<String> = self.context.scenarios.keys().cloned().collect();
        let repeat = self.selected.checked_div(names.len()).unwrap_or(0);
        for name in names {
            // A skipped scenario does not say which repetition it is.
            let told: Vec<u32> = self
                .scenarios
                .iter()
                .filter(|told| told.name == name)
                .map(|told| told.repetition)
                .collect();
            let missing = repeat.saturating_sub(told.len());
            let left = (1..).filter(|repetition| !told.contains(repetition));
            for repetition in left.take(missing) {
                let claim = self.claim_of(&name);
                self.scenarios.push(ScenarioRecord {
                    name: name.clone(),
                    claim,
                    repetition,
                    outcome: Outcome::NotRun {
                        reason: reason.to_owned(),
                    },
                    timeline: Timeline::default(),
                });
            }
        }
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
                sidecars,
                candidates,
                before,
                millis,
            } => {
                for (image, digests) in candidates {
                    let fact = format!("candidate.{image}");
                    self.environment.insert(fact, digests.join(", "));
                }
                for (image, name) in before {
                    let fact = format!("before.{image}");
                    self.environment.insert(fact, name.clone());
                }
                self.sidecars.clone_from(sidecars);
                self.ready_millis = Some(*millis);
            }
            RunEvent::ScenarioStarted {
                scenario,
                claim,
                repetition,
                ..
            } => {
                let known = self.context.scenarios.get(scenario);
                self.scenarios.push(ScenarioRecord {
                    name: scenario.clone(),
                    claim: claim.clone(),
                    repetition: *repetition,
                    outcome: Outcome::Unfinished,
                    timeline: known.map(Timeline::of).unwrap_or_default(),
                });
            }
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
                machine,
                ..
            } => {
                let outcome = Outcome::Judged {
                    judgement: judgement.clone(),
                    millis: *millis,
                    machine: *machine,
                };
                if let Some(record) = self.find(scenario, *repetition) {
                    record.outcome = outcome;
                    record.timeline.finish();
                }
            }
            RunEvent::ScenarioSkipped {
                scenario,
                repetition,
                reason,
            } => {
                let claim = self.claim_of(scenario);
                self.scenarios.push(ScenarioRecord {
                    name: scenario.clone(),
                    claim,
                    repetition: *repetition,
                    outcome: Outcome::Skipped {
                        reason: reason.clone(),
                    },
                    timeline: Timeline::default(),
                });
            }
            RunEvent::Used { usage } => self.usage = Some(usage.clone()),
            RunEvent::RunFinished { summary, .. } => {
                let mut summary = summary.clone();
                if summary.interrupted.is_some() {
                    // Who was interrupted while preparing did not fail to prepare.
                    summary.environment_error = None;
                }
                self.note_not_run(summary.why_not_run());
                self.summary = Some(summary);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
