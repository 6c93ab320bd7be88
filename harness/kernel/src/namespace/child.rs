//! A handle to a child process.

use crate::KernelError;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A child process. Dropping it neither ends nor awaits the process.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    status: Mutex<Option<ExitStatus>>,
}

impl Child {
    pub(super) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self {
            pid,
            pidfd,
            status: Mutex::new(None),
        }
    }

    /// Its process id as we see it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends it a signal; fine when it has ended. The first process of a PID namespace takes all others of
    /// the namespace with it.
    ///
    /// # Errors
    ///
    /// When it may not be signalled.
    pub fn signal(&self, signal: Signal) -> Result<(), KernelError> {
        // SAFETY: the descriptor is open; no pointer but null is passed.
        let result = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal as i32,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.raw_os_error() == Some(libc::ESRCH) {
            return Ok(());
        }
        Err(KernelError::new(
            format!("send {signal} to process {}", self.pid),
            error,
        ))
    }

    /// Waits until it has ended. May be called from several tasks and again after the end.
    ///
    /// # Errors
    ///
    /// When somebody else has reaped it.
    pub async fn wait(&self) -> Result<ExitStatus, KernelError> {
        if let Some(status) = self.known() {
            return Ok(status);
        }
        let fail = |error| KernelError::new(format!("wait for process {}", self.pid), error);
        // A registration of its own, so that several tasks may wait.
        let pidfd = self.pidfd.try_clone().map_err(fail)?;
        // SAFETY: the `AsyncFd` owns the descriptor, which stays open until it is dropped.
        let ready = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }
            .map_err(|error| fail(error.into()))?;
        let _ = ready.readable().await.map_err(fail)?;
        self.wait_blocking()
    }

    /// Waits until it has ended, holding up the thread.
    ///
    /// # Errors
    ///
    /// When somebody else has reaped it.
    pub fn wait_blocking(&self) -> Result<ExitStatus, KernelError> {
        // Held over the call: a second waiter would find the process reaped.
        let mut known = self
            .status
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(status) = *known {
            return Ok(status);
        }
        let status = reap(self.pidfd.as_fd())
            .map_err(|error| KernelError::new(format!("wait for process {}", self.pid), error))?;
        *known = Some(status);
        Ok(status)
    }

    /// Waits for so long, holding up the thread; none when it has not ended by then.
    ///
    /// # Errors
    ///
    /// When somebody else has reaped it.
    pub fn wait_at_most(&self, bound: Duration) -> Result<Option<ExitStatus>, KernelError> {
        let start = Instant::now();
        loop {
            let rest = bound.saturating_sub(start.elapsed());
            let mut poll = [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)];
            match ppoll(&mut poll, Some(rest.into()), None) {
                Ok(0) => return Ok(None),
                Ok(_) => return self.wait_blocking().map(Some),
                Err(nix::Error::EINTR) => {}
                Err(error) => {
                    return Err(KernelError::new(
                        format!("wait for process {}", self.pid),
                        error,
                    ));
                }
            }
        }
    }

    /// How it ended, if that has been awaited.
    #[must_use]
    pub fn known(&self) -> Option<ExitStatus> {
        *self
            .status
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

fn reap(pidfd: BorrowedFd<'_>) -> io::Result<ExitStatus> {
    loop {
        // SAFETY: all-zero is a valid `siginfo_t`.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        // SAFETY: the descriptor is open and `info` is a local.
        let result = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                pidfd.as_raw_fd() as libc::id_t,
                &mut info,
                libc::WEXITED | libc::__WALL,
            )
        };
        if result == 0 {
            // SAFETY: `waitid` succeeded, so `info` is that of an ended child.
            let value = unsafe { info.si_status() };
            return Ok(ExitStatus::from_raw(match info.si_code {
                libc::CLD_EXITED => value << 8,
                libc::CLD_DUMPED => value | 0x80,
                _ => value,
            }));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
