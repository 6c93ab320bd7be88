//! Starting a daemon and waiting until it says that it is ready, in the way systemd waits for its services.

use anyhow::{Context as _, bail};
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// How often a daemon that has not spoken yet is looked at, in case it has ended.
const LOOK: Duration = Duration::from_millis(500);

/// Starts a daemon that knows `sd_notify` and waits until it is ready. `folder` is where the socket for its message
/// can be for that long; its path must be short (a socket's has room for 107 bytes).
///
/// # Errors
///
/// When it cannot be started, ends, or is not ready within the bound; it is not running then.
pub(crate) fn start(
    command: &mut Command,
    folder: &Path,
    bound: Duration,
) -> anyhow::Result<Child> {
    let path = folder.join("notify");
    let socket =
        UnixDatagram::bind(&path).with_context(|| format!("listen on {}", path.display()))?;
    socket
        .set_read_timeout(Some(LOOK))
        .context("bound the waiting")?;
    let program = command.get_program().to_owned();
    let mut child = command
        .env("NOTIFY_SOCKET", &path)
        .spawn()
        .with_context(|| format!("start {program:?}"))?;
    let ready = wait(&socket, &mut child, bound);
    let _ = std::fs::remove_file(&path);
    if let Err(error) = ready {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    Ok(child)
}

fn wait(socket: &UnixDatagram, child: &mut Child, bound: Duration) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut message = [0; 4096];
    while started.elapsed() < bound {
        match socket.recv(&mut message) {
            Ok(length) => {
                let text = String::from_utf8_lossy(&message[..length]);
                if text.lines().any(|line| line == "READY=1") {
                    return Ok(());
                }
            }
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock
                        | io::ErrorKind::TimedOut
                        | io::ErrorKind::Interrupted
                ) => {}
            Err(error) => return Err(error).context("wait for its message"),
        }
        if let Some(status) = child.try_wait().context("look after it")? {
            bail!("it ended with {status} before it was ready");
        }
    }
    bail!("it was not ready after {} s", bound.as_secs())
}

#[cfg(test)]
mod tests {
    use super::start;
    use std::process::Command;
    use std::time::Duration;

    const BOUND: Duration = Duration::from_secs(60);

    /// Sends its argument to the notify socket and waits to be ended.
    const DAEMON: &str = r#"
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(os.environ["NOTIFY_SOCKET"])
s.send(sys.argv[1].encode())
sys.stdin.read()
"#;

    #[test]
    fn it_is_waited_for_until_it_is_ready() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("python3");
        command.args(["-c", DAEMON, "STATUS=starting\nREADY=1"]);
        command.stdin(std::process::Stdio::piped());
        let mut child = start(&mut command, folder.path(), BOUND).unwrap();
        assert!(child.try_wait().unwrap().is_none(), "it still runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn one_that_ends_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "exit 3"]);
        let error = start(&mut command, folder.path(), BOUND).unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error:#}");
    }
}
