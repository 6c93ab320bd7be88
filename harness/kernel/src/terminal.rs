//! Terminals that programs make for each other (pty(7)).

use crate::KernelError;
use nix::errno::Errno;
use nix::pty::{Winsize, openpty};
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::path::PathBuf;

/// A terminal: our side of it, and where the other side is opened.
#[derive(Debug)]
pub struct Terminal {
    /// Whoever reads and writes here is who sits at it.
    pub master: OwnedFd,
    /// Where the program's side is.
    pub path: PathBuf,
    /// Keeps the terminal alive until the program has opened its side: without anybody there, reading from the master
    /// fails.
    pub slave: OwnedFd,
}

/// Makes a terminal.
///
/// # Errors
///
/// When there are no more, or `/dev/pts` is not there.
pub fn open() -> Result<Terminal, KernelError> {
    let pair = openpty(None, None).map_err(|error| KernelError::new("make a terminal", error))?;
    let path = nix::unistd::ttyname(&pair.slave)
        .map_err(|error| KernelError::new("find the terminal's file", error))?;
    Ok(Terminal {
        master: pair.master,
        path,
        slave: pair.slave,
    })
}

/// Tells a terminal how large its window is now, in characters; the program at it gets SIGWINCH.
///
/// # Errors
///
/// When it is no terminal.
pub fn resize(master: impl AsFd, columns: u16, rows: u16) -> Result<(), KernelError> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCSWINSZ reads one `winsize`, which lives until the call returns.
    let result = unsafe {
        libc::ioctl(
            master.as_fd().as_raw_fd(),
            libc::TIOCSWINSZ,
            &raw const size,
        )
    };
    Errno::result(result).map_err(|error| KernelError::new("resize a terminal", error))?;
    Ok(())
}

/// How large a terminal's window is, in characters: columns and rows.
///
/// # Errors
///
/// When it is no terminal.
pub fn size(terminal: impl AsFd) -> Result<(u16, u16), KernelError> {
    let mut size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: TIOCGWINSZ writes one `winsize`, which lives until the call returns.
    let result = unsafe {
        libc::ioctl(
            terminal.as_fd().as_raw_fd(),
            libc::TIOCGWINSZ,
            &raw mut size,
        )
    };
    Errno::result(result)
        .map_err(|error| KernelError::new("ask a terminal for its size", error))?;
    Ok((size.ws_col, size.ws_row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_as_large_as_it_is_told() {
        let terminal = open().expect("a terminal");
        resize(&terminal.master, 91, 17).expect("resized");
        assert_eq!(size(&terminal.slave).expect("a size"), (91, 17));
        let nothing = std::fs::File::open("/dev/null").expect("there");
        assert!(size(&nothing).is_err());
        assert!(resize(&nothing, 1, 1).is_err());
    }
}
