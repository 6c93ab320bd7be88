//! Why decoding stopped, and where.

use crate::document::node::{Kind, Node};
use crate::document::{MISSING, Problem, library, suggestion, to_add};
use serde::de::{Expected, Unexpected};
use std::fmt;

/// Why decoding stopped, and where: the indices of children from the root on.
#[derive(Debug)]
pub(super) struct Mistake {
    pub(super) path: Vec<usize>,
    /// It is about the key at the end of the path, not about its value.
    pub(super) at_key: bool,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    pub(super) missing: Missing,
}

/// What a mistake says is not there.
#[derive(Debug, PartialEq)]
pub(super) enum Missing {
    Nothing,
    Field(&'static str),
    /// All of it: it was cut off before.
    Everything,
}

impl Mistake {
    pub(super) fn below(mut self, index: usize) -> Self {
        self.path.insert(0, index);
        self
    }

    pub(super) fn problem(&self, tree: &Node) -> Option<Problem> {
        let mut node = tree;
        let mut place = (tree.line, tree.column);
        for (depth, index) in self.path.iter().enumerate() {
            match &node.kind {
                Kind::List(nodes) => {
                    node = nodes.get(*index)?;
                    place = (node.line, node.column);
                }
                Kind::Map(entries) => {
                    let entry = entries.get(*index)?;
                    node = &entry.value;
                    place = if self.at_key && depth + 1 == self.path.len() {
                        (entry.line, entry.column)
                    } else {
                        (node.line, node.column)
                    };
                }
                _ => return None,
            }
        }
        // What was cut off or put in was reported already; that it is missing or wrong now is no news.
        let is_known = node.is_missing()
            || match self.missing {
                Missing::Nothing => false,
                Missing::Field(field) => node.cut.iter().any(|key| key == field),
                Missing::Everything => true,
            };
        if is_known {
            return None;
        }
        Some(Problem {
            line: place.0,
            column: place.1,
            message: self.message.clone(),
            hint: self.hint.clone(),
        })
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Mistake {}

impl serde::de::Error for Mistake {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            at_key: false,
            message: message.to_string(),
            hint: None,
            missing: Missing::Nothing,
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::custom(format!(
            "{} where {} is expected",
            told(found),
            wanted(expected)
        ))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(found, expected)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::custom(format!(
            "{length} elements where {} is expected",
            wanted(expected)
        ))
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::custom(format!("field `{field}` twice"))
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            missing: Missing::Field(field),
            hint: Some(to_add(&format!("{field}: …"))),
            ..Self::custom(format!("{MISSING}{field}`"))
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self {
            hint: hint(field, expected),
            ..Self::custom(format!("unknown field `{field}`"))
        }
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self {
            hint: hint(variant, expected),
            ..Self::custom(format!("unknown word `{variant}`"))
        }
    }
}

/// What stands in the file, in our words.
fn told(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => format!("`{value}`"),
        Unexpected::Unsigned(number) => format!("the number `{number}`"),
        Unexpected::Signed(number) => format!("the number `{number}`"),
        Unexpected::Float(number) => format!("the number `{number}`"),
        Unexpected::Str(text) => format!("`{text}`"),
        Unexpected::Unit => "nothing".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "a map".to_owned(),
        other => other.to_string(),
    }
}

/// What should stand there.
fn wanted(expected: &dyn Expected) -> String {
    library::wanted(&expected.to_string())
}

pub(super) fn hint(word: &str, expected: &'static [&'static str]) -> Option<String> {
    if let Some(meant) = suggestion(word, expected.iter().copied()) {
        return Some(format!("did you mean `{meant}`?"));
    }
    if expected.is_empty() {
        return None;
    }
    Some(format!("known here: {}", expected.join(", ")))
}
