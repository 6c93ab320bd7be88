//! What a CI service shows of a run beside its log.

use harness_report::record::RunRecord;
use harness_report::{annotations, markdown};
use std::fs::OpenOptions;
use std::io::Write as _;

/// Tells GitHub Actions, where the program runs in a step of it: annotations, and a summary of the job.
pub(crate) fn tell(record: &RunRecord) {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|value| value == "true") {
        for line in annotations::github(record) {
            crate::output::say(&line);
        }
    }
    let Some(file) = std::env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()) else {
        return;
    };
    let written = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&file)
        .and_then(|mut file| file.write_all(markdown::render(record).as_bytes()));
    if let Err(error) = written {
        let file = file.display();
        crate::output::say(&format!(
            "warning: the summary was not written to {file}: {error}"
        ));
    }
}
