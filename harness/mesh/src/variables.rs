//! The variables of a mesh definition, as the caller sets them.

use crate::MeshDefinition;

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
        let choices = self.choices.get(name);
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
        value.clone_into(known);
        Ok(())
    }

    /// The variables that can be only a few values, with the one each has: what a run tells of itself.
    #[must_use]
    pub fn chosen(&self) -> Vec<(&str, &str)> {
        let variable = |name: &String| self.variables.get_key_value(name);
        self.choices
            .keys()
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
        assert_eq!(mesh.chosen(), [("xds", "delta")]);
        assert_eq!(mesh.set_variable("certificateLifetime", "60"), Ok(()));
        let wrong = mesh.set_variable("xds", "grpc").unwrap_err();
        assert_eq!(
            wrong.to_string(),
            "`xds` cannot be `grpc`; it can be sotw, delta, mixed"
        );
        let unknown = mesh.set_variable("xsd", "delta").unwrap_err().to_string();
        assert!(unknown.contains("no variable `xsd`") && unknown.contains("xds"));
    }
}
