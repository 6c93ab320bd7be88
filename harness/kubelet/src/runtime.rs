//! Processes of containers: started through the `__container` shim, signalled, waited for, entered.

use harness_kernel::container::{Order, ProcessSpec, Streams};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// Most of an executed process's output that is kept, in bytes.
const OUTPUT_LIMIT: u64 = 10 * 1024;

/// A running container (or a process executed in one).
#[derive(Debug)]
pub(crate) struct Running {
    /// Its process, as the node sees it.
    pub(crate) pid: i32,
    child: Child,
}

/// A container could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The shim itself.
    #[error("start the container's shim")]
    Shim(#[source] io::Error),
    /// The order could not be handed over.
    #[error("give the shim its order")]
    Order(#[source] io::Error),
    /// What the shim says.
    #[error("{0}")]
    Refused(String),
}

/// What came of a process that was executed in a container.
#[derive(Debug)]
pub(crate) struct Executed {
    pub(crate) status: i32,
    /// Beginning of what it wrote, both streams.
    pub(crate) output: String,
}

/// A stream that a container writes to.
pub(crate) type Output = Box<dyn AsyncRead + Send + Unpin>;

/// Starts what `order` says; returns once its program is executed. The two streams are its output and errors.
pub(crate) async fn start(
    executable: &Path,
    order: &Order,
) -> Result<(Running, Output, Output), StartError> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(StartError::Shim)?;
    ours.set_nonblocking(true).map_err(StartError::Shim)?;
    let mut command = Command::new(executable);
    command
        .arg("__container")
        .env_clear()
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(false);
    let mut child = command.spawn().map_err(StartError::Shim)?;
    // The child's end must be open in the child alone, or its end would never be seen.
    drop(command);
    let report = hand_over(ours, order).await.map_err(StartError::Order)?;
    let (pid, error) = read_report(&report);
    let output = child.stdout.take().map(|stream| Box::new(stream) as Output);
    let errors = child.stderr.take().map(|stream| Box::new(stream) as Output);
    match (pid, error, output, errors) {
        (Some(pid), None, Some(output), Some(errors)) => {
            Ok((Running { pid, child }, output, errors))
        }
        (_, error, ..) => {
            let _ = child.wait().await;
            Err(StartError::Refused(error.unwrap_or_else(|| {
                "the shim ended without a word".to_owned()
            })))
        }
    }
}

async fn hand_over(socket: std::os::unix::net::UnixStream, order: &Order) -> io::Result<String> {
    let mut socket = tokio::net::UnixStream::from_std(socket)?;
    socket.write_all(&serde_json::to_vec(order)?).await?;
    socket.shutdown().await?;
    let mut report = String::new();
    socket.read_to_string(&mut report).await?;
    Ok(report)
}

/// The process and the error in what a shim reports.
fn read_report(report: &str) -> (Option<i32>, Option<String>) {
    let pid = report
        .lines()
        .find_map(|line| line.strip_prefix("pid ")?.parse().ok());
    let error = report
        .find("error ")
        .map(|at| report[at + "error ".len()..].trim().to_owned());
    (pid, error)
}

impl Running {
    /// Waits for its end; the value is the exit status (128 + signal).
    pub(crate) async fn wait(&mut self) -> i32 {
        match self.child.wait().await {
            Ok(status) => status.code().unwrap_or(137),
            Err(error) => {
                tracing::warn!(%error, pid = self.pid, "container could not be waited for");
                137
            }
        }
    }

    /// Asks it to end.
    pub(crate) fn terminate(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Ends it and everything that it started.
    pub(crate) fn kill(&self) {
        self.signal(Signal::SIGKILL);
    }

    fn signal(&self, signal: Signal) {
        // The only failure is that it has ended.
        let _ = kill(Pid::from_raw(self.pid), signal);
    }
}

/// Runs a process in the container whose init is `pid`; it is killed after `patience`, which is then an error of kind
/// `TimedOut`.
pub(crate) async fn execute(
    executable: &Path,
    pid: i32,
    process: ProcessSpec,
    patience: Duration,
) -> Result<Executed, StartError> {
    let order = Order::Execute {
        pid,
        process,
        streams: Streams::Outputs,
    };
    let (mut running, output, errors) = start(executable, &order).await?;
    let (mut output, mut errors) = (output.take(OUTPUT_LIMIT), errors.take(OUTPUT_LIMIT));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let work = async {
        let _ = tokio::join!(
            output.read_to_end(&mut first),
            errors.read_to_end(&mut second)
        );
        running.wait().await
    };
    let status = tokio::time::timeout(patience, work).await;
    match status {
        Ok(status) => {
            first.extend_from_slice(&second);
            Ok(Executed {
                status,
                output: String::from_utf8_lossy(&first).into_owned(),
            })
        }
        Err(_) => {
            running.kill();
            running.wait().await;
            Err(StartError::Refused(format!(
                "timed out after {} s",
                patience.as_secs_f32()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_understood() {
        assert_eq!(read_report("pid 12\n"), (Some(12), None));
        assert_eq!(
            read_report("pid 12\nerror execute /x: not found\n"),
            (Some(12), Some("execute /x: not found".to_owned()))
        );
        assert_eq!(read_report(""), (None, None));
    }
}
