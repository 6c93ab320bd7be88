//! The archive used as on another machine: an empty folder, another home, no variables, nothing on the path but what the
//! system has.

use super::CHECKSUMS;
use crate::images;
use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

/// Where the system has its programs.
const SYSTEM_PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A scenario that takes seconds.
const SCENARIO: &str = "delivery-scope/data-center";

/// Unpacks the archive, checks its checksums and runs a scenario. The programs of the cluster are given by `--assets`.
///
/// # Errors
///
/// When anything of that fails.
pub(super) fn attempt(archive: &Path, name: &str) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make an empty folder")?;
    let home = folder.path().join("home");
    let assets = folder.path().join("assets");
    fs::create_dir_all(&home).context("make another home")?;
    link_assets(&assets)?;
    let packed = File::open(archive).with_context(|| format!("open {}", archive.display()))?;
    tar::Archive::new(flate2::read::GzDecoder::new(packed))
        .unpack(folder.path())
        .context("unpack the archive")?;
    let unpacked = folder.path().join(name);
    run(
        "check the checksums",
        Command::new("sha256sum").args(["--check", "--quiet", CHECKSUMS]),
        &unpacked,
        &home,
    )?;
    run(
        "run a scenario",
        Command::new(unpacked.join("meshproof"))
            .args(["run", SCENARIO, "--offline", "--assets"])
            .arg(&assets),
        folder.path(),
        &home,
    )?;
    println!("the archive works: {SCENARIO} passed");
    Ok(())
}

fn run(what: &str, command: &mut Command, folder: &Path, home: &Path) -> anyhow::Result<()> {
    let status = command
        .env_clear()
        .env("PATH", SYSTEM_PATH)
        .env("HOME", home)
        .current_dir(folder)
        .status()
        .with_context(|| format!("start {:?}", command.get_program()))?;
    if !status.success() {
        bail!("{what}: {status}");
    }
    Ok(())
}

fn link_assets(folder: &Path) -> anyhow::Result<()> {
    let assets = images::assets()?;
    fs::create_dir_all(folder).context("make a folder of assets")?;
    for (name, program) in [
        ("etcd", assets.etcd),
        ("kube-apiserver", assets.kube_apiserver),
        ("kube-controller-manager", assets.kube_controller_manager),
        ("kube-scheduler", assets.kube_scheduler),
        ("envoy", assets.envoy),
    ] {
        symlink(&program, folder.join(name))
            .with_context(|| format!("link {}", program.display()))?;
    }
    Ok(())
}
