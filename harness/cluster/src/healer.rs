//! Objects that are put back by themselves: a process of its own (`__heal`, this program once more) changes them when
//! the time has come, or as soon as whoever started it is gone.
//!
//! Invariant: the process lives before the objects are broken, and only it puts them back: what a test sees is what
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
    kubeconfig: PathBuf,
    millis: u64,
    changes: Vec<Change>,
}

/// The process that will put objects back. Dropping it lets it do so at once.
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
        let act = "start the process that puts objects back";
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
            kubeconfig: kubeconfig.to_owned(),
            millis: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
            changes,
        };
        let mut line = serde_json::to_vec(&order).map_err(failed(act))?;
        line.push(b'\n');
        if let Some(stdin) = &mut child.stdin {
            stdin.write_all(&line).await.map_err(failed(act))?;
        }
        Ok(Self { child })
    }

    /// Lets it put the objects back now, if it has not yet, and waits for that.
    ///
    /// # Errors
    ///
    /// When it could not.
    pub async fn heal(&mut self) -> Result<(), ClusterError> {
        let act = "put objects back";
        drop(self.child.stdin.take());
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
    let client = api::client::from_file(&order.kubeconfig, None).await?;
    // Its end is all that is waited for: either way it is time.
    let mut byte = [0];
    let _ = tokio::time::timeout(Duration::from_millis(order.millis), owner.read(&mut byte)).await;
    let all = async {
        for change in &order.changes {
            while let Err(error) = change.carry_out(&client).await {
                if matches!(&error, kube::Error::Api(status) if status.code == 404) {
                    // Who removed it has healed it.
                    break;
                }
                pause().await;
            }
        }
    };
    tokio::time::timeout(GIVES_UP, all).await.map_err(|_| {
        ClusterError::because("put objects back", "the API server did not take the change")
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that an API server answers again"
)]
async fn pause() {
    tokio::time::sleep(AGAIN).await;
}
