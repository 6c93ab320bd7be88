//! The YAML form of a scenario: the same words as the values, with every mistake at its place.

use crate::document::{self, Document, Part, Problem, Problems};
use crate::names::Names;
use crate::scenario::Scenario;

mod meaning;

/// Reads a scenario. `file` names it in messages.
///
/// # Errors
///
/// Every mistake with line and column: first those of form (unknown words, wrong types, missing fields), and
/// when there are none those of meaning (unknown traffic, a load that is never started, an empty *then*, ...).
pub fn parse(file: &str, text: &str) -> Result<Scenario, Problems> {
    read(file, text, None)
}

/// Checks the text of a scenario against what an environment calls its own.
///
/// # Errors
///
/// As [`parse`], and every name that nobody has and that is not said to be unknown.
pub fn parse_for(file: &str, text: &str, names: &Names) -> Result<Scenario, Problems> {
    read(file, text, Some(names))
}

fn read(file: &str, text: &str, names: Option<&Names>) -> Result<Scenario, Problems> {
    let document: Document<Scenario> = document::parse(file, text)?;
    let mut problems = check_document(&document, names);
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

/// The JSON Schema of the YAML form, derived from the types. It tells what is well-formed; what means something
/// [`parse`] alone can say.
#[must_use]
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Scenario).to_value()
}

/// What is wrong with the meaning of a scenario that was not read from a file.
#[must_use]
pub fn check(scenario: &Scenario) -> Vec<String> {
    meaning::check(scenario, None)
        .into_iter()
        .map(|mistake| mistake.message)
        .collect()
}

/// Every name in a scenario that nobody in an environment has, with its field and a hint, and whatever else is wrong.
#[must_use]
pub fn check_for(scenario: &Scenario, names: &Names) -> Vec<String> {
    meaning::check(scenario, Some(names))
        .into_iter()
        .map(|mistake| {
            let field = mistake.field();
            match mistake.hint {
                Some(hint) => format!("{field}: {} ({hint})", mistake.message),
                None => format!("{field}: {}", mistake.message),
            }
        })
        .collect()
}

fn check_document(document: &Document<Scenario>, names: Option<&Names>) -> Vec<Problem> {
    meaning::check(&document.value, names)
        .into_iter()
        .map(|mistake| {
            let path: Vec<Part<'_>> = mistake.path.iter().map(meaning::Step::part).collect();
            document.problem(&path, mistake.message, mistake.hint)
        })
        .collect()
}

#[cfg(test)]
mod tests;
