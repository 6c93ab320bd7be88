//! The variables of a mesh definition, as the caller sets them.

use crate::MeshDefinition;
use serde::Deserialize;

/// What a variable can be that is a whole number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NumberForm {
    /// What it counts, for people: `seconds`.
    pub of: String,
    /// The least that it can be.
    pub least: u64,
    /// The most that it can be.
    pub most: u64,
}

impl NumberForm {
    pub(crate) fn accepts(&self, value: &str) -> bool {
        // Others than we may not take `+20` or `020`.
        let number = value.parse::<u64>().ok();
        number.is_some_and(|number| {
            (self.least..=self.most).contains(&number) && number.to_string() == value
        })
    }
}

impl std::fmt::Display for NumberForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { of, least, most } = self;
        write!(f, "a whole number of {of} from {least} to {most}")
    }
}

/// A variable cannot be set.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SetVariableError {
    /// There is none of this name.
    #[error("the mesh has no variable `{name}`; it has {}", listed(.known))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// It cannot have this value.
    #[error("`{name}` cannot be `{value}`; it can be {}", .choices.join(", "))]
    NoChoice {
        /// The variable.
        name: String,
        /// What was asked for.
        value: String,
        /// What it can be.
        choices: Vec<String>,
    },
    /// It is a number, and this is none that it can be.
    #[error("`{name}` cannot be `{value}`; it can be {form}")]
    NoNumber {
        /// The variable.
        name: String,
        /// What was asked for.
        value: String,
        /// What it can be.
        form: NumberForm,
    },
}

fn listed(known: &[String]) -> String {
    match known {
        [] => "none".to_owned(),
        known => known.join(", "),
    }
}

impl MeshDefinition {
    /// Gives a variable another value.
    ///
    /// # Errors
    ///
    /// When there is no such variable, or it cannot have this value.
    pub fn set_variable(&mut self, name: &str, value: &str) -> Result<(), SetVariableError> {
        let (choices, number) = (self.choices.get(name), self.numbers.get(name));
        let Some(known) = self.variables.get_mut(name) else {
            return Err(SetVariableError::Unknown {
                name: name.to_owned(),
                known: self.variables.keys().cloned().collect(),
            });
        };
        if let Some(choices) = choices.filter(|choices| choices.iter().all(|one| one != value)) {
            return Err(SetVariableError::NoChoice {
                name: name.to_owned(),
                value: value.to_owned(),
                choices: choices.clone(),
            });
        }
        if let Some(form) = number.filter(|form| !form.accepts(value)) {
            return Err(SetVariableError::NoNumber {
                name: name.to_owned(),
                value: value.to_owned(),
                form: form.clone(),
            });
        }
        value.clone_into(known);
        Ok(())
    }

    /// The variables of which it is said what they can be, with the value of each: what a run tells of itself.
    #[must_use]
    pub fn chosen(&self) -> Vec<(&str, &str)> {
        let variable = |name: &String| self.variables.get_key_value(name);
        let known = self.choices.keys().chain(self.numbers.keys());
        known
            .filter_map(variable)
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_there_is_can_be_set_to_what_it_can_be() {
        let mut mesh = MeshDefinition::load("reference").expect("it is shipped");
        assert_eq!(mesh.set_variable("xds", "delta"), Ok(()));
        assert_eq!(
            mesh.chosen(),
            [("xds", "delta"), ("certificateLifetime", "20")]
        );
        let wrong = mesh.set_variable("xds", "grpc").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "`xds` cannot be `grpc`; it can be sotw, delta, mixed"
        );
        let unknown = mesh.set_variable("xsd", "delta").unwrap_err().to_string();
        assert!(unknown.contains("no variable `xsd`") && unknown.contains("xds"));
    }

    #[test]
    fn a_number_is_one_within_its_bounds() {
        let mut mesh = MeshDefinition::load("reference").expect("it is shipped");
        for right in ["2", "60", "86400"] {
            assert_eq!(mesh.set_variable("certificateLifetime", right), Ok(()));
            assert_eq!(mesh.variables["certificateLifetime"], right);
        }
        for wrong in [
            "abc", "60s", "1.5", "-5", "", " 60", "+60", "060", "1", "86401",
        ] {
            let told = mesh.set_variable("certificateLifetime", wrong);
            assert_eq!(
                told.unwrap_err().to_string(),
                format!(
                    "`certificateLifetime` cannot be `{wrong}`; it can be a whole number of seconds from 2 to 86400"
                )
            );
        }
        assert_eq!(mesh.variables["certificateLifetime"], "86400");
    }
}
