//! A mistake, and the way to its place.

use crate::document::Part;

/// One step of a path to the place of a mistake.
#[derive(Clone, Debug)]
pub(in crate::scenario::file) enum Step {
    Key(&'static str),
    Index(usize),
    Name(String),
}

impl Step {
    pub(in crate::scenario::file) fn part(&self) -> Part<'_> {
        match self {
            Self::Key(key) => Part::Key(key),
            Self::Index(index) => Part::Index(*index),
            Self::Name(name) => Part::Key(name),
        }
    }
}

/// A mistake and the way to it.
pub(in crate::scenario::file) struct Mistake {
    pub(in crate::scenario::file) path: Vec<Step>,
    /// The way to the other one, where two cannot stand beside each other.
    pub(in crate::scenario::file) other: Option<Vec<Step>>,
    pub(in crate::scenario::file) message: String,
    pub(in crate::scenario::file) hint: Option<String>,
    pub(in crate::scenario::file) about: About,
}

/// What a mistake can be seen from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::scenario::file) enum About {
    /// What stands at its place.
    Itself,
    /// Other parts of the scenario, or that there are none.
    Others,
}

impl Mistake {
    /// The way to it as text: `when[0].apply.scope`.
    pub(in crate::scenario::file) fn field(&self) -> String {
        field(&self.path)
    }

    /// What is wrong, and by its field where the other one is of two that cannot stand beside each other.
    pub(in crate::scenario::file) fn told(&self) -> String {
        self.told_with(|other| format!("`{}`", field(other)))
    }

    /// As [`Self::told`]; `place` says where the other one is.
    pub(in crate::scenario::file) fn told_with(
        &self,
        place: impl FnOnce(&[Step]) -> String,
    ) -> String {
        match &self.other {
            Some(other) => format!("{}; the other one is {}", self.message, place(other)),
            None => self.message.clone(),
        }
    }
}

fn field(path: &[Step]) -> String {
    let mut field = String::new();
    for step in path {
        match step {
            Step::Index(index) => field.push_str(&format!("[{index}]")),
            Step::Key(name) if field.is_empty() => field.push_str(name),
            Step::Key(name) => field.push_str(&format!(".{name}")),
            Step::Name(name) => field.push_str(&format!(".{name}")),
        }
    }
    field
}
