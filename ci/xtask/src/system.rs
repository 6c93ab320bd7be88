//! What runs and tests need of the machine: distribution packages and rights.

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

/// What a token for tests needs: SoftHSM, and OpenSC to ask it.
const NEEDED_FOR_A_TOKEN: [(&str, &str); 2] =
    [("softhsm2-util", "softhsm2"), ("pkcs11-tool", "opensc")];

/// This machine cannot do something, which is no fault of the repository: what needs it is skipped, with the reason.
#[derive(Debug)]
pub(crate) struct CannotHere {
    reason: String,
}

impl CannotHere {
    /// As an error that can be told from others by `downcast_ref`.
    pub(crate) fn because(reason: String) -> anyhow::Error {
        anyhow::Error::new(Self { reason })
    }
}

impl std::fmt::Display for CannotHere {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.reason)
    }
}

impl std::error::Error for CannotHere {}

/// Makes sure that the programs are there that everything needs.
pub(crate) fn require(install: bool) -> anyhow::Result<()> {
    require_programs(&NEEDED, install)
}

/// Makes sure that there can be a PKCS #11 token for tests.
///
/// # Errors
///
/// [`CannotHere`] when its programs are not there and cannot be installed.
pub(crate) fn require_token(install: bool) -> anyhow::Result<()> {
    require_programs(&NEEDED_FOR_A_TOKEN, install)
        .map_err(|error| CannotHere::because(format!("there is no PKCS #11 token, and {error:#}")))
}

/// Makes sure that programs are there: as root where apt is, their packages are installed, and it is said so.
pub(crate) fn require_programs(needed: &[(&str, &str)], install: bool) -> anyhow::Result<()> {
    let missing: Vec<&(&str, &str)> = needed
        .iter()
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
        run_apt(&arguments, Path::new("/"))?;
    }
    Ok(())
}

/// Runs `apt-get` in a folder.
pub(crate) fn run_apt(arguments: &[&str], folder: &Path) -> anyhow::Result<()> {
    let status = Command::new("apt-get")
        .args(arguments)
        .current_dir(folder)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .status()
        .context("start apt-get")?;
    if !status.success() {
        bail!("`apt-get {}` ended with {status}", arguments.join(" "));
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

/// Makes sure that this process may mount, make device nodes, network namespaces and control groups.
pub(crate) fn require_rights(act: &str) -> anyhow::Result<()> {
    /// With their numbers in `linux/capability.h`.
    const CAPABILITIES: [(&str, u32); 4] = [
        ("CAP_NET_ADMIN", 12),
        ("CAP_SYS_CHROOT", 18),
        ("CAP_SYS_ADMIN", 21),
        ("CAP_MKNOD", 27),
    ];
    if !is_root() {
        return Err(CannotHere::because(format!("only root can {act} here")));
    }
    let status = std::fs::read_to_string("/proc/self/status").context("read own status")?;
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|value| u64::from_str_radix(value.trim(), 16).ok())
        .context("find the capabilities in own status")?;
    let missing: Vec<&str> = CAPABILITIES
        .into_iter()
        .filter(|(_, number)| effective & (1 << number) == 0)
        .map(|(name, _)| name)
        .collect();
    if !missing.is_empty() {
        return Err(CannotHere::because(format!(
            "root cannot {act} here: it lacks {}",
            missing.join(", ")
        )));
    }
    Ok(())
}
