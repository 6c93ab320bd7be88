//! Mounts of the calling process's mount namespace.

use crate::KernelError;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use std::path::{Path, PathBuf};

/// Keeps mounts made from now on out of the namespace we came from, and its later ones out of ours.
///
/// # Errors
///
/// Without `CAP_SYS_ADMIN` over the mount namespace.
pub fn make_private() -> Result<(), KernelError> {
    mount(
        None::<&str>,
        "/",
        None::<&str>,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        None::<&str>,
    )
    .map_err(|error| KernelError::new("make all mounts private", error))
}

/// Mounts a proc file system of the current PID namespace.
///
/// # Errors
///
/// In a user namespace when the `/proc` outside is partly hidden, as container runtimes do.
pub fn mount_proc(target: &Path) -> Result<(), KernelError> {
    mount(
        Some("proc"),
        target,
        Some("proc"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC,
        None::<&str>,
    )
    .map_err(|error| KernelError::new(format!("mount proc on {}", target.display()), error))
}

/// Mounts a sys file system of the current network namespace.
///
/// # Errors
///
/// In a user namespace that does not own the network namespace.
pub fn mount_sys(target: &Path) -> Result<(), KernelError> {
    mount(
        Some("sysfs"),
        target,
        Some("sysfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY,
        None::<&str>,
    )
    .map_err(|error| KernelError::new(format!("mount sysfs on {}", target.display()), error))
}

/// Mounts an empty file system in memory, with options such as `mode=755,size=64m`.
///
/// # Errors
///
/// When the target does not exist.
pub fn mount_tmpfs(target: &Path, options: &str) -> Result<(), KernelError> {
    mount(
        Some("tmpfs"),
        target,
        Some("tmpfs"),
        MsFlags::MS_NOSUID | MsFlags::MS_NODEV,
        Some(options),
    )
    .map_err(|error| KernelError::new(format!("mount tmpfs on {}", target.display()), error))
}

/// Mounts `source` on `target` as well, with everything below it.
///
/// # Errors
///
/// When one of them does not exist.
pub fn bind(source: &Path, target: &Path) -> Result<(), KernelError> {
    mount(
        Some(source),
        target,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        None::<&str>,
    )
    .map_err(|error| {
        KernelError::new(
            format!("bind {} on {}", source.display(), target.display()),
            error,
        )
    })
}

/// Makes a mount made by [`bind`] read-only.
///
/// # Errors
///
/// When `target` is not a mount.
pub fn make_read_only(target: &Path) -> Result<(), KernelError> {
    mount(
        None::<&str>,
        target,
        None::<&str>,
        MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY | flags_of(target),
        None::<&str>,
    )
    .map_err(|error| KernelError::new(format!("make {} read-only", target.display()), error))
}

/// Changes the options of a mount made by [`mount_tmpfs`], such as `size=64m`; those that are not named stay as they are.
///
/// # Errors
///
/// When `target` is not a mount, or more is in it than the new size.
pub fn remount_tmpfs(target: &Path, options: &str) -> Result<(), KernelError> {
    mount(
        None::<&str>,
        target,
        None::<&str>,
        MsFlags::MS_REMOUNT | flags_of(target),
        Some(options),
    )
    .map_err(|error| {
        let act = format!("remount {} with {options}", target.display());
        KernelError::new(act, error)
    })
}

/// The flags of a mount, as they must be named again when it is changed: those that a less privileged namespace inherits are
/// locked, and the others would be lost.
fn flags_of(target: &Path) -> MsFlags {
    use nix::sys::statvfs::{FsFlags, statvfs};
    let Ok(found) = statvfs(target) else {
        return MsFlags::empty();
    };
    let known = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let has = known
        .into_iter()
        .filter(|(has, _)| found.flags().contains(*has));
    has.map(|(_, flag)| flag).collect()
}

/// The folders of an overlay mount. Paths must not contain `,` or `:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlay {
    /// Read-only folders, the first on top.
    pub lower: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// An empty folder on the same file system as `upper`.
    pub work: PathBuf,
}

/// Mounts an overlay.
///
/// # Errors
///
/// When a folder does not exist, or the kernel allows no overlay in user namespaces (before 5.11).
pub fn mount_overlay(overlay: &Overlay, target: &Path) -> Result<(), KernelError> {
    let lower: Vec<_> = overlay
        .lower
        .iter()
        .map(|folder| folder.display().to_string())
        .collect();
    // `userxattr`: in a user namespace the kernel refuses `trusted.` attributes, which overlay uses else.
    let options = format!(
        "lowerdir={},upperdir={},workdir={},userxattr",
        lower.join(":"),
        overlay.upper.display(),
        overlay.work.display()
    );
    mount(
        Some("overlay"),
        target,
        Some("overlay"),
        MsFlags::empty(),
        Some(options.as_str()),
    )
    .map_err(|error| KernelError::new(format!("mount overlay on {}", target.display()), error))
}

/// Takes a mount out of the tree at once; it ends when nobody uses it any more.
///
/// # Errors
///
/// When `target` is not a mount.
pub fn detach(target: &Path) -> Result<(), KernelError> {
    umount2(target, MntFlags::MNT_DETACH)
        .map_err(|error| KernelError::new(format!("unmount {}", target.display()), error))
}
