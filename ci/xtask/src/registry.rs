//! Debian's image registry, which tests push to. It is unpacked into `target/tools` and not installed: the package would
//! start it as a service.

use crate::system::run_apt;
use crate::tools::on_path;
use crate::workspace;
use anyhow::{Context as _, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

const PROGRAM: &str = "docker-registry";

/// The program: from the path, else from Debian's package.
///
/// # Errors
///
/// When it is on no path and cannot be obtained, or must not.
pub(crate) fn program(install: bool) -> anyhow::Result<PathBuf> {
    if let Some(program) = on_path(PROGRAM) {
        return Ok(program);
    }
    let folder = workspace::root().join("target/tools").join(PROGRAM);
    let program = folder.join("usr/bin").join(PROGRAM);
    if !program.is_file() {
        if !install || on_path("apt-get").is_none() {
            bail!("{PROGRAM} not found; put it on the path (Debian: package {PROGRAM})");
        }
        eprintln!("unpacking {PROGRAM} into {}", folder.display());
        unpack(&folder)?;
    }
    Ok(program)
}

fn unpack(folder: &Path) -> anyhow::Result<()> {
    let tools = folder.parent().context("the folder of tools")?;
    std::fs::create_dir_all(tools).with_context(|| format!("make {}", tools.display()))?;
    let download = tempfile::tempdir_in(tools).context("make a folder for a package")?;
    // As another user apt knows what was last updated.
    if crate::system::is_root() {
        run_apt(&["update", "--quiet=2"], download.path())?;
    }
    run_apt(&["download", "--quiet=2", PROGRAM], download.path())?;
    let package = std::fs::read_dir(download.path())
        .context("look at what apt downloaded")?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("apt downloaded no package")?;
    let unpacked = download.path().join("unpacked");
    let status = Command::new("dpkg")
        .arg("--extract")
        .args([&package, &unpacked])
        .status()
        .context("start dpkg")?;
    if !status.success() {
        bail!("`dpkg --extract` ended with {status}");
    }
    // Whole or not at all; another process may have been faster.
    match std::fs::rename(&unpacked, folder) {
        Err(error) if !folder.exists() => {
            Err(error).with_context(|| format!("move to {}", folder.display()))
        }
        _ => Ok(()),
    }
}
