//! The YAML form of a scenario: the same words as the values, with every mistake at its place.

use crate::document::{self, Document, Part, Partial, Problem, Problems};
use crate::names::Names;
use crate::scenario::Scenario;

mod meaning;

/// Reads a scenario. `file` names it in messages.
///
/// # Errors
///
/// Every mistake with line and column, those of form (unknown words, wrong types, missing fields) and those of meaning
/// (unknown traffic, a load that is never started, an empty *then*, ...). Where a mistake of form hides a part of the
/// scenario nothing is said of what may be in that part.
pub fn parse(file: &str, text: &str) -> Result<Scenario, Problems> {
    read(file, text, &|_| None)
}

/// Checks the text of a scenario against what an environment calls its own.
///
/// # Errors
///
/// As [`parse`], and every name that nobody has and that is not said to be unknown.
pub fn parse_for(file: &str, text: &str, names: &Names) -> Result<Scenario, Problems> {
    read(file, text, &|_| Some(names.clone()))
}

/// Reads a scenario and checks it against what its environment calls its own, which may depend on what the scenario needs;
/// with none its names are not looked at.
///
/// # Errors
///
/// As [`parse_for`], all at once.
pub fn read(
    file: &str,
    text: &str,
    names: &dyn Fn(&Scenario) -> Option<Names>,
) -> Result<Scenario, Problems> {
    let Partial {
        document,
        mut problems,
    } = document::parse_partly::<Scenario>(text);
    let is_whole = problems.is_empty();
    if let Some(document) = &document {
        let names = names(&document.value);
        problems.extend(check_document(document, names.as_ref(), is_whole));
    }
    problems.sort();
    problems.dedup();
    match document {
        Some(document) if problems.is_empty() => Ok(document.value),
        _ => Err(Problems {
            file: file.to_owned(),
            problems,
        }),
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

/// The mistakes of meaning, but for those that may only follow from what is missing in the document.
fn check_document(
    document: &Document<Scenario>,
    names: Option<&Names>,
    is_whole: bool,
) -> Vec<Problem> {
    meaning::check(&document.value, names)
        .into_iter()
        .filter(|mistake| is_whole || mistake.about == meaning::About::Itself)
        .filter_map(|mistake| {
            let path: Vec<Part<'_>> = mistake.path.iter().map(meaning::Step::part).collect();
            let is_there = !document.tree.nearest(&path).is_missing();
            is_there.then(|| document.problem(&path, mistake.message, mistake.hint))
        })
        .collect()
}

#[cfg(test)]
mod tests;
