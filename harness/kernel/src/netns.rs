//! Network namespaces as handles: made without a name, entered by a thread of their own, gone with the last
//! handle and the last process in them.

use crate::KernelError;
use nix::sched::{CloneFlags, setns, unshare};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// A handle that keeps a network namespace alive.
#[derive(Debug)]
pub struct NetNs(OwnedFd);

/// `/proc/self` would name the main thread, whose namespace may be another one.
const OF_THIS_THREAD: &str = "/proc/thread-self/ns/net";

impl NetNs {
    /// Makes a new, empty network namespace, with its loopback down.
    ///
    /// # Errors
    ///
    /// Without `CAP_SYS_ADMIN` in the current user namespace.
    pub fn create() -> Result<Self, KernelError> {
        // Only the thread leaves its namespace, so it must be one that ends right after.
        on_a_thread(|| {
            unshare(CloneFlags::CLONE_NEWNET)
                .map_err(|error| KernelError::new("make a network namespace", error))?;
            Self::current()
        })
    }

    /// The network namespace of the calling thread.
    ///
    /// # Errors
    ///
    /// When `/proc` is not mounted.
    pub fn current() -> Result<Self, KernelError> {
        Self::open(Path::new(OF_THIS_THREAD))
    }

    /// The network namespace behind a path such as `/proc/PID/ns/net`.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> Result<Self, KernelError> {
        let file = File::open(path)
            .map_err(|error| KernelError::new(format!("open {}", path.display()), error))?;
        Ok(Self(file.into()))
    }

    /// Another handle to the same namespace.
    ///
    /// # Errors
    ///
    /// When there are no more file descriptors.
    pub fn try_clone(&self) -> Result<Self, KernelError> {
        let fd = self
            .0
            .try_clone()
            .map_err(|error| KernelError::new("duplicate a network namespace handle", error))?;
        Ok(Self(fd))
    }

    /// Runs `closure` on a fresh thread inside this namespace and returns its result. Sockets it opens stay in
    /// the namespace wherever they are used later.
    ///
    /// # Errors
    ///
    /// When the namespace cannot be entered.
    ///
    /// # Panics
    ///
    /// When `closure` panics.
    pub fn run_in<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> Result<T, KernelError> {
        on_a_thread(|| {
            self.enter()?;
            Ok(closure())
        })
    }

    /// Moves the calling thread, and only it, into this namespace for good. Never on a thread of an
    /// asynchronous runtime: other tasks would follow.
    ///
    /// # Errors
    ///
    /// Without `CAP_SYS_ADMIN` in the namespace's owner.
    pub fn enter(&self) -> Result<(), KernelError> {
        setns(&self.0, CloneFlags::CLONE_NEWNET)
            .map_err(|error| KernelError::new("enter a network namespace", error))
    }

    /// The inode number, the same for every handle to one namespace.
    ///
    /// # Errors
    ///
    /// When the handle is not a namespace.
    pub fn inode(&self) -> Result<u64, KernelError> {
        let stat = nix::sys::stat::fstat(&self.0)
            .map_err(|error| KernelError::new("stat a network namespace handle", error))?;
        Ok(stat.st_ino)
    }

    /// Writes a setting below `/proc/sys/net` of this namespace, for example `ipv4/ip_forward`.
    ///
    /// # Errors
    ///
    /// When there is no such setting or it refuses the value.
    pub fn set_sysctl(&self, name: &str, value: &str) -> Result<(), KernelError> {
        self.run_in(|| write_sysctl(name, value))?
    }
}

/// Writes a setting below `/proc/sys/net` of the calling thread's network namespace.
///
/// # Errors
///
/// When there is no such setting or it refuses the value.
pub fn write_sysctl(name: &str, value: &str) -> Result<(), KernelError> {
    std::fs::write(format!("/proc/sys/net/{name}"), value)
        .map_err(|error| KernelError::new(format!("set net/{name} to {value}"), error))
}

impl AsFd for NetNs {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for NetNs {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<OwnedFd> for NetNs {
    fn from(fd: OwnedFd) -> Self {
        Self(fd)
    }
}

impl From<NetNs> for OwnedFd {
    fn from(namespace: NetNs) -> Self {
        namespace.0
    }
}

fn on_a_thread<T: Send>(
    closure: impl FnOnce() -> Result<T, KernelError> + Send,
) -> Result<T, KernelError> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("netns".to_owned())
            .spawn_scoped(scope, closure)
            .map_err(|error: io::Error| KernelError::new("start a thread", error))?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
