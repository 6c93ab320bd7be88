//! Distribution packages that runs and tests need.

use crate::tools::on_path;
use anyhow::{Context as _, bail};
use std::path::Path;
use std::process::Command;

/// Programs and the Debian packages that bring them.
const NEEDED: [(&str, &str); 4] = [
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("unshare", "util-linux"),
];

/// Makes sure that the needed programs are there: as root where apt is, they are installed, and it is said so.
pub(crate) fn require(install: bool) -> anyhow::Result<()> {
    let missing: Vec<(&str, &str)> = NEEDED
        .into_iter()
        .filter(|(program, _)| !is_there(program))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let packages_line = packages.join(" ");
    if !install || on_path("apt-get").is_none() || !is_root() {
        bail!(
            "{} not found; install as root: apt-get install {packages_line}",
            programs.join(", ")
        );
    }
    eprintln!("installing Debian packages: {packages_line}");
    for arguments in [
        vec!["update", "--quiet=2"],
        [
            vec!["install", "--yes", "--quiet=2", "--no-install-recommends"],
            packages,
        ]
        .concat(),
    ] {
        let status = Command::new("apt-get")
            .args(&arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("start apt-get")?;
        if !status.success() {
            bail!("`apt-get {}` ended with {status}", arguments.join(" "));
        }
    }
    Ok(())
}

/// The path of an ordinary user lacks the folders of administration programs.
fn is_there(program: &str) -> bool {
    on_path(program).is_some()
        || ["/usr/sbin", "/sbin", "/usr/local/sbin"]
            .iter()
            .any(|folder| Path::new(folder).join(program).is_file())
}

/// Whether this process may do everything.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
