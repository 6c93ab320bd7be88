//! Which scenario must catch which seeded bug, by which checker and at which sidecar: `matrix.yaml` as data; and what each
//! bug is, `mutants.yaml`.

use harness_model::checker;
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
    /// The checker that must find it failed; or [`checker::PRIVATE_KEYS`].
    pub checker: String,
    /// The sidecar that one detail of the finding must name; `*` stands for any run of characters,
    /// `$zone1` for the first data center. Absent where the finding is not about one sidecar.
    #[serde(default)]
    pub sidecar: Option<String>,
}

impl Kill {
    /// Not the scenario must fail, but the search for private keys that follows it must find one.
    #[must_use]
    pub fn is_by_search(&self) -> bool {
        self.checker == checker::PRIVATE_KEYS
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

/// Whether a mutant must be there from a mesh's beginning and leaves one that nothing works with: a key service that loses its
/// keys.
#[must_use]
pub fn needs_own_mesh(mutant: &str) -> bool {
    mutant.starts_with("keys-")
}

/// Mutant → what it does wrong, in one sentence.
///
/// # Errors
///
/// Every mistake of the file.
pub fn sentences() -> Result<BTreeMap<String, String>, Problems> {
    let text = include_str!("../mutants.yaml");
    document::parse("suites/mutants.yaml", text).map(|document| document.value)
}
