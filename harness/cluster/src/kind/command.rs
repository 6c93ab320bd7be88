//! Calling the programs `kind` and the container engine's.

use super::PREFIX;
use crate::{ClusterError, failed};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// How much of what a program said goes into an error.
const LINES: usize = 12;
/// How long one call may take that does not create a cluster: loading an image of 100 MB on a busy machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// `kind` for one cluster of ours.
#[derive(Clone, Debug)]
pub(super) struct KindCommand {
    program: PathBuf,
    cluster: String,
    kubeconfig: PathBuf,
}

impl KindCommand {
    /// `kind` for the cluster that we call `name`, whose folder is `folder`.
    pub(super) fn new(program: &Path, name: &str, folder: &Path) -> Self {
        Self {
            program: program.to_owned(),
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
        let said = run("list the kind clusters", &mut command, None).await?;
        Ok(said.lines().any(|line| line.trim() == self.cluster))
    }

    /// Makes the cluster. Lines of kind's own progress go to `progress`. Nodes of a failed attempt stay, so that they
    /// can be looked at.
    pub(super) async fn create(
        &self,
        config: &Path,
        node_image: Option<&str>,
        progress: &mut (dyn FnMut(&str) + Send),
        started: &mut (dyn FnMut(Option<u32>) + Send),
    ) -> Result<(), ClusterError> {
        let act = "make the kind cluster";
        let mut command = self.command(&["create", "cluster", "--retain", "--config"]);
        command.arg(config).args(["--name", &self.cluster]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if let Some(image) = node_image {
            command.args(["--image", image]);
        }
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
        Err(explained(ClusterError::because(
            act,
            format!("kind ended with {status}\n{}", last_of(&said)),
        )))
    }

    /// Removes the cluster; fine when there is none.
    pub(super) async fn delete(&self) -> Result<(), ClusterError> {
        let mut command = self.command(&["delete", "cluster", "--name", &self.cluster]);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        run("remove the kind cluster", &mut command, None)
            .await
            .map(drop)
    }

    /// The same for a destructor: blocks.
    pub(super) fn delete_now(&self) -> std::io::Result<bool> {
        std::process::Command::new(&self.program)
            .args(["delete", "cluster", "--name", &self.cluster, "--kubeconfig"])
            .arg(&self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .map(|status| status.success())
    }

    /// Loads an image into the stores of these nodes.
    pub(super) async fn load(&self, archive: &Path, nodes: &[String]) -> Result<(), ClusterError> {
        let mut command = self.command(&["load", "image-archive"]);
        command.arg(archive).args(["--name", &self.cluster]);
        command.args(["--nodes", &nodes.join(",")]);
        run(
            &format!("load the image {}", archive.display()),
            &mut command,
            None,
        )
        .await
        .map(drop)
    }

    /// Writes the logs of the nodes below `folder`.
    pub(super) async fn export_logs(&self, folder: &Path) -> Result<(), ClusterError> {
        let mut command = self.command(&["export", "logs"]);
        command.arg(folder).args(["--name", &self.cluster]);
        run("collect the logs of the nodes", &mut command, None)
            .await
            .map(drop)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        // Whatever writes a kubeconfig without being told where must not write the user's.
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }
}

/// Runs a program to its end, with `input` on its standard input, and returns what it wrote to standard output.
pub(super) async fn run(
    act: &str,
    command: &mut Command,
    input: Option<&str>,
) -> Result<String, ClusterError> {
    let work = async {
        let mut child = command
            .kill_on_drop(true)
            .stdin(if input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed(act))?;
        if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
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

/// One of kind's progress lines (` • Preparing nodes 📦  ...`) without its ornaments; none for the others.
fn step(line: &str) -> Option<String> {
    let text = line.trim().strip_prefix('•')?;
    let plain: String = text.chars().filter(char::is_ascii).collect();
    let plain = plain.trim().trim_end_matches('.').trim();
    (!plain.is_empty()).then(|| format!("kind: {plain}"))
}

fn last_of(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Adds what the user can do about it, where the text tells.
fn explained(error: ClusterError) -> ClusterError {
    let text = error
        .source
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    match hint_for(&text) {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// What can be done about something that kind or an engine said.
pub(super) fn hint_for(text: &str) -> Option<&'static str> {
    let hints = [
        (
            "permission denied",
            "you may not use the engine: join its group (`docker`), or use a rootless engine",
        ),
        (
            "Cannot connect to the Docker daemon",
            "start the engine (`systemctl start docker`), or name one with DOCKER_HOST",
        ),
        (
            "already exist",
            "another kind cluster has this name; choose another one, or remove it with `kind delete cluster`",
        ),
        (
            "failed to pull image",
            "the node image is not on this machine and cannot be fetched; name one that is there with --node-image",
        ),
        (
            "no space left",
            "make room on the disk that the engine keeps its images on",
        ),
        (
            "too many open files",
            "raise fs.inotify.max_user_instances and fs.inotify.max_user_watches",
        ),
    ];
    hints
        .into_iter()
        .find(|(part, _)| text.contains(part))
        .map(|(_, hint)| hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_without_ornaments() {
        assert_eq!(
            step(" • Preparing nodes 📦 📦  ...").as_deref(),
            Some("kind: Preparing nodes")
        );
        assert_eq!(step(" ✓ Preparing nodes 📦"), None);
        assert_eq!(step("ERROR: failed"), None);
    }

    #[tokio::test]
    async fn a_program_that_fails_is_told_with_its_last_words_and_a_hint() {
        let mut command = Command::new("sh");
        command.args(["-c", "cat >&2; exit 3"]);
        let error = run("try", &mut command, Some("permission denied\n"))
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
