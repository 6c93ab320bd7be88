//! Checks that need no test run.

use crate::tools::Tool;
use crate::{architecture, codegen, examples, lengths, workspace};
use anyhow::Context as _;
use clap::ValueEnum;
use std::process::Command;

/// One check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Step {
    /// rustfmt
    Format,
    /// The table of ARCHITECTURE.md against Cargo
    Architecture,
    /// Long files
    Lengths,
    /// Spelling
    Typos,
    /// Licences, banned crates, sources
    Deny,
    /// Unused dependencies
    Unused,
    /// Generated files
    Codegen,
    /// Examples of pipelines
    Examples,
    /// Clippy, warnings denied
    Clippy,
    /// rustdoc with private items, warnings denied
    Documentation,
}

/// The steps that take seconds once the programs are built: they are a part of the tests too.
pub(crate) const QUICK: [Step; 7] = [
    Step::Format,
    Step::Architecture,
    Step::Lengths,
    Step::Typos,
    Step::Unused,
    Step::Codegen,
    Step::Examples,
];

/// Runs the steps (all of them when none is named), and sums up.
pub(crate) fn check(steps: &[Step]) -> anyhow::Result<bool> {
    let steps = if steps.is_empty() {
        Step::value_variants()
    } else {
        steps
    };
    let failed = failing(steps, true)?;
    if failed.is_empty() {
        println!("all checks passed");
    } else {
        println!("failed: {}", failed.join(", "));
    }
    Ok(failed.is_empty())
}

/// Runs the steps, each whatever the others said. Those that fail, by name.
///
/// # Errors
///
/// When a step cannot be run, as when its tool is missing and must not be installed.
pub(crate) fn failing(steps: &[Step], install: bool) -> anyhow::Result<Vec<String>> {
    let mut failed = Vec::new();
    for step in steps {
        let name = step
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        eprintln!("checking: {name}");
        if !run(*step, install).with_context(|| format!("check {name}"))? {
            failed.push(name);
        }
    }
    Ok(failed)
}

fn run(step: Step, install: bool) -> anyhow::Result<bool> {
    match step {
        Step::Format => succeeds(workspace::cargo().args(["fmt", "--all", "--check"])),
        Step::Architecture => architecture::check(),
        Step::Lengths => lengths::check(),
        Step::Typos => succeeds(
            Tool::Typos
                .command(install)?
                .args(["--config", "ci/typos.toml"]),
        ),
        // Advisories need a database from outside; the public pipeline checks them.
        Step::Deny => succeeds(Tool::Deny.command(install)?.args([
            "--config",
            "ci/deny.toml",
            "--all-features",
            "check",
            "bans",
            "licenses",
            "sources",
        ])),
        Step::Unused => succeeds(&mut Tool::Shear.command(install)?),
        Step::Codegen => codegen::codegen(true),
        Step::Examples => examples::check(install),
        Step::Clippy => succeeds(workspace::cargo().args([
            "clippy",
            "--release",
            "--workspace",
            "--all-targets",
            "--",
            "--deny=warnings",
        ])),
        Step::Documentation => succeeds(
            workspace::cargo()
                .args([
                    "doc",
                    "--release",
                    "--workspace",
                    "--no-deps",
                    "--document-private-items",
                ])
                .env("RUSTDOCFLAGS", "--deny=warnings"),
        ),
    }
}

fn succeeds(command: &mut Command) -> anyhow::Result<bool> {
    let status = command
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    Ok(status.success())
}
