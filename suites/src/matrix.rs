//! Which scenario must catch which seeded bug, by which checker and at which sidecar: `matrix.yaml` as data; and what each
//! bug is, `mutants.yaml`.

use harness_model::document::{self, Problems};
use harness_model::kill::Kill;
use std::collections::BTreeMap;

/// Mutant → the kills that are expected of the suites.
pub type Matrix = BTreeMap<String, Vec<Kill>>;

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
