//! Starting Debian's `dockerd` beside everything else on the machine.

use super::{Place, limits};
use crate::notify;
use anyhow::{Context as _, bail};
use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Below it stands everything that the engine runs, in every hierarchy of control groups.
pub(super) const CONTROL_GROUP: &str = "meshproof-engine";

/// How long it may take; the first start makes its data folder.
const PATIENCE: Duration = Duration::from_secs(90);

/// Locks a file in a descriptor that the engine and all its children inherit, and becomes the engine.
const HOLD: &str = r#"exec 9<>"$1"; flock 9; shift; exec "$@""#;

/// Starts the engine and waits until it is ready.
pub(super) fn start(place: &Place, data: &Path) -> anyhow::Result<()> {
    let folder = &place.folder;
    fs::create_dir_all(data).with_context(|| format!("make {}", data.display()))?;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("make {}", folder.display()))?;
    limits::raise(folder)?;
    let runtime = make_runtime(folder)?;
    make_network(&place.network())?;
    let log = File::create(place.log()).context("make its log")?;
    let mut command = Command::new("sh");
    command
        .args(["-c", HOLD, "hold"])
        .arg(place.alive())
        .arg("nsenter")
        .arg(format!("--net={}", place.network().display()))
        .args(["--", "dockerd"])
        .args(["--host", &place.host()])
        .arg("--data-root")
        .arg(data)
        .arg("--exec-root")
        .arg(folder.join("exec"))
        .arg("--pidfile")
        .arg(place.process())
        .args(["--cgroup-parent", &format!("/{CONTROL_GROUP}")])
        .args(["--exec-opt", "native.cgroupdriver=cgroupfs"])
        .arg("--add-runtime")
        .arg(format!("meshproof={}", runtime.display()))
        .args(["--default-runtime", "meshproof"])
        // Settings of the machine's own engine are not for this one.
        .arg("--config-file")
        .arg(folder.join("daemon.json"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("open its log twice")?)
        .stderr(log)
        // Ctrl-C in a terminal is not for the engine.
        .process_group(0);
    fs::write(folder.join("daemon.json"), "{}").context("write its settings")?;
    if let Err(error) = notify::start(&mut command, folder, PATIENCE) {
        let log = fs::read_to_string(place.log()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let end = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(error.context(format!("start the container engine; it said:\n{end}")));
    }
    Ok(())
}

/// A copy of this program, so that the engine is not at the mercy of the next build, and a script that starts it as
/// [`runtime`](super::runtime).
fn make_runtime(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let program = folder.join("xtask");
    let own = std::env::current_exe().context("find own program")?;
    fs::copy(&own, &program).with_context(|| format!("copy {}", own.display()))?;
    let script = folder.join("runc");
    let text = format!(
        "#!/bin/sh\nexec {} runc-within-limits \"$@\"\n",
        program.display()
    );
    fs::write(&script, text).with_context(|| format!("write {}", script.display()))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("make {} executable", script.display()))?;
    Ok(script)
}

/// The engine sets the policy of FORWARD to DROP and publishes ports: neither is for the machine.
fn make_network(file: &Path) -> anyhow::Result<()> {
    File::create(file).with_context(|| format!("make {}", file.display()))?;
    let status = Command::new("unshare")
        .arg(format!("--net={}", file.display()))
        .args(["ip", "link", "set", "lo", "up"])
        .status()
        .context("start unshare")?;
    if !status.success() {
        bail!("make a network namespace: unshare ended with {status}");
    }
    Ok(())
}
