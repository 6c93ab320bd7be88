//! Which container engine a cluster was made with. Any other one answers that there is no such cluster, and would be
//! believed.

use super::engine::CHOICE;
use crate::ClusterError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// A container engine, as it was told from others when a cluster was made with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// Its command-line program.
    pub(super) program: String,
    /// Where it was asked, when the environment said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    /// What it says of itself that no other one says, where it says that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
}

impl Identity {
    /// The variable that says where an engine is asked.
    pub(super) fn variable(program: &str) -> &'static str {
        match program {
            "docker" => "DOCKER_HOST",
            "podman" => "CONTAINER_HOST",
            _ => "CONTAINERD_ADDRESS",
        }
    }

    /// What of `<program> info`, as a template, no other engine says. Podman has no name for itself, only a place.
    pub(super) fn told_by(program: &str) -> &'static str {
        match program {
            "podman" => "{{.Store.GraphRoot}}",
            _ => "{{.ID}}",
        }
    }

    /// Whether both are one engine: its own word counts for more than where it was asked.
    fn is(&self, other: &Self) -> bool {
        self.program == other.program
            && match (&self.id, &other.id) {
                (Some(one), Some(other)) => one == other,
                _ => self.address == other.address,
            }
    }

    /// That the cluster of `folder` was made with this engine, when it is now `other` that is asked.
    ///
    /// # Errors
    ///
    /// When it is another one.
    pub(super) fn must_be(&self, other: &Self, folder: &Path) -> Result<(), ClusterError> {
        if self.is(other) {
            return Ok(());
        }
        let variable = Self::variable(&self.program);
        let address = match &self.address {
            Some(address) => format!("{variable}={address}"),
            None => format!("without {variable}"),
        };
        Err(ClusterError::because(
            "find the nodes of the kind cluster",
            format!("it was made with {self}, and the engine is now {other}"),
        )
        .hint(format!(
            "run this again with {CHOICE}={} and {address}; when that engine is gone for good: rm -r {}",
            self.program,
            folder.display()
        )))
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            program,
            address,
            id,
        } = self;
        match address {
            Some(address) => write!(f, "{program} at {address}")?,
            None => write!(f, "{program} at its default address")?,
        }
        match id {
            Some(id) => write!(f, " ({id})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn docker(address: Option<&str>, id: Option<&str>) -> Identity {
        Identity {
            program: "docker".to_owned(),
            address: address.map(str::to_owned),
            id: id.map(str::to_owned),
        }
    }

    #[test]
    fn an_engine_is_told_by_what_it_says_of_itself_and_else_by_its_address() {
        let made = docker(Some("unix:///a.sock"), Some("one"));
        assert!(made.is(&docker(None, Some("one"))), "another way to it");
        assert!(!made.is(&docker(Some("unix:///a.sock"), Some("two"))));
        assert!(made.is(&docker(Some("unix:///a.sock"), None)));
        assert!(!made.is(&docker(None, None)));
        let podman = Identity {
            program: "podman".to_owned(),
            ..made.clone()
        };
        assert!(!made.is(&podman));
    }

    #[test]
    fn another_engine_is_refused_with_the_way_to_the_right_one() {
        let made = docker(Some("unix:///a.sock"), Some("one"));
        let now = docker(None, Some("two"));
        let folder = Path::new("/cache/kind/dev");
        let error = made.must_be(&now, folder).unwrap_err();
        let why = error.source.unwrap().to_string();
        assert!(
            why.contains("docker at unix:///a.sock (one)")
                && why.contains("now docker at its default address (two)"),
            "{why}"
        );
        let hint = error.hint.unwrap();
        assert!(
            hint.contains("KIND_EXPERIMENTAL_PROVIDER=docker and DOCKER_HOST=unix:///a.sock")
                && hint.contains("rm -r /cache/kind/dev"),
            "{hint}"
        );
        let hint = now.must_be(&made, folder).unwrap_err().hint.unwrap();
        assert!(hint.contains("without DOCKER_HOST"), "{hint}");
    }
}
