//! The examples of pipelines in `ci/examples`, against the schemas that GitHub and GitLab publish, and that for GitHub by a linter
//! of workflows.
//!
//! That their `meshproof` commands are right is a test of `harness-cli`.

use crate::tools::Tool;
use anyhow::Context as _;

/// Each file with the built-in schema of check-jsonschema, and how it is read.
const FILES: [(&str, &[&str]); 2] = [
    (WORKFLOW, &["--builtin-schema", "vendor.github-workflows"]),
    (
        "ci/examples/gitlab-ci.yml",
        &[
            "--builtin-schema",
            "vendor.gitlab-ci",
            "--data-transform",
            "gitlab-ci",
        ],
    ),
];

/// That for GitHub Actions, which has a linter, too.
const WORKFLOW: &str = "ci/examples/github-actions.yml";

/// Checks each of them.
///
/// # Errors
///
/// When a tool cannot be started.
pub(crate) fn check(install: bool) -> anyhow::Result<bool> {
    let mut right = true;
    for (file, arguments) in FILES {
        let status = Tool::Schema
            .command(install)?
            .args(arguments)
            .args(["--quiet", file])
            .status()
            .context("start check-jsonschema")?;
        right &= status.success();
    }
    let status = Tool::Workflows
        .command(install)?
        .args(["--offline", "--quiet", "--no-progress"])
        .args(["--config", "ci/zizmor.yml", WORKFLOW])
        .status()
        .context("start zizmor")?;
    right &= status.success();
    Ok(right)
}
