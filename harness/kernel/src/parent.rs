//! Processes that end with the one that starts them, however that one ends.

use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Makes the kernel kill what `command` starts when the thread that starts it ends, and so at the latest with this
/// process. Its own children are not meant.
pub fn end_with_this_thread(command: &mut Command) {
    let parent = nix::unistd::getpid();
    // SAFETY: between fork and exec this only makes system calls, which are safe there, and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have ended before; nobody would be told then.
            if nix::unistd::getppid() == parent {
                Ok(())
            } else {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
        })
    };
}
