//! The root file system of a container: overlay, pivot, /proc, /dev, /sys and the mounts that were asked for.
//!
//! Invariant: targets are resolved after the pivot, so that a symbolic link in an image cannot lead out of it; sources are
//! resolved before it, once, and mounted by their descriptors, so that a link that is put there meanwhile changes nothing.

use super::{Act, BindMount, ContainerSpec, StepError};
use crate::beneath::{self, Links};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::statvfs::{FsFlags, statvfs};
use std::fs::{self, File};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Where the old root hangs while mounts are made.
const OLD_ROOT: &str = "/.old-root";

/// Devices that are taken from the node.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty"];

const NONE: Option<&str> = None;

/// Makes the container's file system the root of this process. Must run in a mount namespace of its own and in the
/// container's PID namespace.
pub(super) fn enter(spec: &ContainerSpec) -> Result<(), StepError> {
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE)
        .act(|| "make all mounts private".to_owned())?;
    // Links in the sources are resolved while the node's root is still ours.
    let mounts = spec
        .mounts
        .iter()
        .map(|bind| Ok((bind, source_of(bind)?)))
        .collect::<Result<Vec<_>, StepError>>()?;
    let merged = overlay(spec)?;
    let old = merged.join(&OLD_ROOT[1..]);
    fs::create_dir_all(&old).act(|| "make the folder for the old root".to_owned())?;
    nix::unistd::pivot_root(&merged, &old).act(|| "pivot into the root file system".to_owned())?;
    nix::unistd::chdir("/").act(|| "enter the root file system".to_owned())?;

    make_folder(Path::new("/proc"))?;
    mount(
        Some("proc"),
        "/proc",
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        NONE,
    )
    .act(|| "mount /proc".to_owned())?;
    system_folder();
    devices()?;
    for (bind, source) in mounts {
        bind_mount(bind, source)?;
    }
    umount2(OLD_ROOT, MntFlags::MNT_DETACH).act(|| "let go of the old root".to_owned())?;
    fs::remove_dir(OLD_ROOT).act(|| "remove the folder of the old root".to_owned())?;
    make_folder(&spec.process.working_directory)?;
    if spec.read_only_root {
        mount(
            NONE,
            "/",
            NONE,
            MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY,
            NONE,
        )
        .act(|| "make the root file system read-only".to_owned())?;
    }
    Ok(())
}

fn overlay(spec: &ContainerSpec) -> Result<PathBuf, StepError> {
    let [upper, work, merged] = ["upper", "work", "merged"].map(|name| spec.scratch.join(name));
    for folder in [&upper, &work, &merged] {
        fs::create_dir_all(folder).act(|| format!("make {}", folder.display()))?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        overlay_path(&spec.rootfs),
        overlay_path(&upper),
        overlay_path(&work)
    );
    mount(
        Some("overlay"),
        &merged,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .act(|| format!("mount an overlay over {}", spec.rootfs.display()))?;
    Ok(merged)
}

/// A path as an overlay option writes it: colons and commas separate there.
fn overlay_path(path: &Path) -> String {
    path.to_string_lossy()
        .replace('\\', "\\\\")
        .replace(':', "\\:")
        .replace(',', "\\,")
}

/// /sys read-only where the kernel allows it; a container that needs it says so itself.
fn system_folder() {
    if make_folder(Path::new("/sys")).is_err() {
        return;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    if let Err(error) = mount(Some("sysfs"), "/sys", Some("sysfs"), flags, NONE) {
        tracing::debug!(%error, "no /sys in this container");
    }
}

fn devices() -> Result<(), StepError> {
    make_folder(Path::new("/dev"))?;
    mount(
        Some("tmpfs"),
        "/dev",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("mode=755,size=65536k"),
    )
    .act(|| "mount /dev".to_owned())?;
    for device in DEVICES {
        let target = Path::new("/dev").join(device);
        let source = Path::new(OLD_ROOT).join("dev").join(device);
        fs::write(&target, "").act(|| format!("make {}", target.display()))?;
        mount(Some(&source), &target, NONE, MsFlags::MS_BIND, NONE)
            .act(|| format!("bind {}", target.display()))?;
    }
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
        ("/dev/ptmx", "pts/ptmx"),
    ] {
        symlink(target, link).act(|| format!("make {link}"))?;
    }
    fs::create_dir_all("/dev/shm").act(|| "make /dev/shm".to_owned())?;
    mount(
        Some("shm"),
        "/dev/shm",
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        Some("mode=1777,size=65536k"),
    )
    .act(|| "mount /dev/shm".to_owned())?;
    fs::create_dir_all("/dev/pts").act(|| "make /dev/pts".to_owned())?;
    mount(
        Some("devpts"),
        "/dev/pts",
        Some("devpts"),
        MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC,
        Some("newinstance,ptmxmode=0666,mode=0620"),
    )
    .act(|| "mount /dev/pts".to_owned())?;
    Ok(())
}

/// What is mounted. It is in the mount namespace of this process, so that a mount of it may be made.
fn source_of(bind: &BindMount) -> Result<OwnedFd, StepError> {
    let find = || {
        let whole = beneath::open(&bind.source)?;
        let inside = beneath::find(whole, &bind.inside, Links::FromRoot)?;
        beneath::find(inside, &bind.part, Links::Stay)
    };
    find().act(|| format!("find {}", bind.name()))
}

fn bind_mount(bind: &BindMount, source: OwnedFd) -> Result<(), StepError> {
    let source = File::from(source);
    let is_folder = source
        .metadata()
        .act(|| format!("look at {}", bind.name()))?
        .is_dir();
    if is_folder {
        make_folder(&bind.target)?;
    } else if !bind.target.exists() {
        if let Some(parent) = bind.target.parent() {
            make_folder(parent)?;
        }
        fs::write(&bind.target, "").act(|| format!("make {}", bind.target.display()))?;
    }
    let act = || format!("mount {} at {}", bind.name(), bind.target.display());
    // A link of /proc is followed to what is open, whatever its name is by now.
    mount(
        Some(format!("/proc/self/fd/{}", source.as_raw_fd()).as_str()),
        &bind.target,
        NONE,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NONE,
    )
    .act(act)?;
    if bind.read_only {
        // In a user namespace the flags that the mount has already may not be taken away.
        let mut flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        if let Ok(present) = statvfs(&bind.target) {
            for (has, keep) in [
                (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
                (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
                (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
                (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
            ] {
                if present.flags().contains(has) {
                    flags |= keep;
                }
            }
        }
        mount(NONE, &bind.target, NONE, flags, NONE).act(act)?;
    }
    Ok(())
}

fn make_folder(path: &Path) -> Result<(), StepError> {
    let mut made = fs::create_dir_all(path);
    if made.is_err() {
        // Images have links such as /var/run to folders that only a running system has.
        for part in path
            .ancestors()
            .filter(|part| part.is_symlink() && !part.exists())
        {
            if let (Ok(target), Some(parent)) = (fs::read_link(part), part.parent()) {
                make_folder(&parent.join(target))?;
            }
        }
        made = fs::create_dir_all(path);
    }
    made.act(|| format!("make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_in_overlay_paths_are_escaped() {
        assert_eq!(overlay_path(Path::new("/a:b/c,d")), "/a\\:b/c\\,d");
    }
}
