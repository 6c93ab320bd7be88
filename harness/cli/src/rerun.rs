//! `run --rerun-failed`: what did not pass in an earlier run.

use crate::arguments::{LAST_RUN, RunArguments, SelectionArguments};
use crate::commands::report;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use harness_report::json::{Document, Ending};
use std::collections::BTreeSet;
use std::path::Path;

/// What is to be run again, and the seed of the run in which it did not pass.
#[derive(Debug)]
pub(crate) struct Rerun {
    pub(crate) selection: SelectionArguments,
    pub(crate) seed: u64,
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
    let names = not_passed(&document);
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
        seed: document.seed,
    }))
}

fn name(run: &Path) -> String {
    run.display().to_string()
}

/// The names or files of the scenarios that were to pass and did not. A skipped one would be skipped again.
fn not_passed(document: &Document) -> BTreeSet<String> {
    document
        .scenarios
        .iter()
        .filter(|scenario| !matches!(scenario.outcome, Ending::Passed | Ending::Skipped))
        .map(|scenario| match &scenario.file {
            Some(file) => file.clone(),
            None => scenario.name.clone(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_report::record::RunRecord;

    #[test]
    fn what_failed_or_is_undecided_is_run_again_by_name_or_file() {
        let mut record = harness_report::fixture::record();
        let of = |record: &RunRecord| not_passed(&harness_report::json::document(record, 1));
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
}
