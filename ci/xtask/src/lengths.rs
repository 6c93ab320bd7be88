//! The length of files: one that grows past the limit owns more than one thing.

use crate::workspace;
use anyhow::Context as _;

/// Lines a Rust file may have.
const LIMIT: usize = 400;

/// Lines a file with nothing but tests may have.
const TEST_LIMIT: usize = 800;

/// Names the files that are too long.
pub(crate) fn check() -> anyhow::Result<bool> {
    let mut short = true;
    for file in workspace::tracked("*.rs")? {
        let text = std::fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("read {}", file.display()))?;
        let lines = text.lines().count();
        let is_tests =
            file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        let limit = if is_tests { TEST_LIMIT } else { LIMIT };
        if lines > limit {
            eprintln!(
                "{} has {lines} lines; the limit is {limit}: split it",
                file.display()
            );
            short = false;
        }
        if !text.starts_with("//!") {
            eprintln!(
                "{} does not begin with `//!` and what it owns",
                file.display()
            );
            short = false;
        }
    }
    Ok(short)
}
