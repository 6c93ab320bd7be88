//! Where things are in the workspace, and Cargo as every task calls it.

use anyhow::{Context as _, bail};
use harness_images::build::forget_outer_cargo;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    folder.canonicalize().unwrap_or(folder)
}

/// Cargo, in the root.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    forget_outer_cargo(&mut command);
    command
}

/// What `cargo metadata` says of the members.
pub(crate) fn metadata() -> anyhow::Result<serde_json::Value> {
    let output = cargo()
        .args(["metadata", "--no-deps", "--format-version=1"])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("`cargo metadata` ended with {}", output.status);
    }
    serde_json::from_slice(&output.stdout).context("read what `cargo metadata` says")
}

/// Builds one program of the workspace and says where it is.
pub(crate) fn build_program(name: &str) -> anyhow::Result<PathBuf> {
    let output = cargo()
        .args([
            "build",
            "--release",
            "--workspace",
            "--message-format=json-render-diagnostics",
        ])
        .args(["--bin", name])
        .stderr(Stdio::inherit())
        .output()
        .context("start cargo")?;
    if !output.status.success() {
        bail!("`{name}` does not compile");
    }
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("Cargo built no program `{name}`"))
}

/// Files below a folder that belong to the repository, relative to the root.
pub(crate) fn tracked(pattern: &str) -> anyhow::Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(root())
        .args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "--",
            pattern,
        ])
        .stderr(Stdio::inherit())
        .output()
        .context("start git")?;
    if !output.status.success() {
        bail!("`git ls-files` ended with {}", output.status);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let files = text.lines().map(PathBuf::from);
    Ok(files.filter(|file| root().join(file).is_file()).collect())
}
