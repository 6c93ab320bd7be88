//! Linux capabilities by name, and dropping all but a set of them.

use super::{Act, StepError};
use crate::KernelError;
use nix::errno::Errno;
use std::io;

/// What container runtimes leave to a container unless it asks for more or less.
pub const CONTAINER_DEFAULT_CAPABILITIES: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// All names in the order of their numbers (`linux/capability.h`).
const NAMES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Version 3 of the capability structures: two 32-bit words for each set.
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Whether `name` (without `CAP_`) is a capability.
#[must_use]
pub fn is_known_capability(name: &str) -> bool {
    NAMES.contains(&name)
}

/// The set as one number; names that are not known are left out.
fn mask(kept: &[String]) -> u64 {
    NAMES
        .iter()
        .enumerate()
        .filter(|(_, name)| kept.iter().any(|kept| kept == *name))
        .fold(0, |mask, (number, _)| mask | 1 << number)
}

/// Drops every capability that is not in `kept`, from the bounding set as well.
pub(super) fn keep_only(kept: &[String]) -> Result<(), StepError> {
    let mask = mask(kept);
    for number in 0..64_u64 {
        if mask & (1 << number) != 0 {
            continue;
        }
        // SAFETY: prctl with PR_CAPBSET_DROP takes one number and touches no memory.
        let result = unsafe { libc::prctl(libc::PR_CAPBSET_DROP, number, 0, 0, 0) };
        if result != 0 {
            // The first number that the kernel does not know ends the list.
            if Errno::last() == Errno::EINVAL {
                break;
            }
            return Err(Errno::last()).act(|| "drop a capability from the bounding set".to_owned());
        }
    }
    // SAFETY: prctl with PR_CAP_AMBIENT_CLEAR_ALL touches no memory.
    unsafe {
        libc::prctl(
            libc::PR_CAP_AMBIENT,
            libc::PR_CAP_AMBIENT_CLEAR_ALL,
            0,
            0,
            0,
        )
    };
    let header = Header {
        version: CAPABILITY_VERSION_3,
        pid: 0,
    };
    let word = |shift: u32| {
        let bits = u32::try_from((mask >> shift) & 0xffff_ffff).unwrap_or(0);
        Data {
            effective: bits,
            permitted: bits,
            inheritable: 0,
        }
    };
    let data = [word(0), word(32)];
    // SAFETY: both pointers are to structures of the layout that version 3 asks for, alive during the call.
    let result = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    Errno::result(result).act(|| "set the capabilities".to_owned())?;
    Ok(())
}

/// Does something without any capability, on a thread of its own: what files say of their owner then counts for root, too.
///
/// # Errors
///
/// When the kernel does not let us drop them.
pub fn without_capabilities<T: Send>(act: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
    let dropping = "drop all capabilities";
    std::thread::scope(|scope| {
        let alone = scope.spawn(|| match keep_only(&[]) {
            Ok(()) => Ok(act()),
            Err(error) => Err(KernelError::new(dropping, io::Error::other(error))),
        });
        let ended = alone.join();
        ended.unwrap_or_else(|_| Err(KernelError::new(dropping, io::Error::other("a panic"))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_kernel() {
        assert_eq!(mask(&["CHOWN".to_owned()]), 1);
        assert_eq!(mask(&["NET_ADMIN".to_owned()]), 1 << 12);
        assert_eq!(mask(&["SYS_ADMIN".to_owned()]), 1 << 21);
        assert_eq!(mask(&["SETFCAP".to_owned()]), 1 << 31);
        assert_eq!(mask(&["CHECKPOINT_RESTORE".to_owned()]), 1 << 40);
        assert_eq!(mask(&["NONSENSE".to_owned()]), 0);
    }

    #[test]
    fn root_without_capabilities_is_bound_by_the_mode_of_its_files() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let nobody = std::os::unix::fs::PermissionsExt::from_mode(0o000);
        std::fs::set_permissions(file.path(), nobody).unwrap();
        let opened = without_capabilities(|| std::fs::File::open(file.path()).map(drop)).unwrap();
        assert_eq!(opened.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn the_default_set_has_known_names_only() {
        assert!(
            CONTAINER_DEFAULT_CAPABILITIES
                .iter()
                .all(|name| is_known_capability(name))
        );
        assert!(!CONTAINER_DEFAULT_CAPABILITIES.contains(&"NET_ADMIN"));
    }
}
