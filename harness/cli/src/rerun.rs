//! `run --rerun-failed`: what did not pass in an earlier run.

use crate::arguments::{LAST_RUN, RunArguments, SelectionArguments};
use crate::commands::report;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output;
use harness_model::scenario::Scenario;
use harness_report::json::{Document, Ending, ScenarioForm};
use harness_report::record::seed_of;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// What is to be run again, and with which seed it did not pass.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub(crate) selection: SelectionArguments,
    seeds: Seeds,
}

impl Rerun {
    /// The seed to run these with. Who had another one is told: a run has only one.
    pub(crate) fn told_seed(&self, selected: &[Scenario]) -> u64 {
        let (seed, note) = self.seeds.of(selected);
        if let Some(note) = note {
            output::say(&note);
        }
        seed
    }
}

/// Which seeds an earlier run had: several where it was put together from runs that had each their own.
#[derive(Debug)]
struct Seeds {
    /// That of the run, or of the first one.
    first: u64,
    /// Of each scenario that did not pass the command that runs it again, by name.
    lines: BTreeMap<String, String>,
}

impl Seeds {
    fn read(document: &Document) -> Self {
        let lines = not_passed(document).map(|form| (form.name.clone(), form.rerun.clone()));
        Self {
            first: document.seed,
            lines: lines.collect(),
        }
    }

    /// The one for these scenarios: the first, unless none of them had it. With it, what is to be said of those that had another.
    fn of(&self, selected: &[Scenario]) -> (u64, Option<String>) {
        let had: Vec<(&str, &str, u64)> = selected
            .iter()
            .filter_map(|scenario| {
                let line = self.lines.get(&scenario.name)?;
                Some((scenario.name.as_str(), line.as_str(), seed_of(line)?))
            })
            .collect();
        let is_had = had.iter().any(|(_, _, own)| *own == self.first);
        let seed = match had.first() {
            Some((_, _, own)) if !is_had => *own,
            _ => self.first,
        };
        let others: Vec<String> = had
            .into_iter()
            .filter(|(_, _, own)| *own != seed)
            .map(|(name, line, _)| format!("\n  {name}: {line}"))
            .collect();
        let note = (!others.is_empty()).then(|| {
            format!(
                "note: a run has one seed, here {seed}; in the runs that were put together these had another, with which each is run by:{}",
                others.concat()
            )
        });
        (seed, note)
    }
}

/// Reads the report of the earlier run, where one is asked for.
pub(crate) fn rerun(arguments: &RunArguments) -> Result<Option<Rerun>, Failure> {
    let Some(run) = &arguments.rerun_failed else {
        return Ok(None);
    };
    let execution = &arguments.execution;
    let run = if run.as_os_str() == LAST_RUN {
        execution.artifacts.join(LAST_RUN)
    } else {
        run.clone()
    };
    let document = report::read(&run).map_err(|reason| {
        Failure::new(ExitCode::Usage, "find out what to run again")
            .reason(reason)
            .hint("name an artefact folder: --rerun-failed=artifacts/RUN")
    })?;
    let names = names(&document);
    if names.is_empty() {
        let attempt = "select anything to run again";
        return Err(Failure::new(ExitCode::NothingSelected, attempt)
            .reason(format!("everything that was run in {} passed", name(&run))));
    }
    Ok(Some(Rerun {
        selection: SelectionArguments {
            names: names.into_iter().collect(),
            // The earlier run was the shard: a variable that still names it must not leave out failures.
            shard: None,
            ..execution.selection.clone()
        },
        seeds: Seeds::read(&document),
    }))
}

fn name(run: &Path) -> String {
    run.display().to_string()
}

/// The names or files of the scenarios that are to be run again.
fn names(document: &Document) -> BTreeSet<String> {
    not_passed(document)
        .map(|scenario| match &scenario.file {
            Some(file) => file.clone(),
            None => scenario.name.clone(),
        })
        .collect()
}

/// The scenarios that were to pass and did not. A skipped one would be skipped again.
fn not_passed(document: &Document) -> impl Iterator<Item = &ScenarioForm> {
    document
        .scenarios
        .iter()
        .filter(|scenario| !matches!(scenario.outcome, Ending::Passed | Ending::Skipped))
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_report::record::RunRecord;
    use harness_report::{fixture, json};

    #[test]
    fn what_failed_or_is_undecided_is_run_again_by_name_or_file() {
        let mut record = fixture::record();
        let of = |record: &RunRecord| names(&json::document(record, 1));
        assert_eq!(
            of(&record),
            ["delivery-scope/data-center", "resilience/zone-outage"]
                .map(str::to_owned)
                .into()
        );
        let files = &mut record.context.files;
        files.insert("resilience/zone-outage".to_owned(), "mine.yaml".into());
        assert!(of(&record).contains("mine.yaml"));
    }

    /// Two runs put together: what failed had the seed 42, and this line runs again what was undecided.
    fn seeds(undecided: &str) -> Seeds {
        let mut record = fixture::record();
        let reruns = &mut record.context.reruns;
        reruns.insert("resilience/zone-outage".to_owned(), undecided.to_owned());
        Seeds::read(&json::document(&record, 1))
    }

    fn selected(names: &[&str]) -> Vec<Scenario> {
        let mut scenarios = fixture::scenarios();
        scenarios.retain(|scenario| names.contains(&scenario.name.as_str()));
        assert_eq!(scenarios.len(), names.len());
        scenarios
    }

    #[test]
    fn who_had_another_seed_is_told_with_the_command_that_has_it() {
        let both = selected(&["delivery-scope/data-center", "resilience/zone-outage"]);
        let line = "meshproof run resilience/zone-outage --topology three-zones --seed 7";
        let (seed, note) = seeds(line).of(&both);
        assert_eq!(seed, 42);
        let note = note.expect("one had another seed");
        assert!(note.contains("one seed, here 42; "), "{note}");
        let told = format!("by:\n  resilience/zone-outage: {line}");
        assert!(note.ends_with(&told), "{note}");
        let (seed, note) = seeds("meshproof run resilience/zone-outage --seed 42").of(&both);
        assert_eq!((seed, note), (42, None));
    }

    #[test]
    fn who_is_run_again_alone_has_its_own_seed() {
        let seeds = seeds("meshproof run resilience/zone-outage --seed 7");
        let of = |name: &str| seeds.of(&selected(&[name]));
        assert_eq!(of("resilience/zone-outage"), (7, None));
        assert_eq!(of("delivery-scope/data-center"), (42, None));
        // It is not among what did not pass: nothing is known of its seed.
        assert_eq!(of("routing/both-sidecars"), (42, None));
        assert_eq!(seeds.of(&[]), (42, None));
    }
}
