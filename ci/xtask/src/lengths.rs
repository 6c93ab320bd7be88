//! The length of files: one that grows past the limit owns more than one thing.

use crate::workspace;
use anyhow::Context as _;

/// Lines a Rust file may have without a reason.
const LIMIT: usize = 400;

/// Lines a file may have that gives one (a line that begins with [`REASON`]), or that has nothing but tests.
const LONG_LIMIT: usize = 800;

/// What a reason begins with.
const REASON: &str = "//! Long because ";

/// Names the files that are too long.
pub(crate) fn check() -> anyhow::Result<bool> {
    let mut short = true;
    for file in workspace::tracked("*.rs")? {
        let text = std::fs::read_to_string(workspace::root().join(&file))
            .with_context(|| format!("read {}", file.display()))?;
        let lines = text.lines().count();
        let is_tests =
            file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
        let has_reason = text.lines().any(|line| line.starts_with(REASON));
        let limit = if is_tests || has_reason {
            LONG_LIMIT
        } else {
            LIMIT
        };
        if lines > limit {
            eprintln!(
                "{} has {lines} lines; the limit is {limit}: split it (up to {LONG_LIMIT} a line `{REASON}...` may say why not)",
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
