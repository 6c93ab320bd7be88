//! The container engine below kind: which one, whether it answers, running programs in nodes.

use super::command::{Input, run, run_into};
use super::identity::Identity;
use super::said::{hint_for, reason};
use crate::{ClusterError, failed};
use futures::future::join_all;
use std::fs::File;
use std::io;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};

/// The engines that kind supports, in the order in which it looks for them (`DetectNodeProvider`).
pub(super) const ENGINES: [&str; 3] = ["docker", "nerdctl", "podman"];
/// The variable by which kind is told which engine to use.
pub(super) const CHOICE: &str = "KIND_EXPERIMENTAL_PROVIDER";

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
        let chosen = std::env::var(CHOICE).ok().filter(|name| !name.is_empty());
        let program = match chosen {
            Some(_) => choose(chosen, |name| which::which(name).is_ok())?,
            None => {
                let look = |name: &str| {
                    let engine = Self::of(name.to_owned());
                    async move { engine.is_itself().await }
                };
                let there = join_all(ENGINES.map(look)).await;
                let there: Vec<_> = ENGINES.into_iter().zip(there).collect();
                choose(None, |name| there.contains(&(name, true)))?
            }
        };
        let engine = Self { program };
        engine.ask(&["info"]).await.map_err(|error| {
            let hint = hint_for(&reason(&error)).unwrap_or(
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

    /// An engine by its program.
    pub(super) fn of(program: String) -> Self {
        Self { program }
    }

    /// Its program, by which kind chooses it as well.
    pub(super) fn program(&self) -> &str {
        &self.program
    }

    /// Whether it is there and not another engine that answers to its name, as Podman does to that of Docker. kind looks
    /// for the same (`IsAvailable`).
    async fn is_itself(&self) -> bool {
        let said = self.ask(&["-v"]).await;
        said.is_ok_and(|said| is_version_of(&self.program, &said))
    }

    /// What tells it from other engines.
    pub(super) async fn identity(&self) -> Identity {
        let program = self.program.clone();
        let address = std::env::var(Identity::variable(&program)).ok();
        let question = ["info", "--format", Identity::told_by(&program)];
        let id = self.ask(&question).await.ok();
        let id = id.map(|said| said.trim().to_owned());
        Identity {
            address: address.filter(|address| !address.is_empty()),
            id: id.filter(|id| !id.is_empty()),
            program,
        }
    }

    /// Whether a node that was off comes back with the address it had. Podman and nerdctl give each container that starts
    /// the next address, so the kubelet and the API server would not find each other again.
    pub(super) fn keeps_addresses(&self) -> bool {
        self.program == "docker"
    }

    /// Whether an image is there.
    pub(super) async fn has_image(&self, reference: &str) -> bool {
        self.ask(&["image", "inspect", reference]).await.is_ok()
    }

    /// The names that it has for an image it holds, with their tags.
    pub(super) async fn tags_of(&self, reference: &str) -> Result<Vec<String>, ClusterError> {
        let question = ["image", "inspect", "--format", "{{json .RepoTags}}"];
        let said = self.ask(&[&question[..], &[reference]].concat()).await?;
        let tags: Option<Vec<String>> = serde_json::from_str(said.trim())
            .map_err(failed("read what the container engine says"))?;
        Ok(tags.unwrap_or_default())
    }

    /// Writes an image it holds as an archive.
    pub(super) async fn save(&self, reference: &str, to: File) -> Result<(), ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(["save", reference]);
        let act = format!("save the image {reference} of {}", self.program);
        run_into(&act, &mut command, Input::Nothing, Stdio::from(to))
            .await
            .map(drop)
    }

    /// Runs a program in a node, with `input` on its standard input.
    pub(super) async fn in_node(
        &self,
        node: &str,
        arguments: &[&str],
        input: Option<&str>,
    ) -> Result<String, ClusterError> {
        let act = format!("run {} in node {node}", arguments[0]);
        run(
            &act,
            &mut self.exec(node, arguments),
            input.map_or(Input::Nothing, Input::Text),
        )
        .await
    }

    /// Applies rules of the packet filter in a node, all of them or none.
    pub(super) async fn apply_rules(&self, node: &str, rules: &str) -> Result<(), ClusterError> {
        let apply = ["nft", "-f", "-"];
        self.in_node(node, &apply, Some(rules)).await.map(drop)
    }

    /// Starts a program in a node, whose standard streams are ours.
    pub(super) fn talk_to_node(&self, node: &str, arguments: &[&str]) -> io::Result<Child> {
        self.exec(node, arguments)
            .kill_on_drop(true)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    }

    /// Ends everything in a node at once, and its network with it.
    pub(super) async fn kill(&self, node: &str) -> Result<(), ClusterError> {
        self.have(format!("end node {node}"), &["kill", node]).await
    }

    /// Starts nodes, one after the other; fine when they run.
    pub(super) async fn start(&self, nodes: &[&str]) -> Result<(), ClusterError> {
        let act = format!("start the nodes {}", nodes.join(", "));
        self.have(act, &[&["start"][..], nodes].concat()).await
    }

    /// Has it do something that it says nothing about, unless it cannot.
    async fn have(&self, act: String, arguments: &[&str]) -> Result<(), ClusterError> {
        let done = self.ask(arguments).await;
        done.map(drop)
            .map_err(|error| ClusterError { act, ..error })
    }

    /// When a node was started last.
    pub(super) async fn started(&self, node: &str) -> Result<jiff::Timestamp, ClusterError> {
        let question = ["inspect", "--format", "{{.State.StartedAt}}", node];
        let said = self.ask(&question).await?;
        said.trim()
            .parse::<jiff::Timestamp>()
            .map_err(failed(format!("read when node {node} was started")))
    }

    /// What starts nodes again, one after the other, as a program with its arguments; fine when they run.
    pub(super) fn starting(&self, nodes: &[&str]) -> Vec<String> {
        let command = [self.program.as_str(), "start"];
        let command = command.iter().chain(nodes);
        command.map(|&part| part.to_owned()).collect()
    }

    /// The addresses of a node that runs; of nerdctl also those of its bridges and of the veths of its pods.
    pub(super) async fn addresses(&self, node: &str) -> Result<String, ClusterError> {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}";
        self.ask(&["inspect", "--format", format, node]).await
    }

    /// Copies this very program into a node.
    pub(super) async fn copy_self_into(&self, node: &str, to: &str) -> Result<(), ClusterError> {
        // Not by its name, which may be another program's by now.
        let program = "/proc/self/exe";
        let act = format!("copy {program} into node {node}");
        let file = File::open(program).map_err(failed(act.clone()))?;
        let install = ["install", "-m", "755", "/dev/stdin", to];
        self.give(&act, node, &install, file).await
    }

    /// Runs a program in a node, with a file on its standard input.
    pub(super) async fn give(
        &self,
        act: &str,
        node: &str,
        arguments: &[&str],
        file: File,
    ) -> Result<(), ClusterError> {
        let mut command = self.exec(node, arguments);
        run(act, &mut command, Input::File(file)).await.map(drop)
    }

    /// What runs a program in a node.
    fn exec(&self, node: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(["exec", "--interactive", node])
            .args(arguments);
        command
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String, ClusterError> {
        let mut command = Command::new(&self.program);
        command.args(arguments);
        let act = "ask the container engine";
        match tokio::time::timeout(ANSWER, run(act, &mut command, Input::Nothing)).await {
            Ok(answer) => answer,
            Err(_) => Err(ClusterError::because(
                act,
                format!("it did not answer within {} s", ANSWER.as_secs()),
            )),
        }
    }
}

/// The engine that the user has chosen, else the first that is there.
fn choose(chosen: Option<String>, is_there: impl Fn(&str) -> bool) -> Result<String, ClusterError> {
    let missing = |why: String, hint: &str| {
        ClusterError::because("find a container engine for kind", why).hint(hint)
    };
    match chosen {
        Some(name) if is_there(&name) => Ok(name),
        Some(name) => Err(missing(
            format!("`{name}`, which {CHOICE} names, is not installed"),
            "install it, or unset the variable",
        )),
        None => ENGINES
            .into_iter()
            .find(|name| is_there(name))
            .map(str::to_owned)
            .ok_or_else(|| {
                missing(
                    format!("none of {} is installed", ENGINES.join(", ")),
                    "install one of them, or run on the local cluster, which needs none: --cluster local",
                )
            }),
    }
}

/// What a program says to `-v` is the version of an engine of its name.
fn is_version_of(program: &str, said: &str) -> bool {
    let name = match program {
        "docker" => "Docker",
        other => other,
    };
    said.starts_with(&format!("{name} version"))
}

/// The name of the engine that kind would use, when it answers.
///
/// # Errors
///
/// When there is none, or it does not answer; with a hint.
pub async fn check_engine() -> Result<String, ClusterError> {
    Engine::find().await.map(|engine| engine.program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_there_is_named_with_what_to_do() {
        let only = |there: &'static str| move |name: &str| name == there;
        assert_eq!(choose(None, only("podman")).unwrap(), "podman");
        assert_eq!(
            choose(Some("nerdctl".to_owned()), only("nerdctl")).unwrap(),
            "nerdctl"
        );
        let none = choose(None, only("")).unwrap_err();
        assert!(none.hint.unwrap().contains("--cluster local"));
        let other = choose(Some("podman".to_owned()), only("docker")).unwrap_err();
        assert!(other.source.unwrap().to_string().contains(CHOICE));
    }

    #[test]
    fn podman_under_the_name_of_docker_is_not_taken_for_docker() {
        assert!(is_version_of(
            "docker",
            "Docker version 28.2.2, build e6534b4\n"
        ));
        assert!(is_version_of("podman", "podman version 5.4.2\n"));
        assert!(is_version_of("nerdctl", "nerdctl version 2.3.5\n"));
        assert!(!is_version_of("docker", "podman version 5.4.2\n"));
    }

    #[test]
    fn of_several_engines_it_is_the_one_that_kind_takes() {
        // As kind v0.33.0 has it; another one would be asked about nodes that it does not have.
        let without = |missing: &'static [&str]| move |name: &str| !missing.contains(&name);
        assert_eq!(choose(None, without(&[])).unwrap(), "docker");
        assert_eq!(choose(None, without(&["docker"])).unwrap(), "nerdctl");
        assert_eq!(
            choose(None, without(&["docker", "nerdctl"])).unwrap(),
            "podman"
        );
    }
}
