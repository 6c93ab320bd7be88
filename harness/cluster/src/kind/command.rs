//! Calling the programs `kind` and the container engine's.

use super::engine::{CHOICE, Engine};
use super::said::{explained, failed_node, is_taken, last_of, step, telling};
use super::{PREFIX, making};
use crate::{ClusterError, failed};
use harness_kernel::parent::end_with_this_thread;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// How long one call may take that does not create a cluster: loading an image of 100 MB on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// `kind` for one cluster of ours.
#[derive(Clone, Debug)]
pub(super) struct KindCommand {
    program: PathBuf,
    engine: String,
    cluster: String,
    kubeconfig: PathBuf,
}

impl KindCommand {
    /// `kind` on this engine, for the cluster that we call `name`, whose folder is `folder`.
    pub(super) fn new(program: &Path, engine: &Engine, name: &str, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
            engine: engine.program().to_owned(),
            cluster: format!("{PREFIX}{name}"),
            kubeconfig: folder.join("kubeconfig"),
        }
    }

    /// The cluster's name for kind.
    pub(super) fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Whether kind knows a cluster of this name, whoever made it.
    pub(super) async fn exists(&self) -> Result<bool, ClusterError> {
        let mut command = self.command(&["get", "clusters"]);
        let said = run("list the kind clusters", &mut command, Input::Nothing).await?;
        Ok(said.lines().any(|line| line.trim() == self.cluster))
    }

    /// The name of the node of its API server.
    pub(super) fn control_plane(&self) -> String {
        format!("{}-control-plane", self.cluster)
    }

    /// The names of its nodes but those of the control plane, also while it is being made.
    pub(super) async fn workers(&self) -> Result<Vec<String>, ClusterError> {
        let mut command = self.command(&["get", "nodes", "--name", &self.cluster]);
        let said = run("list the nodes", &mut command, Input::Nothing).await?;
        let control_plane = self.control_plane();
        let names = said.lines().map(str::trim);
        let workers = names.filter(|name| !name.is_empty() && !name.starts_with(&control_plane));
        Ok(workers.map(str::to_owned).collect())
    }

    /// Makes the cluster. Lines of kind's own progress go to `progress`. Nodes of a failed attempt stay, so that they
    /// can be looked at. kind ends with us, so that nobody makes what has been removed already.
    pub(super) async fn create(
        &self,
        config: &Path,
        node_image: Option<&str>,
        progress: &mut (dyn FnMut(&str) + Send),
        started: &mut (dyn FnMut(Option<u32>) + Send),
    ) -> Result<(), NotMade> {
        let act = "make the kind cluster";
        let mut command = self.command(&["create", "cluster", "--retain", "--config"]);
        command.arg(config).args(["--name", &self.cluster]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Some(image) = node_image {
            command.args(["--image", image]);
        }
        end_with_this_thread(command.as_std_mut());
        // A group of its own: what kind has started must end with it when the bring-up is given up.
        let mut child = command
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed(act))?;
        started(child.id());
        let mut said = Vec::new();
        if let Some(output) = child.stderr.take() {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(step) = step(&line) {
                    progress(&step);
                }
                said.push(line);
            }
        }
        let status = child.wait().await.map_err(failed(act))?;
        started(None);
        if status.success() {
            return Ok(());
        }
        let error = format!(
            "kind ended with {status}\n{}",
            last_of(&telling(said.iter()))
        );
        Err(NotMade {
            error: explained(ClusterError::because(act, error)),
            node: failed_node(&said),
            is_of_others: is_taken(&said),
        })
    }

    /// Removes the cluster and looks that it is gone; fine when there was none.
    pub(super) async fn remove(&self) -> Result<(), ClusterError> {
        let act = "remove the kind cluster";
        making::finished(&self.cluster).await;
        let mut command = self.command(&["delete", "cluster", "--name", &self.cluster]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        run(act, &mut command, Input::Nothing).await?;
        if self.exists().await? {
            let reason = "kind says that it has removed it, and lists it all the same";
            return Err(ClusterError::because(act, reason));
        }
        Ok(())
    }

    /// Loads an image into the stores of these nodes.
    pub(super) async fn load(&self, archive: &Path, nodes: &[String]) -> Result<(), ClusterError> {
        let mut command = self.command(&["load", "image-archive"]);
        command.arg(archive).args(["--name", &self.cluster]);
        command.args(["--nodes", &nodes.join(",")]);
        run(
            &format!("load the image {}", archive.display()),
            &mut command,
            Input::Nothing,
        )
        .await
        .map(drop)
    }

    /// Writes the logs of the nodes below `folder`.
    pub(super) async fn export_logs(&self, folder: &Path) -> Result<(), ClusterError> {
        let mut command = self.command(&["export", "logs"]);
        command.arg(folder).args(["--name", &self.cluster]);
        run(
            "collect the logs of the nodes",
            &mut command,
            Input::Nothing,
        )
        .await
        .map(drop)
    }

    /// The kubeconfig as the control plane's node has it.
    pub(super) async fn kubeconfig(&self) -> Result<String, ClusterError> {
        let mut command = self.command(&["get", "kubeconfig", "--name", &self.cluster]);
        run(
            "read the kubeconfig of the kind cluster",
            &mut command,
            Input::Nothing,
        )
        .await
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        // Whatever writes a kubeconfig without being told where must not write the user's.
        command.env("KUBECONFIG", &self.kubeconfig);
        // It shall not choose for itself.
        command.env(CHOICE, &self.engine);
        command
    }
}

/// Why kind did not make a cluster.
#[derive(Debug)]
pub(super) struct NotMade {
    pub(super) error: ClusterError,
    /// The node at which it gave up, where it says so.
    pub(super) node: Option<String>,
    /// Somebody else has a cluster of this name, so kind has made nothing.
    pub(super) is_of_others: bool,
}

impl From<ClusterError> for NotMade {
    fn from(error: ClusterError) -> Self {
        Self {
            error,
            node: None,
            is_of_others: false,
        }
    }
}

/// What a program finds on its standard input.
#[derive(Debug)]
pub(super) enum Input<'a> {
    Nothing,
    Text(&'a str),
    File(std::fs::File),
}

/// Runs a program to its end and returns what it wrote to standard output.
pub(super) async fn run(
    act: &str,
    command: &mut Command,
    input: Input<'_>,
) -> Result<String, ClusterError> {
    run_into(act, command, input, Stdio::piped()).await
}

/// The same with another standard output; what goes elsewhere than into a pipe is not returned.
pub(super) async fn run_into(
    act: &str,
    command: &mut Command,
    input: Input<'_>,
    stdout: Stdio,
) -> Result<String, ClusterError> {
    let (stdin, text) = match input {
        Input::Nothing => (Stdio::null(), None),
        Input::Text(text) => (Stdio::piped(), Some(text)),
        Input::File(file) => (Stdio::from(file), None),
    };
    let work = async {
        let mut child = command
            .kill_on_drop(true)
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed(act))?;
        if let (Some(text), Some(mut pipe)) = (text, child.stdin.take()) {
            // A program that does not read its input says why itself.
            let _ = pipe.write_all(text.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed(act))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        let program = command.as_std().get_program().display().to_string();
        Err(explained(ClusterError::because(
            act,
            format!(
                "{program} ended with {}\n{}",
                output.status,
                last_of(&lines)
            ),
        )))
    };
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(ClusterError::because(
            act,
            format!("it took longer than {} s", PATIENCE.as_secs()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_last_words_and_a_hint() {
        let mut command = Command::new("sh");
        command.args(["-c", "cat >&2; exit 3"]);
        let error = run("try", &mut command, Input::Text("permission denied\n"))
            .await
            .unwrap_err();
        let said = error.source.unwrap().to_string();
        assert!(
            said.contains("exit status: 3") && said.contains("permission denied"),
            "{said}"
        );
        assert!(error.hint.unwrap().contains("group"));
    }
}
