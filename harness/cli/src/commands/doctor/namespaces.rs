//! Trying what a local cluster needs of the kernel, in namespaces of our own that end with the process.
//!
//! The program starts itself once more with `__doctor` as its first argument: a user namespace can only be
//! entered by a process with one thread, and nothing that is tried here may touch this machine.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The first argument that makes this program try namespaces and end.
const ROLE: &str = "__doctor";

/// What was tried, in order. Everything after `user-namespace` depends on it.
pub(super) const TRIED: [&str; 5] = [
    "user-namespace",
    "namespaces",
    "overlay",
    "nftables",
    "nfqueue",
];

/// If this process was started to try namespaces, does that and ends.
pub(crate) fn reexec() {
    if std::env::args().nth(1).as_deref() != Some(ROLE) {
        return;
    }
    try_all();
    #[expect(
        clippy::exit,
        reason = "a process that was started for this role alone"
    )]
    std::process::exit(0);
}

/// Tries everything; for each of [`TRIED`] that was reached, nothing or what went wrong.
pub(super) fn attempt() -> Result<Vec<(String, Option<String>)>, std::io::Error> {
    let output = Command::new("/proc/self/exe")
        .arg(ROLE)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(name, error)| {
            (
                name.to_owned(),
                (!error.is_empty()).then(|| error.to_owned()),
            )
        })
        .collect())
}

fn try_all() {
    let uid = nix::unistd::geteuid();
    let gid = nix::unistd::getegid();
    let user = unshare(CloneFlags::CLONE_NEWUSER)
        .map_err(std::io::Error::from)
        .and_then(|()| std::fs::write("/proc/self/setgroups", "deny"))
        .and_then(|()| std::fs::write("/proc/self/uid_map", format!("0 {uid} 1")))
        .and_then(|()| std::fs::write("/proc/self/gid_map", format!("0 {gid} 1")));
    if !tell(TRIED[0], user.map_err(|e| e.to_string())) {
        return;
    }
    let others = CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWIPC
        | CloneFlags::CLONE_NEWUTS;
    if !tell(TRIED[1], unshare(others).map_err(|e| e.to_string())) {
        return;
    }
    // The mount namespace is ours alone, and nothing that is mounted in it may spread.
    let private = mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    );
    tell(
        TRIED[2],
        private.map_err(|e| e.to_string()).and_then(|()| overlay()),
    );
    // The PID namespace takes effect for children, and its first one is its init: programs after it would find
    // it dead. One shell tries all three.
    let script = format!(
        "{nft} add table inet meshproof 2>&1; echo \"#$?\"; \
         {iptables} -w -t mangle -A FORWARD -j NFQUEUE --queue-num 1 --queue-bypass 2>&1; echo \"#$?\"",
        nft = program("nft"),
        iptables = program("iptables"),
    );
    let output = Command::new("/bin/sh").args(["-c", &script]).output();
    let said = output
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    let mut parts = said.split('#');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for name in [TRIED[3], TRIED[4]] {
        let rest = parts.next().unwrap_or("1\n");
        let (status, next) = rest.split_once('\n').unwrap_or((rest, ""));
        let result = if status.trim() == "0" {
            Ok(())
        } else {
            Err(first_line(&text))
        };
        tell(name, result);
        next.clone_into(&mut text);
    }
}

fn overlay() -> Result<(), String> {
    let base = Path::new("/tmp");
    let flags = MsFlags::empty();
    mount(Some("tmpfs"), base, Some("tmpfs"), flags, None::<&str>).map_err(|e| e.to_string())?;
    for name in ["lower", "upper", "work", "merged"] {
        std::fs::create_dir(base.join(name)).map_err(|e| e.to_string())?;
    }
    let options = "lowerdir=/tmp/lower,upperdir=/tmp/upper,workdir=/tmp/work";
    mount(
        Some("overlay"),
        "/tmp/merged",
        Some("overlay"),
        flags,
        Some(options),
    )
    .map_err(|e| e.to_string())
}

fn program(name: &str) -> String {
    crate::tools::find(name)
        .map(|path| path.display().to_string())
        .unwrap_or_else(|| name.to_owned())
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("no answer").to_owned()
}

/// Says how one attempt ended; true when it worked.
fn tell(name: &str, result: Result<(), String>) -> bool {
    let error = result
        .as_ref()
        .err()
        .map(String::as_str)
        .unwrap_or_default();
    // Nobody reads it any more when this fails, and then nothing is left to be said.
    let _ = writeln!(std::io::stdout(), "{name}\t{error}");
    result.is_ok()
}
