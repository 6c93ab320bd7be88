//! The container engine below kind: which one, whether it answers, running programs in nodes.

use super::command::{hint_for, run};
use crate::ClusterError;
use std::time::Duration;
use tokio::process::Command;

/// The engines that kind supports, in the order in which it looks for them.
const ENGINES: [&str; 3] = ["docker", "podman", "nerdctl"];
/// The variable by which kind is told which engine to use.
const CHOICE: &str = "KIND_EXPERIMENTAL_PROVIDER";

/// How long the engine may take to answer a question.
const ANSWER: Duration = Duration::from_secs(20);

/// A container engine's command-line program.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    program: String,
}

impl Engine {
    /// The engine that kind will use, after it answered.
    pub(super) async fn find() -> Result<Self, ClusterError> {
        let act = "find a container engine for kind";
        let chosen = std::env::var(CHOICE).ok().filter(|name| !name.is_empty());
        let program = match chosen {
            Some(name) => name,
            None => ENGINES
                .into_iter()
                .find(|name| which::which(name).is_ok())
                .map(str::to_owned)
                .ok_or_else(|| {
                    ClusterError::because(act, "none of docker, podman and nerdctl is installed")
                        .hint("install one of them, or run on the local cluster, which needs none: --cluster local")
                })?,
        };
        let engine = Self { program };
        engine.ask(&["info"]).await.map_err(|error| {
            let said = error
                .source
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default();
            let hint = hint_for(&said).unwrap_or(
                "see that the engine runs and that you may use it, or run with --cluster local",
            );
            ClusterError {
                act: format!("use the container engine `{}`", engine.program),
                ..error
            }
            .hint(hint)
        })?;
        Ok(engine)
    }

    /// Whether an image is there.
    pub(super) async fn has_image(&self, reference: &str) -> bool {
        self.ask(&["image", "inspect", reference]).await.is_ok()
    }

    /// Runs a program in a node, with `input` on its standard input.
    pub(super) async fn in_node(
        &self,
        node: &str,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<String, ClusterError> {
        let mut command = Command::new(&self.program);
        command
            .args(["exec", "--interactive", node])
            .args(arguments);
        let act = format!("run {} in node {node}", arguments[0]);
        run(&act, &mut command, input).await
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        let act = "ask the container engine";
        match tokio::time::timeout(ANSWER, run(act, &mut command, None)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClusterError::because(
                act,
                format!("it did not answer within {} s", ANSWER.as_secs()),
            )),
        }
    }
}

/// The name of the engine that kind would use, when it answers.
///
/// # Errors
///
/// When there is none, or it does not answer; with a hint.
pub async fn check_engine() -> Result<String, ClusterError> {
    Engine::find().await.map(|engine| engine.program)
}
