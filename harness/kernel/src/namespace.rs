//! Processes started in new namespaces, and handles to them that cannot be confused with another process.
//!
//! Invariant: between `clone3` and `execve` the child only makes system calls on what was prepared before, so
//! that it is sound to start it from a process with threads.

mod child;

pub use child::Child;
pub use nix::sched::CloneFlags;

use crate::netns::NetNs;
use nix::fcntl::{FcntlArg, fcntl};
use std::ffi::{CString, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

/// A process to be started.
#[derive(Debug)]
pub struct Spawn {
    /// The program; [`Spawn::again`] starts ours once more.
    pub program: PathBuf,
    /// Its arguments, the name it is shown by first.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Namespaces it is the first process of. With `CLONE_NEWUSER` our one user and group become 0 in it,
    /// which needs no privilege.
    pub namespaces: CloneFlags,
    /// The network namespace it joins.
    pub network: Option<NetNs>,
    /// Its open files: number there (below 200) and what it is here. Numbers 0 to 2 not named are `/dev/null`.
    pub descriptors: Vec<(RawFd, OwnedFd)>,
    /// Gets a session of its own, so that Ctrl-C in our terminal does not reach it.
    pub new_session: bool,
    /// Is killed when the *thread* that started it ends: only for threads that live as long as the process.
    pub dies_with_thread: bool,
}

/// A process could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// An argument contains a zero byte.
    #[error("an argument contains a zero byte")]
    ZeroByte,
    /// File descriptors could not be prepared.
    #[error("prepare file descriptors")]
    Descriptors(#[source] io::Error),
    /// The kernel refused the process or its namespaces.
    #[error("create a process in new namespaces")]
    Clone(#[source] io::Error),
    /// The kernel refused to make us root of the new user namespace.
    #[error("map user and group into a new user namespace")]
    Map(#[source] io::Error),
    /// The network namespace could not be entered.
    #[error("enter a network namespace")]
    Network(#[source] io::Error),
    /// The program could not be executed.
    #[error("execute `{program}`")]
    Execute {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl SpawnError {
    /// Whether this is how a kernel (or AppArmor, or seccomp) looks that forbids user namespaces.
    #[must_use]
    pub fn forbids_user_namespaces(&self) -> bool {
        match self {
            Self::Clone(error) | Self::Map(error) => matches!(
                error.raw_os_error(),
                Some(
                    libc::EPERM
                        | libc::EACCES
                        | libc::ENOSPC
                        | libc::EINVAL
                        | libc::ENOSYS
                        | libc::EUSERS
                )
            ),
            _ => false,
        }
    }
}

/// The first number of the copies that the child takes its descriptors from, above every target.
const COPIES: RawFd = 200;

impl Spawn {
    /// Our own executable once more, with our environment, shown as `arguments[0]`.
    #[must_use]
    pub fn again(arguments: Vec<OsString>) -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments,
            environment: std::env::vars_os().collect(),
            namespaces: CloneFlags::empty(),
            network: None,
            descriptors: Vec::new(),
            new_session: false,
            dies_with_thread: false,
        }
    }

    /// Starts it and returns when it executes its program.
    ///
    /// # Errors
    ///
    /// When any step up to the execution fails; no process is left then.
    pub fn start(self) -> Result<Child, SpawnError> {
        let prepared = Prepared::new(&self)?;
        let (mut failure_read, failure_write) = io::pipe().map_err(SpawnError::Descriptors)?;
        // Above the targets, or a target could be put over it; the original must not stay open here.
        let failure_write = {
            let original = failure_write;
            copy_above(original.as_raw_fd())?
        };

        let mut pidfd: RawFd = -1;
        // SAFETY: all-zero is a valid `clone_args`: every field is an integer.
        let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
        arguments.flags = (libc::CLONE_PIDFD as u64) | (self.namespaces.bits() as u32 as u64);
        arguments.pidfd = ptr::from_mut(&mut pidfd) as u64;
        arguments.exit_signal = libc::SIGCHLD as u64;

        let signals = BlockedSignals::block();
        // SAFETY: without `CLONE_VM` this is a fork: parent and child have their own memory from here on.
        // `arguments` and `pidfd` outlive the call, and the size is that of the struct.
        let pid = unsafe {
            libc::syscall(
                libc::SYS_clone3,
                ptr::from_mut(&mut arguments),
                size_of::<libc::clone_args>(),
            )
        };
        if pid == 0 {
            // SAFETY: we are the only thread of the child, and `run` keeps to async-signal-safe calls.
            unsafe { prepared.run(failure_write.as_raw_fd(), &signals) }
        }
        drop(signals);
        if pid < 0 {
            return Err(SpawnError::Clone(io::Error::last_os_error()));
        }
        drop(failure_write);
        // SAFETY: the kernel has just made this descriptor for us (`CLONE_PIDFD`).
        let child = Child::new(pid as i32, unsafe { OwnedFd::from_raw_fd(pidfd) });

        // The pipe closes when the program is executed; before that, the child says where it failed.
        let mut failure = Vec::new();
        failure_read
            .read_to_end(&mut failure)
            .map_err(SpawnError::Descriptors)?;
        let Some((&stage, number)) = failure.split_first() else {
            return Ok(child);
        };
        let _ = child.wait_blocking();
        let number = number.try_into().map_or(libc::EIO, i32::from_ne_bytes);
        let source = io::Error::from_raw_os_error(number);
        Err(match stage {
            MAP => SpawnError::Map(source),
            NETWORK => SpawnError::Network(source),
            DESCRIPTORS => SpawnError::Descriptors(source),
            _ => SpawnError::Execute {
                program: self.program.display().to_string(),
                source,
            },
        })
    }
}

const MAP: u8 = 1;
const NETWORK: u8 = 2;
const DESCRIPTORS: u8 = 3;
const EXECUTE: u8 = 4;

/// Everything the child needs, allocated before it exists.
struct Prepared {
    program: CString,
    _arguments: Vec<CString>,
    argument_pointers: Vec<*const libc::c_char>,
    _environment: Vec<CString>,
    environment_pointers: Vec<*const libc::c_char>,
    user_map: Option<(CString, CString)>,
    network: Option<OwnedFd>,
    descriptors: Vec<(RawFd, OwnedFd)>,
    new_session: bool,
    dies_with_thread: bool,
}

impl Prepared {
    fn new(spawn: &Spawn) -> Result<Self, SpawnError> {
        let text = |bytes: &[u8]| CString::new(bytes).map_err(|_| SpawnError::ZeroByte);
        let arguments = spawn
            .arguments
            .iter()
            .map(|argument| text(argument.as_bytes()))
            .collect::<Result<Vec<_>, _>>()?;
        let environment = spawn
            .environment
            .iter()
            .map(|(name, value)| text(&[name.as_bytes(), b"=", value.as_bytes()].concat()))
            .collect::<Result<Vec<_>, _>>()?;
        let user_map = if spawn.namespaces.contains(CloneFlags::CLONE_NEWUSER) {
            let user = nix::unistd::geteuid();
            let group = nix::unistd::getegid();
            Some((
                text(format!("0 {user} 1").as_bytes())?,
                text(format!("0 {group} 1").as_bytes())?,
            ))
        } else {
            None
        };
        let mut descriptors = Vec::new();
        for (target, fd) in &spawn.descriptors {
            descriptors.push((*target, copy_above(fd.as_raw_fd())?));
        }
        for standard in 0..=2 {
            if !descriptors.iter().any(|(target, _)| *target == standard) {
                let null = std::fs::OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open("/dev/null")
                    .map_err(SpawnError::Descriptors)?;
                descriptors.push((standard, copy_above(null.as_raw_fd())?));
            }
        }
        let network = match &spawn.network {
            Some(network) => Some(copy_above(network.as_raw_fd())?),
            None => None,
        };
        Ok(Self {
            program: text(spawn.program.as_os_str().as_bytes())?,
            argument_pointers: pointers(&arguments),
            _arguments: arguments,
            environment_pointers: pointers(&environment),
            _environment: environment,
            user_map,
            network,
            descriptors,
            new_session: spawn.new_session,
            dies_with_thread: spawn.dies_with_thread,
        })
    }

    /// The child's way from `clone3` to its program.
    ///
    /// # Safety
    ///
    /// Only in a child process with one thread and a copy of our memory.
    unsafe fn run(&self, failure: RawFd, signals: &BlockedSignals) -> ! {
        // SAFETY: every call below is async-signal-safe, and every pointer is to memory of `self`, which the
        // child has its own copy of.
        unsafe {
            let stage = self.steps(signals);
            let number = *libc::__errno_location();
            let mut report = [0; 5];
            report[0] = stage;
            report[1..].copy_from_slice(&number.to_ne_bytes());
            libc::write(failure, report.as_ptr().cast(), report.len());
            libc::_exit(127)
        }
    }

    /// Runs the steps; returns the one that failed, with `errno` set.
    ///
    /// # Safety
    ///
    /// As [`Prepared::run`].
    unsafe fn steps(&self, signals: &BlockedSignals) -> u8 {
        // SAFETY: as in `run`.
        unsafe {
            if self.new_session {
                libc::setsid();
            }
            if self.dies_with_thread {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            }
            if let Some((user, group)) = &self.user_map {
                // The group map may be written without privilege only after setgroups is given up.
                if !write_file(c"/proc/self/setgroups".as_ptr(), c"deny".to_bytes())
                    || !write_file(c"/proc/self/uid_map".as_ptr(), user.to_bytes())
                    || !write_file(c"/proc/self/gid_map".as_ptr(), group.to_bytes())
                {
                    return MAP;
                }
            }
            if let Some(network) = &self.network
                && libc::setns(network.as_raw_fd(), libc::CLONE_NEWNET) != 0
            {
                return NETWORK;
            }
            for (target, fd) in &self.descriptors {
                if libc::dup2(fd.as_raw_fd(), *target) < 0 {
                    return DESCRIPTORS;
                }
            }
            // Rust ignores SIGPIPE, and an ignored signal stays ignored over `execve`.
            libc::signal(libc::SIGPIPE, libc::SIG_DFL);
            signals.restore_empty();
            libc::execve(
                self.program.as_ptr(),
                self.argument_pointers.as_ptr(),
                self.environment_pointers.as_ptr(),
            );
            EXECUTE
        }
    }
}

/// # Safety
///
/// `path` is a C string. Async-signal-safe.
unsafe fn write_file(path: *const libc::c_char, text: &[u8]) -> bool {
    // SAFETY: `path` by contract, `text` is a slice.
    unsafe {
        let fd = libc::open(path, libc::O_WRONLY | libc::O_CLOEXEC);
        if fd < 0 {
            return false;
        }
        let written = libc::write(fd, text.as_ptr().cast(), text.len());
        let number = *libc::__errno_location();
        libc::close(fd);
        *libc::__errno_location() = number;
        written == text.len() as isize
    }
}

fn pointers(texts: &[CString]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

fn copy_above(fd: RawFd) -> Result<OwnedFd, SpawnError> {
    // SAFETY: the caller holds `fd` open during this call.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    let copy = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(COPIES))
        .map_err(|error| SpawnError::Descriptors(error.into()))?;
    // SAFETY: `fcntl` has just made it, and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// All signals of this thread blocked, so that no handler of ours runs in the child before `execve`.
struct BlockedSignals(nix::sys::signal::SigSet);

impl BlockedSignals {
    fn block() -> Self {
        let mut before = nix::sys::signal::SigSet::empty();
        let _ = nix::sys::signal::pthread_sigmask(
            nix::sys::signal::SigmaskHow::SIG_SETMASK,
            Some(&nix::sys::signal::SigSet::all()),
            Some(&mut before),
        );
        Self(before)
    }

    /// Lets the child have every signal. A handler cannot run any more when `execve` follows at once and
    /// succeeds; pending signals meet their default action in the new program.
    ///
    /// # Safety
    ///
    /// Only in the child. Async-signal-safe.
    unsafe fn restore_empty(&self) {
        // SAFETY: all-zero is the empty set on Linux; the pointers are to a local.
        unsafe {
            let empty: libc::sigset_t = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_SETMASK, &empty, ptr::null_mut());
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        let _ = nix::sys::signal::pthread_sigmask(
            nix::sys::signal::SigmaskHow::SIG_SETMASK,
            Some(&self.0),
            None,
        );
    }
}
