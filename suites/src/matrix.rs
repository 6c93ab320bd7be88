//! Which scenario must catch which seeded bug, by which checker and at which sidecar: `matrix.yaml` as data.

use harness_model::document::{self, Problems};
use serde::Deserialize;
use std::collections::BTreeMap;

/// Mutant → the kills that are expected of the suites.
pub type Matrix = BTreeMap<String, Vec<Kill>>;

/// One scenario that must fail, and how.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Kill {
    /// Scenario name.
    pub scenario: String,
    /// The checker that must find it failed.
    pub checker: String,
    /// The sidecar that one detail of the finding must name; `*` stands for any run of characters,
    /// `$zone1` for the first data center. Absent where the finding is not about one sidecar.
    #[serde(default)]
    pub sidecar: Option<String>,
}

impl Kill {
    /// Whether a finding's detail names a sidecar that the matrix means.
    #[must_use]
    pub fn names(&self, sidecar: Option<&str>, data_centers: &[String]) -> bool {
        let Some(pattern) = &self.sidecar else {
            return true;
        };
        let mut pattern = pattern.clone();
        for (index, name) in data_centers.iter().enumerate().rev() {
            pattern = pattern.replace(&format!("$zone{}", index + 1), name);
        }
        sidecar.is_some_and(|sidecar| is_match(&pattern, sidecar))
    }
}

fn is_match(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((head, rest)) => text.strip_prefix(head).is_some_and(|tail| {
            tail.char_indices()
                .map(|(index, _)| &tail[index..])
                .chain([""])
                .any(|tail| is_match(rest, tail))
        }),
    }
}

/// The checked-in matrix.
///
/// # Errors
///
/// Every mistake of the file.
pub fn checked_in() -> Result<Matrix, Problems> {
    let text = include_str!("../matrix.yaml");
    document::parse("suites/matrix.yaml", text).map(|document| document.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_names_sidecars() {
        let kill = |sidecar: Option<&str>| Kill {
            scenario: String::new(),
            checker: String::new(),
            sidecar: sidecar.map(str::to_owned),
        };
        let zones = ["a".to_owned(), "b".to_owned()];
        assert!(kill(None).names(None, &zones));
        assert!(!kill(Some("*")).names(None, &zones));
        assert!(kill(Some("*")).names(Some("x@a"), &zones));
        assert!(kill(Some("*@$zone2")).names(Some("x@b"), &zones));
        assert!(!kill(Some("*@$zone2")).names(Some("x@a"), &zones));
        assert!(kill(Some("x@*")).names(Some("x@b#2"), &zones));
        assert!(kill(Some("x@$zone1*")).names(Some("x@a"), &zones));
    }
}
