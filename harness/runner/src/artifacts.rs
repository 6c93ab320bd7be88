//! What a scenario leaves in the artefact folder.

use crate::plan::{CollectPolicy, RunPlan};
use harness_model::history::file::{self, Header, Recorded};
use harness_model::verdict::Verdict;
use std::path::{Path, PathBuf};

/// The folder of one scenario's repetition below the artefact folder.
pub(crate) fn folder(artifacts: &Path, scenario: &str, repetition: u32) -> PathBuf {
    artifacts.join(file::folder(scenario, repetition))
}

/// Writes a history, from which the verdict can be computed again.
pub(crate) fn write_history(folder: &Path, recorded: &Recorded) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(file::NAME), file::print(recorded))
}

/// The header of a scenario's history.
pub(crate) fn header(
    plan: &RunPlan,
    scenario: harness_model::scenario::Scenario,
    data_centers: Vec<String>,
    repetition: u32,
) -> Header {
    Header {
        format: file::FORMAT.to_owned(),
        run: plan.run.clone(),
        seed: plan.seed,
        repetition,
        patience: plan.patience.clone(),
        data_centers,
        scenario,
    }
}

/// Whether diagnostics are due after this verdict.
pub(crate) fn collects(policy: CollectPolicy, verdict: Verdict) -> bool {
    match policy {
        CollectPolicy::Never => false,
        CollectPolicy::OnFailure => verdict != Verdict::Passed,
        CollectPolicy::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_the_artefact_folder() {
        let folder = folder(Path::new("/a"), "../../suite/x y", 1);
        assert_eq!(folder, Path::new("/a/scenarios/--/--/suite/x-y"));
    }
}
