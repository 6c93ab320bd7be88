//! YAML files with every mistake reported at its line and column, not only the first.
//!
//! The text is read into a tree of located [`Node`]s; a value is then decoded from the tree with serde. Where
//! decoding fails, the mistake is noted, the offending part is cut off and decoding starts again, until
//! nothing is left to complain about.
//!
//! For what is missing something empty is put in, so that one mistake does not hide the others.
//!
//! Invariant: knows no type of meshproof; scenario, topology and mesh definition files all come through here.

mod decode;
mod library;
mod node;

pub use library::in_words;
pub use node::{Node, Part};

use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::fmt;

/// One mistake in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Line, from 1; 0 where the mistake has no place.
    pub line: u64,
    /// Column, from 1; 0 where the mistake has no place.
    pub column: u64,
    /// What is wrong, as a lowercase fragment.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// What a mistake says that is about a key that is not there: that key follows, and a backtick.
const MISSING: &str = "missing field `";

impl Problem {
    /// The key that is not there, where that is what is wrong.
    #[must_use]
    pub fn missing(&self) -> Option<&str> {
        self.message.strip_prefix(MISSING)?.strip_suffix('`')
    }
}

/// What to do where a key is not there: add this line.
#[must_use]
pub fn to_add(line: &str) -> String {
    format!("add `{line}` to the map that begins here")
}

/// Everything that is wrong with one file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    /// The file as the user named it.
    pub file: String,
    /// In the order of the file; never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            if problem.line == 0 {
                write!(f, "{}: {}", self.file, problem.message)?;
            } else {
                write!(
                    f,
                    "{}:{}:{}: {}",
                    self.file, problem.line, problem.column, problem.message
                )?;
            }
            if let Some(hint) = &problem.hint {
                write!(f, " (hint: {hint})")?;
            }
        }
        Ok(())
    }
}

/// A decoded value with the tree it came from, so that a later check can still name lines.
#[derive(Clone, Debug)]
pub struct Document<T> {
    /// The value.
    pub value: T,
    /// Where everything in it stands.
    pub tree: Node,
}

impl<T> Document<T> {
    /// A mistake found in the value, placed where `path` leads (or as near to it as the file goes).
    #[must_use]
    pub fn problem(&self, path: &[Part<'_>], message: String, hint: Option<String>) -> Problem {
        let node = self.tree.nearest(path);
        Problem {
            line: node.line,
            column: node.column,
            message,
            hint,
        }
    }
}

/// What a file with mistakes still says, for those who look for more of them.
#[derive(Debug)]
pub struct Partial<T> {
    /// The value with what is wrong cut out and what is missing empty; none where nothing is left of it.
    pub document: Option<Document<T>>,
    /// Every mistake of form; empty when the document is whole.
    pub problems: Vec<Problem>,
    /// The keys of the outermost map that a mistake of form is at or below.
    pub wrong: BTreeSet<String>,
}

/// Reads a value from YAML as far as that goes.
#[must_use]
pub fn parse_partly<T: DeserializeOwned>(text: &str) -> Partial<T> {
    match node::read(text) {
        Ok(tree) => {
            let decoded = decode::decode(tree);
            Partial {
                document: decoded.value.map(|value| Document {
                    value,
                    tree: decoded.tree,
                }),
                problems: decoded.problems,
                wrong: decoded.wrong,
            }
        }
        Err(problem) => Partial {
            document: None,
            problems: vec![problem],
            wrong: BTreeSet::new(),
        },
    }
}

/// Reads a value from YAML.
///
/// # Errors
///
/// All mistakes of the file; only the first where it is not YAML at all.
pub fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<Document<T>, Problems> {
    let Partial {
        document,
        mut problems,
        ..
    } = parse_partly(text);
    match document {
        Some(document) if problems.is_empty() => Ok(document),
        _ => {
            problems.sort();
            Err(Problems {
                file: file.to_owned(),
                problems,
            })
        }
    }
}

/// The word of `known` that `word` was probably meant to be: it is alike, or one typing error away, which in a short word
/// is much of it.
#[must_use]
pub fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let is_slip = |candidate: &str| {
        candidate.chars().count() > 2 && strsim::damerau_levenshtein(word, candidate) == 1
    };
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(similarity, candidate)| *similarity > 0.8 || is_slip(candidate))
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::BTreeMap;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Sample {
        name: String,
        count: u32,
        #[serde(default)]
        labels: BTreeMap<String, String>,
        #[serde(default)]
        steps: Vec<Step>,
        #[serde(default)]
        ratio: Option<f64>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    enum Step {
        Stop,
        Wait(u64),
        Apply { name: String },
    }

    fn problems(text: &str) -> Vec<(u64, u64, String)> {
        parse::<Sample>("sample.yaml", text)
            .expect_err("the sample is wrong")
            .problems
            .into_iter()
            .map(|p| (p.line, p.column, p.message))
            .collect()
    }

    #[test]
    fn a_right_file_is_decoded() {
        let text = "name: a\ncount: 3\nratio: 0.5\nlabels: {on: \"true\", off: no}\nsteps:\n- stop\n- wait: 4\n- apply: {name: x}\n";
        let document = parse::<Sample>("sample.yaml", text).expect("the sample is right");
        assert_eq!(
            document.value,
            Sample {
                name: "a".to_owned(),
                count: 3,
                ratio: Some(0.5),
                labels: [("on", "true"), ("off", "no")]
                    .map(|(k, v)| (k.to_owned(), v.to_owned()))
                    .into(),
                steps: vec![
                    Step::Stop,
                    Step::Wait(4),
                    Step::Apply {
                        name: "x".to_owned()
                    }
                ],
            }
        );
        let problem = document.problem(
            &[
                Part::Key("steps"),
                Part::Index(2),
                Part::Key("apply"),
                Part::Key("name"),
            ],
            "bad".to_owned(),
            None,
        );
        assert_eq!((problem.line, problem.column), (8, 17));
        let near = document.problem(
            &[Part::Key("steps"), Part::Index(9)],
            "bad".to_owned(),
            None,
        );
        assert_eq!(near.line, 6);
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let found = problems(
            "name: a\ncuont: 3\nlabels: {on: true}\nsteps:\n- halt\n- wait: soon\n- apply: {}\n- stop\n",
        );
        let lines: Vec<u64> = found.iter().map(|(line, ..)| *line).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 7], "{found:#?}");
        assert!(
            found
                .iter()
                .any(|(_, _, m)| m.contains("missing field `count`"))
        );
        assert!(
            found
                .iter()
                .any(|(_, _, m)| m.contains("unknown field `cuont`"))
        );
    }

    #[test]
    fn a_missing_key_is_told_with_what_to_add() {
        let all = parse::<Sample>("sample.yaml", "name: a\n").expect_err("it has no count");
        assert_eq!(all.problems[0].missing(), Some("count"));
        let hint = all.problems[0].hint.as_deref();
        assert_eq!(hint, Some("add `count: …` to the map that begins here"));
        let other = parse::<Sample>("sample.yaml", "name: [1]\ncount: 3\n");
        let other = other.expect_err("its name is a list");
        assert_eq!(other.problems[0].missing(), None);
    }

    #[test]
    fn a_mistake_in_a_required_field_is_not_also_called_missing() {
        let found = problems("name: [1]\ncount: 3\n");
        assert_eq!(found, [(1, 7, "a list where text is expected".to_owned())]);
    }

    #[test]
    fn text_that_is_not_yaml_is_reported_with_its_place() {
        let found = problems("name: a\n  count: [\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].0 >= 1);
        assert_eq!(problems("")[0].2, "the file is empty");
    }

    #[test]
    fn what_is_whole_is_told_from_what_is_not() {
        let text = "unknown: a\ncount: 3\nlabels: {on: true}\nsteps:\n- stop\n- halt\n";
        let partial = parse_partly::<Sample>(text);
        let wrong: Vec<&str> = partial.wrong.iter().map(String::as_str).collect();
        assert_eq!(wrong, ["labels", "name", "steps", "unknown"]);
    }

    #[test]
    fn a_misspelt_word_is_suggested() {
        let all = parse::<Sample>("sample.yaml", "name: a\ncount: 1\nlables: {}\n")
            .expect_err("the sample is wrong");
        assert_eq!(
            all.problems[0].hint.as_deref(),
            Some("did you mean `labels`?")
        );
        assert!(
            all.to_string()
                .starts_with("sample.yaml:3:1: unknown field `lables`")
        );
        assert_eq!(suggestion("zzz", ["alpha"]), None);
        assert_eq!(suggestion("rnu", ["list", "run"]), Some("run"));
        assert_eq!(suggestion("x", ["a", "b1"]), None);
    }
}
