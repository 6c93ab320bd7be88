//! The YAML form of a scenario: the same words as the values, with every mistake at its place.

use crate::document::{self, Document, Part, Partial, Problem, Problems, suggestion};
use crate::names::Names;
use crate::scenario::Scenario;
use std::collections::BTreeSet;

mod examples;
mod meaning;

/// The keys of a scenario.
const KEYS: [&str; 8] = [
    "name", "claim", "tags", "requires", "disturbs", "given", "when", "then",
];

/// Those that no mistake elsewhere follows from.
const APART: [&str; 4] = ["name", "claim", "tags", "then"];

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
        wrong,
    } = document::parse_partly::<Scenario>(text);
    for problem in &mut problems {
        examples::show(problem);
    }
    if let Some(document) = &document {
        let names = names(&document.value);
        problems.extend(check_document(document, names.as_ref(), &wrong));
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
        .iter()
        .map(meaning::Mistake::told)
        .collect()
}

/// Every name in a scenario that nobody in an environment has, with its field and a hint, and whatever else is wrong.
#[must_use]
pub fn check_for(scenario: &Scenario, names: &Names) -> Vec<String> {
    meaning::check(scenario, Some(names))
        .into_iter()
        .map(|mistake| {
            let (field, told) = (mistake.field(), mistake.told());
            match mistake.hint {
                Some(hint) => format!("{field}: {told} ({hint})"),
                None => format!("{field}: {told}"),
            }
        })
        .collect()
}

/// The mistakes of meaning, but for those that may only follow from what is `wrong` in the document or missing.
fn check_document(
    document: &Document<Scenario>,
    names: Option<&Names>,
    wrong: &BTreeSet<String>,
) -> Vec<Problem> {
    meaning::check(&document.value, names)
        .into_iter()
        .filter(|mistake| mistake.about == meaning::About::Itself || !may_follow(mistake, wrong))
        .filter_map(|mistake| {
            let path = parts(&mistake.path);
            let node = document.tree.nearest(&path);
            // What a map lacks may be what stands there under a key that is wrong.
            let is_whole = mistake.about == meaning::About::Others || !node.is_cut();
            let is_there = is_whole && !node.is_missing();
            let told = mistake.told_with(|other| {
                let other = document.tree.nearest(&parts(other));
                format!("in line {}", other.line)
            });
            is_there.then(|| document.problem(&path, told, mistake.hint))
        })
        .collect()
}

fn parts(path: &[meaning::Step]) -> Vec<Part<'_>> {
    path.iter().map(meaning::Step::part).collect()
}

/// Whether a mistake that is seen from other parts of a scenario may follow from what is wrong in its form: a key that is
/// not known may be the misspelt one of a part that is taken for empty.
fn may_follow(mistake: &meaning::Mistake, wrong: &BTreeSet<String>) -> bool {
    let is_apart = |key: &String| {
        let meant = suggestion(key, KEYS);
        meant.is_some_and(|meant| APART.contains(&meant))
    };
    let is_of_a_whole_part = matches!(
        mistake.path.as_slice(),
        [meaning::Step::Key(key)] if wrong.contains(*key)
    );
    is_of_a_whole_part || !wrong.iter().all(is_apart)
}

#[cfg(test)]
mod tests;
