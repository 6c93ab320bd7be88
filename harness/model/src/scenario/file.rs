//! The YAML form of a scenario: the same words as the values, with every mistake at its place.

use crate::document::{self, Document, Part, Problem, Problems};
use crate::scenario::Scenario;

mod meaning;

/// Reads a scenario. `file` names it in messages.
///
/// # Errors
///
/// Every mistake with line and column: first those of form (unknown words, wrong types, missing fields), and
/// when there are none those of meaning (unknown traffic, a load that is never started, an empty *then*, ...).
pub fn parse(file: &str, text: &str) -> Result<Scenario, Problems> {
    let document: Document<Scenario> = document::parse(file, text)?;
    let mut problems = check_document(&document);
    problems.sort();
    problems.dedup();
    if problems.is_empty() {
        Ok(document.value)
    } else {
        Err(Problems {
            file: file.to_owned(),
            problems,
        })
    }
}

/// The YAML text of a scenario; [`parse`] reads the same value back.
#[must_use]
pub fn print(scenario: &Scenario) -> String {
    serde_saphyr::to_string(scenario)
        .expect("a scenario is plain data with text keys, which always serialises")
}

/// What is wrong with the meaning of a scenario that was not read from a file.
#[must_use]
pub fn check(scenario: &Scenario) -> Vec<String> {
    meaning::check(scenario)
        .into_iter()
        .map(|mistake| mistake.message)
        .collect()
}

fn check_document(document: &Document<Scenario>) -> Vec<Problem> {
    meaning::check(&document.value)
        .into_iter()
        .map(|mistake| {
            let path: Vec<Part<'_>> = mistake.path.iter().map(meaning::Step::part).collect();
            document.problem(&path, mistake.message, mistake.hint)
        })
        .collect()
}

#[cfg(test)]
mod tests;
