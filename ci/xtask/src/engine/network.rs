//! Where an engine publishes ports: in the network namespace of its process.

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// Docker's socket where `DOCKER_HOST` names no other.
const DEFAULT: &str = "/var/run/docker.sock";

/// The network namespace of the engine behind `host`, when it is another one than ours. None as well where that is not
/// to be known: the engine is on another machine, or its process is out of sight.
pub(super) fn elsewhere(host: Option<&OsStr>) -> Option<PathBuf> {
    let socket = match host {
        Some(host) => host.to_str()?.strip_prefix("unix://")?,
        None => DEFAULT,
    };
    of_listener(Path::new(socket))
}

fn of_listener(socket: &Path) -> Option<PathBuf> {
    let stream = UnixStream::connect(socket).ok()?;
    let engine = getsockopt(&stream, PeerCredentials).ok()?.pid();
    let theirs = PathBuf::from(format!("/proc/{engine}/ns/net"));
    let is_ours = fs::read_link(&theirs).ok()? == fs::read_link("/proc/self/ns/net").ok()?;
    (!is_ours).then_some(theirs)
}

#[cfg(test)]
mod tests {
    use super::{elsewhere, of_listener};
    use std::ffi::OsStr;
    use std::os::unix::net::UnixListener;

    #[test]
    fn an_engine_in_our_network_is_not_elsewhere() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let socket = folder.path().join("engine.sock");
        let _engine = UnixListener::bind(&socket).expect("a socket");
        assert_eq!(of_listener(&socket), None);
        assert_eq!(elsewhere(Some(OsStr::new("tcp://engine:2375"))), None);
        assert_eq!(of_listener(&folder.path().join("none")), None);
    }
}
