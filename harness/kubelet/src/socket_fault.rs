//! Breaking a Unix socket on the node's disk, once: whoever serves it must notice and make it again. What nobody made again
//! is put back after a time.
//!
//! Invariant: only the socket that was broken here is ever put back, and never in the place of another one.

use crate::host_disk;
use crate::leases::Undo;
use crate::node::Node;
use harness_kernel::container::without_capabilities;
use serde::Deserialize;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What becomes of the socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Harm {
    /// Its name is gone.
    Unlinked,
    /// Its mode is 0000.
    Forbidden,
}

/// What was there, and where it is now.
#[derive(Debug)]
pub(crate) struct Trace {
    path: PathBuf,
    /// Device, number and mode of the socket.
    was: (u64, u64, u32),
    harm: Harm,
}

/// Breaks the socket for at most this time, and says what was measured.
pub(crate) fn harm(
    node: &Arc<Node>,
    path: String,
    harm: Harm,
    time: Duration,
) -> Result<String, String> {
    // One at a time: what was broken before would be taken for what was there.
    node.broken.end(&path);
    let disk = node.config.state_dir.join(host_disk::HOST_FOLDER);
    let (trace, measured) = strike(&disk, &path, harm)?;
    tracing::info!(path, ?harm, ?time, measured, "a socket is broken");
    node.broken.begin(path, trace, time);
    Ok(measured)
}

impl Undo<String> for Trace {
    fn undo(self, path: &String) {
        match self.put_back() {
            Ok(what) => tracing::info!(path, what, "a socket is not broken any more"),
            Err(error) => tracing::warn!(path, %error, "a socket cannot be put back"),
        }
    }
}

/// Breaks a socket on a disk. Both before and after somebody dials it who has no rights but those that files give.
fn strike(disk: &Path, path: &str, harm: Harm) -> Result<(Trace, String), String> {
    let said = |error: io::Error| format!("{path}: {error}");
    let path_on_disk = host_disk::find(disk, path)?;
    let metadata = fs::symlink_metadata(&path_on_disk).map_err(said)?;
    if !metadata.file_type().is_socket() {
        return Err(format!("{path} is no socket"));
    }
    dial(&path_on_disk)
        .map_err(|error| format!("{path} could not be dialled before it was broken: {error}"))?;
    let trace = Trace {
        was: identify(&path_on_disk).map_err(said)?,
        path: path_on_disk,
        harm,
    };
    match harm {
        Harm::Unlinked => fs::rename(&trace.path, trace.kept()),
        Harm::Forbidden => fs::set_permissions(&trace.path, Permissions::from_mode(0o000)),
    }
    .map_err(said)?;
    let measured = match dial(&trace.path) {
        Err(error) => format!("it could be dialled, and then: {error}"),
        // So fast was who serves it.
        Ok(()) if !trace.is_there() => "it could be dialled, and was made again at once".to_owned(),
        Ok(()) => {
            trace.put_back().map_err(said)?;
            return Err(format!("{path} can be dialled though it is {harm:?}"));
        }
    };
    Ok((trace, measured))
}

impl Trace {
    /// Where a socket is that has lost its name, so that it can get it back.
    fn kept(&self) -> PathBuf {
        let mut name = self.path.file_name().unwrap_or_default().to_owned();
        name.push(".meshproof");
        self.path.with_file_name(name)
    }

    /// The socket that was broken is in its place still.
    fn is_there(&self) -> bool {
        let (device, number, _) = self.was;
        identify(&self.path).is_ok_and(|now| (now.0, now.1) == (device, number))
    }

    /// Puts the socket back, unless there is one again.
    fn put_back(&self) -> io::Result<&'static str> {
        match self.harm {
            Harm::Unlinked if fs::symlink_metadata(&self.path).is_ok() => {
                fs::remove_file(self.kept())?;
                Ok("it was made again")
            }
            Harm::Unlinked => {
                fs::rename(self.kept(), &self.path)?;
                Ok("it has its name back")
            }
            Harm::Forbidden if self.is_there() && identify(&self.path)?.2 & 0o7777 == 0 => {
                let back = Permissions::from_mode(self.was.2 & 0o7777);
                fs::set_permissions(&self.path, back)?;
                Ok("it has its mode back")
            }
            Harm::Forbidden => Ok("it was made again"),
        }
    }
}

fn identify(path: &Path) -> io::Result<(u64, u64, u32)> {
    let metadata = fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino(), metadata.mode()))
}

fn dial(path: &Path) -> io::Result<()> {
    without_capabilities(|| UnixStream::connect(path).map(drop)).map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    const PATH: &str = "/run/agent.sock";

    fn disk() -> (tempfile::TempDir, UnixListener) {
        let disk = tempfile::tempdir().unwrap();
        fs::create_dir(disk.path().join("run")).unwrap();
        let listener = bind(disk.path());
        (disk, listener)
    }

    fn bind(disk: &Path) -> UnixListener {
        let path = disk.join("run/agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        listener
    }

    #[test]
    fn a_broken_socket_cannot_be_dialled_until_it_is_put_back() {
        for (harm, kind) in [
            (Harm::Unlinked, io::ErrorKind::NotFound),
            (Harm::Forbidden, io::ErrorKind::PermissionDenied),
        ] {
            let (disk, _listener) = disk();
            let path = disk.path().join("run/agent.sock");
            let (trace, measured) = strike(disk.path(), PATH, harm).unwrap();
            assert!(
                measured.starts_with("it could be dialled, and then: "),
                "{measured}"
            );
            assert_eq!(dial(&path).unwrap_err().kind(), kind);
            trace.put_back().unwrap();
            dial(&path).unwrap();
            assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
            assert_eq!(fs::read_dir(disk.path().join("run")).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_socket_that_was_made_again_is_left_alone() {
        for harm in [Harm::Unlinked, Harm::Forbidden] {
            let (disk, _listener) = disk();
            let path = disk.path().join("run/agent.sock");
            let (trace, _) = strike(disk.path(), PATH, harm).unwrap();
            let _ = fs::remove_file(&path);
            let _again = bind(disk.path());
            let own = identify(&path).unwrap();
            assert_eq!(trace.put_back().unwrap(), "it was made again");
            assert_eq!(identify(&path).unwrap(), own);
            dial(&path).unwrap();
            assert_eq!(fs::read_dir(disk.path().join("run")).unwrap().count(), 1);
        }
    }

    #[test]
    fn what_is_no_socket_or_elsewhere_or_serves_nobody_is_not_broken() {
        let (disk, listener) = disk();
        fs::write(disk.path().join("file"), "precious").unwrap();
        std::os::unix::fs::symlink("/tmp", disk.path().join("out")).unwrap();
        drop(listener);
        for (path, reason) in [
            ("/file", "is no socket"),
            ("/../agent.sock", "leads out"),
            ("/out/agent.sock", "leads out"),
            ("/run/other.sock", "No such file"),
            (PATH, "could not be dialled before"),
        ] {
            let told = strike(disk.path(), path, Harm::Forbidden).unwrap_err();
            assert!(told.contains(reason), "{told}");
        }
    }
}
