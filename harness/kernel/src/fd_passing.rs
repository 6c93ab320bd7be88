//! File descriptors passed over Unix sockets.

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};
use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Mutex;

/// Sends one byte and a file descriptor with it. On a non-blocking socket it may return
/// [`io::ErrorKind::WouldBlock`].
///
/// # Errors
///
/// When the other side is gone.
pub fn send_fd(socket: impl AsFd, byte: u8, fd: BorrowedFd<'_>) -> io::Result<()> {
    let fds = [fd.as_raw_fd()];
    let sent = sendmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &[IoSlice::new(&[byte])],
        &[ControlMessage::ScmRights(&fds)],
        MsgFlags::MSG_NOSIGNAL,
        None,
    )?;
    if sent == 1 {
        Ok(())
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

/// Receives one byte and the file descriptor that came with it, if one did; none at end of file. On a
/// non-blocking socket it may return [`io::ErrorKind::WouldBlock`].
///
/// # Errors
///
/// When the socket is not connected.
pub fn receive_fd(socket: impl AsFd) -> io::Result<Option<(u8, Option<OwnedFd>)>> {
    let mut byte = [0];
    let mut buffer = [IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 4]);
    let message = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut buffer,
        Some(&mut space),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut received = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(fds) = control {
            for fd in fds {
                // SAFETY: the kernel has just made this descriptor for us, and nobody else knows its number.
                received.push(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        }
    }
    if message.bytes == 0 {
        return Ok(None);
    }
    let fd = received.into_iter().next();
    Ok(Some((byte[0], fd)))
}

/// Takes over a descriptor that the process was started with (see
/// [`Spawn::descriptors`](crate::namespace::Spawn::descriptors)); each number once, and not 0 to 2.
///
/// # Errors
///
/// When there is no such descriptor or it was taken before.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    static TAKEN: Mutex<BTreeSet<RawFd>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if number <= 2 || taken.contains(&number) {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    // SAFETY: only looked at; the call fails when there is no such descriptor.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(io::Error::last_os_error());
    }
    taken.insert(number);
    // SAFETY: open (seen above), given to us by the parent under this number, and handed out only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_descriptor_arrives_and_works() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut read, write) = io::pipe().unwrap();
        send_fd(&here, 7, write.as_fd()).unwrap();
        drop(write);
        let (byte, fd) = receive_fd(&there).unwrap().unwrap();
        assert_eq!(byte, 7);
        io::Write::write_all(&mut std::fs::File::from(fd.unwrap()), b"hello").unwrap();
        let mut text = String::new();
        read.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn end_of_file_is_not_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(receive_fd(&there).unwrap().is_none());
    }
}
