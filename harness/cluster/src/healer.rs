//! What is put back by itself: a process of its own (`__heal`, this program once more) changes objects, or runs a
//! program, when the time has come, or as soon as whoever started it is gone.
//!
//! Invariant: the process lives before anything is broken, and only it puts it back: what a test sees is what
//! happens when we are killed.

use crate::{ClusterError, api, failed};
use harness_model::causes::chain;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

/// How long it goes on when the API server does not answer.
const GIVES_UP: Duration = Duration::from_secs(20);
/// Between two attempts.
const AGAIN: Duration = Duration::from_millis(200);

/// A change of one object: a merge patch (RFC 7386).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The object's path at the API server, for example `/apis/apps/v1/namespaces/a/deployments/b`.
    pub path: String,
    /// What is changed.
    pub patch: Value,
}

impl Change {
    /// Carries it out.
    ///
    /// # Errors
    ///
    /// When the API server does not answer or refuses.
    pub async fn carry_out(&self, client: &Client) -> Result<(), kube::Error> {
        let body = serde_json::to_vec(&self.patch).map_err(kube::Error::SerdeError)?;
        let request = http::Request::patch(format!("{}?fieldManager=meshproof", self.path))
            .header(http::header::CONTENT_TYPE, "application/merge-patch+json")
            .body(body)
            .map_err(kube::Error::HttpError)?;
        client.request::<Value>(request).await.map(drop)
    }
}

#[derive(Serialize, Deserialize)]
struct Order {
    millis: u64,
    work: Work,
}

/// What is to be done, again and again until it succeeds.
#[derive(Serialize, Deserialize)]
enum Work {
    Changes {
        kubeconfig: PathBuf,
        changes: Vec<Change>,
    },
    /// A program with its arguments.
    Command(Vec<String>),
}

/// The process that will put something back. Dropping it lets it do so at once.
#[derive(Debug)]
pub struct Healer {
    child: Child,
}

impl Healer {
    /// Starts the process, which carries the changes out after this time.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub async fn start(
        kubeconfig: &Path,
        changes: Vec<Change>,
        after: Duration,
    ) -> Result<Self, ClusterError> {
        let kubeconfig = kubeconfig.to_owned();
        let work = Work::Changes {
            kubeconfig,
            changes,
        };
        Self::begin(work, after).await
    }

    /// Starts the process, which runs a program, with its arguments, after this time.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) async fn command(
        command: Vec<String>,
        after: Duration,
    ) -> Result<Self, ClusterError> {
        Self::begin(Work::Command(command), after).await
    }

    async fn begin(work: Work, after: Duration) -> Result<Self, ClusterError> {
        let act = "start the process that heals";
        let mut child = Command::new("/proc/self/exe")
            .arg("__heal")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // An interrupt from the terminal is for us: it hears of our end.
            .process_group(0)
            .spawn()
            .map_err(failed(act))?;
        let order = Order {
            millis: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            work,
        };
        let mut line = serde_json::to_vec(&order).map_err(failed(act))?;
        line.push(b'\n');
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(&line).await.map_err(failed(act))?;
        }
        Ok(Self { child })
    }

    /// Lets it put everything back now, if it has not yet, and waits for that.
    ///
    /// # Errors
    ///
    /// When it could not.
    pub async fn heal(&mut self) -> Result<(), ClusterError> {
        drop(self.child.stdin.take());
        self.healed().await
    }

    /// Waits until it has put everything back, in its time.
    ///
    /// # Errors
    ///
    /// When it could not.
    pub(crate) async fn healed(&mut self) -> Result<(), ClusterError> {
        let act = "put back what was taken away";
        let mut said = String::new();
        if let Some(stdout) = &mut self.child.stdout {
            stdout
                .read_to_string(&mut said)
                .await
                .map_err(failed(act))?;
        }
        let status = self.child.wait().await.map_err(failed(act))?;
        if status.success() {
            Ok(())
        } else {
            Err(ClusterError::because(act, format!("{status}: {said}")))
        }
    }
}

/// What the program does when it is started again under this name.
pub(crate) fn role(name: &str) -> Option<fn() -> Result<(), ClusterError>> {
    (name == "__heal").then_some(run as fn() -> Result<(), ClusterError>)
}

fn run() -> Result<(), ClusterError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed("start the runtime"))?;
    let outcome = runtime.block_on(heal());
    if let Err(error) = &outcome {
        // Our owner may be gone, and then nobody reads it.
        let _ = io::Write::write_all(&mut io::stdout(), chain(error).as_bytes());
    }
    runtime.shutdown_background();
    outcome
}

async fn heal() -> Result<(), ClusterError> {
    let mut owner = BufReader::new(tokio::io::stdin());
    let mut line = String::new();
    let read = owner.read_line(&mut line).await;
    if read.map_err(failed("be told what to put back"))? == 0 {
        // Nothing was broken yet.
        return Ok(());
    }
    let order: Order =
        serde_json::from_str(&line).map_err(failed("understand what to put back"))?;
    // What can go wrong before its time is told before its time.
    let hand = match order.work {
        Work::Changes {
            kubeconfig,
            changes,
        } => {
            let client = api::client::from_file(&kubeconfig, None).await?;
            Hand::Changes(client, changes)
        }
        Work::Command(command) => Hand::Command(command),
    };
    // Its end is all that is waited for: either way it is time.
    let mut byte = [0];
    let _ = tokio::time::timeout(Duration::from_millis(order.millis), owner.read(&mut byte)).await;
    let mut last = String::new();
    let healed = tokio::time::timeout(GIVES_UP, hand.heal(&mut last)).await;
    healed.map_err(|_| ClusterError::because("put back what was taken away", last))
}

/// Who does the work.
enum Hand {
    Changes(Client, Vec<Change>),
    Command(Vec<String>),
}

impl Hand {
    /// Ends when everything is done. `last` is why something was not, the last time.
    async fn heal(&self, last: &mut String) {
        match self {
            Self::Changes(client, changes) => {
                for change in changes {
                    while let Err(error) = change.carry_out(client).await {
                        if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                            // Who removed it has healed it.
                            break;
                        }
                        *last = chain(&error);
                        pause().await;
                    }
                }
            }
            Self::Command(command) => {
                while let Err(why) = run_once(command).await {
                    *last = why;
                    pause().await;
                }
            }
        }
    }
}

async fn run_once(command: &[String]) -> Result<(), String> {
    let (program, arguments) = command.split_first().ok_or("no program is named")?;
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, said.trim()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that an API server, or an engine, answers again"
)]
async fn pause() {
    tokio::time::sleep(AGAIN).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_is_run_again_until_it_succeeds() {
        let folder = tempfile::tempdir().unwrap();
        let script = r#"[ -e "$1/once" ] && exec touch "$1/twice"; touch "$1/once"; exit 1"#;
        let path = folder.path().display().to_string();
        let command = ["sh", "-c", script, "heal", &path].map(str::to_owned);
        let mut last = String::new();
        Hand::Command(command.to_vec()).heal(&mut last).await;
        assert!(folder.path().join("twice").exists());
        assert!(last.contains("exit status: 1"), "{last}");
    }
}
