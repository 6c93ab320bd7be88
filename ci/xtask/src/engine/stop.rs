//! Ending an engine of ours with everything it started, also where it was killed or is half there.

use super::start::CONTROL_GROUP;
use super::{Engine, Place, limits};
use anyhow::{Context as _, bail};
use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Seconds in which the engine ends by itself when it is asked to.
const POLITE: u32 = 30;

/// Seconds in which processes that were killed are gone.
const KILLED: u32 = 10;

/// Ends the engine and takes away everything of it but `data`. Does nothing where nothing is.
pub(super) fn stop(place: &Place, data: &Path) -> anyhow::Result<()> {
    if place.folder.exists() {
        remove_containers();
        end_processes(place)?;
        unmount(&[&place.folder, data])?;
        limits::restore(&place.folder)?;
        fs::remove_dir_all(&place.folder)
            .with_context(|| format!("remove {}", place.folder.display()))?;
    }
    for group in control_groups()? {
        remove_control_group(&group)?;
    }
    Ok(())
}

/// The engine removes them best while it lives; what it cannot is killed afterwards.
fn remove_containers() {
    let engine = Engine::ours();
    let Ok(output) = engine
        .docker()
        .args(["ps", "--all", "--quiet"])
        .stderr(Stdio::null())
        .output()
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let containers: Vec<&str> = text.split_whitespace().collect();
    if !containers.is_empty() {
        let _ = engine
            .docker()
            .args(["rm", "--force", "--volumes"])
            .args(containers)
            .stdout(Stdio::null())
            .status();
    }
}

fn end_processes(place: &Place) -> anyhow::Result<()> {
    if let Some(process) = fs::read_to_string(place.process())
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .filter(|process| holds(*process, &place.alive()))
    {
        let _ = kill(Pid::from_raw(process), Signal::SIGTERM);
        if gone_within(POLITE, place)? {
            return Ok(());
        }
    }
    for process in processes()? {
        if holds(process, &place.alive()) {
            let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
        }
    }
    for process in members()? {
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
    }
    if !gone_within(KILLED, place)? {
        bail!(
            "processes of the container engine do not end; they hold {} open",
            place.alive().display()
        );
    }
    Ok(())
}

/// Waits until nobody holds the lock that the engine's processes inherit.
fn gone_within(seconds: u32, place: &Place) -> anyhow::Result<bool> {
    if !place.alive().exists() {
        return Ok(true);
    }
    let status = Command::new("flock")
        .args(["--wait", &seconds.to_string()])
        .arg(place.alive())
        .arg("true")
        .status()
        .context("start flock")?;
    Ok(status.success())
}

/// Whether a process has a file open.
fn holds(process: i32, file: &Path) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == file))
}

fn processes() -> anyhow::Result<Vec<i32>> {
    let entries = fs::read_dir("/proc").context("list processes")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

/// Processes in the engine's control groups.
fn members() -> anyhow::Result<BTreeSet<i32>> {
    let mut members = BTreeSet::new();
    for top in control_groups()? {
        for group in folders_below(&top) {
            let text = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            members.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()));
        }
    }
    // A process outside of our PID namespace is shown as 0, which would be ourselves.
    members.retain(|process| *process > 1);
    Ok(members)
}

/// The engine's control group in each hierarchy that has one.
fn control_groups() -> anyhow::Result<Vec<PathBuf>> {
    let groups = mounts()?
        .into_iter()
        .filter(|mount| mount.kind.starts_with("cgroup"))
        .map(|mount| mount.point.join(CONTROL_GROUP));
    Ok(groups.filter(|group| group.is_dir()).collect())
}

fn remove_control_group(top: &Path) -> anyhow::Result<()> {
    for group in folders_below(top) {
        fs::remove_dir(&group)
            .with_context(|| format!("remove the control group {}", group.display()))?;
    }
    Ok(())
}

/// A folder and all folders below it, the deepest first.
fn folders_below(top: &Path) -> Vec<PathBuf> {
    let mut folders = vec![top.to_owned()];
    let mut next = 0;
    while let Some(folder) = folders.get(next).cloned() {
        next += 1;
        let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
        folders.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(|entry| entry.path()),
        );
    }
    folders.reverse();
    folders
}

fn unmount(folders: &[&Path]) -> anyhow::Result<()> {
    let ours = |mount: &Mount| folders.iter().any(|folder| mount.point.starts_with(folder));
    // What was mounted last goes first.
    for mount in mounts()?.into_iter().filter(ours).rev() {
        umount2(&mount.point, MntFlags::MNT_DETACH)
            .with_context(|| format!("unmount {}", mount.point.display()))?;
    }
    Ok(())
}

/// A line of `mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mount {
    point: PathBuf,
    kind: String,
}

fn mounts() -> anyhow::Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("list mounts")?;
    Ok(text.lines().filter_map(mount).collect())
}

/// Paths of ours have no characters that the kernel writes as octal numbers.
fn mount(line: &str) -> Option<Mount> {
    let (front, back) = line.split_once(" - ")?;
    Some(Mount {
        point: front.split(' ').nth(4)?.into(),
        kind: back.split(' ').next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::{Mount, folders_below, mount};

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw";
        let expected = Mount {
            point: "/mnt2".into(),
            kind: "ext3".to_owned(),
        };
        assert_eq!(mount(line), Some(expected));
    }

    #[test]
    fn folders_come_before_the_ones_they_are_in() {
        let top = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(top.path().join("a/b")).unwrap();
        std::fs::write(top.path().join("a/file"), "").unwrap();
        assert_eq!(
            folders_below(top.path()),
            [
                top.path().join("a/b"),
                top.path().join("a"),
                top.path().to_owned()
            ]
        );
    }
}
