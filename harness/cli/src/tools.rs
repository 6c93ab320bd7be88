//! Programs of the distribution that a local cluster needs: found, named when missing, installed as root on an
//! apt system.

use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::output;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Programs and the Debian packages that have them.
pub(crate) const NEEDED: [(&str, &str); 3] = [
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
];

/// Folders that hold administration programs and are often not on an ordinary user's path.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Finds a program on the path or among administration programs.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    which::which(program).ok().or_else(|| {
        SYSTEM_FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(program))
            .find(|path| path.is_file())
    })
}

/// Sees to it that the tools are there: installs them where that is possible and allowed, else says which are
/// missing.
pub(crate) fn ensure(no_install: bool) -> Result<(), Failure> {
    let missing: Vec<(&str, &str)> = NEEDED
        .into_iter()
        .filter(|(program, _)| find(program).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let programs: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    let command = format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    );
    let failed = || {
        Failure::new(
            ExitCode::Environment,
            format!("find {}", programs.join(" and ")),
        )
        .hint(format!("install it: {command}"))
    };
    if no_install {
        return Err(failed().reason("--no-install forbids to install it"));
    }
    let apt = find("apt-get").filter(|_| nix::unistd::geteuid().is_root());
    let Some(apt) = apt else {
        return Err(failed());
    };
    output::say(&format!(
        "tools: {} missing; installing: {command}",
        programs.join(" and ")
    ));
    let arguments = ["install", "-y", "--no-install-recommends"];
    if run_apt(&apt, &arguments, &packages).is_err() {
        // A fresh machine has no package lists yet.
        output::say("tools: reading the package lists first: apt-get update");
        run_apt(&apt, &["update"], &[]).map_err(|reason| failed().reason(reason))?;
        run_apt(&apt, &arguments, &packages).map_err(|reason| failed().reason(reason))?;
    }
    match NEEDED
        .into_iter()
        .find(|(program, _)| find(program).is_none())
    {
        None => Ok(()),
        Some((program, package)) => Err(failed().reason(format!(
            "{package} was installed, but there is no {program}"
        ))),
    }
}

fn run_apt(apt: &Path, arguments: &[&str], packages: &[&str]) -> Result<(), String> {
    let output = Command::new(apt)
        .args(arguments)
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .output()
        .map_err(|error| format!("start apt-get: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<&str> = said.lines().rev().take(5).collect();
    let last: Vec<&str> = last.into_iter().rev().collect();
    Err(format!(
        "apt-get ended with {}\n{}",
        output.status,
        last.join("\n")
    ))
}
