//! A container engine for kind: one that answers, else Debian's own, started by hand.
//!
//! Invariant: an engine of ours changes nothing outside its run folder, its data folder in the cache, a network
//! namespace and control groups of its own, and one limit of the machine, which is put back; [`down`] takes all of it
//! away but the data folder, in which images stay for the next time.

mod limits;
mod lock;
mod network;
mod runtime;
mod start;
mod stop;

pub(crate) use runtime::become_runc;

use crate::system::{self, CannotHere};
use anyhow::{Context as _, ensure};
use lock::Lock;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Where the parts of an engine of ours are while it runs.
const RUN_FOLDER: &str = "/run/meshproof-engine";

/// Programs and the Debian packages that bring them. Where the engine's command line is a package of its own, it is
/// installed in a second step.
const NEEDED: [(&str, &str); 4] = [
    ("dockerd", "docker.io"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
];

/// A container engine that answers.
#[derive(Debug)]
pub(crate) struct Engine {
    /// What `DOCKER_HOST` must be; the default where there is none.
    host: Option<OsString>,
    /// The network namespace with the ports that containers publish; our own where there is none.
    network: Option<PathBuf>,
}

impl Engine {
    /// A program that shall use the engine and reach what its containers publish.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = match &self.network {
            // `ip netns exec` would mount another /sys, which hides the control groups.
            Some(network) => {
                let mut command = Command::new("nsenter");
                let mut option = OsString::from("--net=");
                option.push(network);
                command.arg(option).arg("--").arg(program);
                command
            }
            None => Command::new(program),
        };
        command.envs(self.host.iter().map(|host| ("DOCKER_HOST", host)));
        command
    }

    /// Lets the tests that `nextest` starts use the engine and reach what its containers publish; `nextest` itself, which
    /// may have to build them, stays where the network is.
    pub(crate) fn serve_tests(&self, nextest: &mut Command) {
        if let Some(network) = &self.network {
            let runner = format!(
                r#"target."cfg(unix)".runner = ["nsenter", "--net={}", "--"]"#,
                network.display()
            );
            nextest.args(["--config", &runner]);
        }
        nextest.envs(self.host.iter().map(|host| ("DOCKER_HOST", host)));
    }

    /// The engine's command line.
    pub(crate) fn docker(&self) -> Command {
        let mut command = Command::new("docker");
        command.envs(self.host.iter().map(|host| ("DOCKER_HOST", host)));
        command
    }

    /// What the engine's command line says to these arguments.
    pub(crate) fn says(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let output = self
            .docker()
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("start docker")?;
        ensure!(
            output.status.success(),
            "docker {} ended with {}",
            arguments.join(" "),
            output.status
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Its version; none when it does not answer.
    fn version(&self) -> Option<String> {
        let output = self
            .docker()
            .args(["version", "--format", "{{.Server.Version}}"])
            .stderr(Stdio::null())
            .output()
            .ok()?;
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        (output.status.success() && !version.is_empty()).then_some(version)
    }

    /// Finds out where an engine that is not ours publishes ports: where that is not here, programs must go there.
    fn with_its_network(self) -> anyhow::Result<Self> {
        let Some(network) = network::elsewhere(self.host.as_deref()) else {
            return Ok(self);
        };
        if self.is_rootless() {
            // That kind brings its ports here.
            return Ok(self);
        }
        system::require_rights(&format!(
            "enter the network namespace {}, in which the container engine that answers publishes its ports,",
            network.display()
        ))?;
        eprintln!(
            "engine: the one that answers publishes ports in another network namespace, so what uses it runs there ({})",
            network.display()
        );
        Ok(Self {
            network: Some(network),
            ..self
        })
    }

    fn is_rootless(&self) -> bool {
        let output = self
            .docker()
            .args(["info", "--format", "{{.SecurityOptions}}"])
            .output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("rootless"))
    }

    fn ours() -> Self {
        Self {
            host: Some(Place::default().host().into()),
            network: Some(Place::default().network()),
        }
    }
}

/// The run folder's parts.
#[derive(Debug)]
struct Place {
    folder: PathBuf,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            folder: RUN_FOLDER.into(),
        }
    }
}

impl Place {
    fn host(&self) -> String {
        format!("unix://{}", self.folder.join("docker.sock").display())
    }

    /// The file that holds the network namespace.
    fn network(&self) -> PathBuf {
        self.folder.join("network")
    }

    /// A file that every process of the engine keeps locked, so that its lock can be waited for.
    fn alive(&self) -> PathBuf {
        self.folder.join("alive")
    }

    fn process(&self) -> PathBuf {
        self.folder.join("dockerd.pid")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("dockerd.log")
    }
}

/// The engine that answers (`DOCKER_HOST`, else Docker's default), else ours, which is started where it does not run.
///
/// # Errors
///
/// [`CannotHere`] when there is none and this machine cannot have one; others when it does not start.
pub(crate) fn ensure(install: bool) -> anyhow::Result<Engine> {
    if let Some(engine) = answering()? {
        return Ok(engine);
    }
    system::require_rights("start a container engine")?;
    install_engine(install)?;
    let _lock = Lock::take()?;
    // Another process may have started ours meanwhile, and the package starts the machine's own where systemd runs.
    if let Some(engine) = answering()? {
        return Ok(engine);
    }
    let place = Place::default();
    let data = data_folder()?;
    // What an engine left that did not end by itself.
    stop::stop(&place, &data)?;
    eprintln!("engine: starting Docker in a network namespace of its own");
    if let Err(error) = start::start(&place, &data) {
        stop::stop(&place, &data)?;
        return Err(error);
    }
    let engine = Engine::ours();
    let version = engine
        .version()
        .context("the container engine is ready but does not answer")?;
    eprintln!("engine: Docker {version} is ready");
    Ok(engine)
}

/// An engine that something needs for a while: who found none running leaves none running.
#[derive(Debug)]
pub(crate) struct Kept {
    engine: Engine,
    was_running: bool,
}

impl Kept {
    /// As [`ensure()`].
    pub(crate) fn ensure(install: bool) -> anyhow::Result<Self> {
        let was_running = answering()?.is_some();
        Ok(Self {
            engine: ensure(install)?,
            was_running,
        })
    }

    /// It is needed no more.
    pub(crate) fn end(self) -> anyhow::Result<()> {
        if !self.was_running {
            down()?;
        }
        Ok(())
    }
}

impl std::ops::Deref for Kept {
    type Target = Engine;

    fn deref(&self) -> &Engine {
        &self.engine
    }
}

/// An engine that needs nothing but to be used.
fn answering() -> anyhow::Result<Option<Engine>> {
    let named = std::env::var_os("DOCKER_HOST").filter(|host| !host.is_empty());
    let ours = Engine::ours();
    let foreign = Engine {
        host: named.clone(),
        network: None,
    };
    if named.is_some() && named == ours.host {
        return Ok(ours.version().is_some().then_some(ours));
    }
    if foreign.version().is_some() {
        return foreign.with_its_network().map(Some);
    }
    match named {
        Some(host) => Err(CannotHere::because(format!(
            "no container engine answers at DOCKER_HOST={}",
            host.display()
        ))),
        None => Ok(ours.version().is_some().then_some(ours)),
    }
}

/// Installs what an engine of ours needs.
fn install_engine(install: bool) -> anyhow::Result<()> {
    let needed = |error: anyhow::Error| {
        CannotHere::because(format!("there is no container engine, and {error:#}"))
    };
    system::require_programs(&NEEDED, install).map_err(needed)?;
    system::require_programs(&[("docker", "docker-cli")], install).map_err(needed)
}

/// Where images and containers are kept.
fn data_folder() -> anyhow::Result<PathBuf> {
    Ok(harness_assets::cache_folder()?.join("engine"))
}

/// `cargo xtask engine up`: starts the engine and says how to use it.
pub(crate) fn up(install: bool) -> anyhow::Result<bool> {
    let engine = ensure(install)?;
    match &engine.host {
        Some(host) => println!("export DOCKER_HOST={}", host.display()),
        None => println!("# Docker's default engine answers; nothing was started"),
    }
    if engine.network.is_some() {
        println!(
            "# what it publishes is in its own network namespace: cargo xtask engine run -- COMMAND"
        );
    }
    Ok(true)
}

/// `cargo xtask engine down`: ends an engine of ours, and everything in it.
pub(crate) fn down() -> anyhow::Result<bool> {
    let place = Place::default();
    if !place.folder.exists() {
        eprintln!("engine: none of ours is running");
        return Ok(true);
    }
    let lock = Lock::take()?;
    stop::stop(&place, &data_folder()?)?;
    lock.remove();
    eprintln!("engine: ended, nothing is left but images in the cache");
    Ok(true)
}

/// `cargo xtask engine run -- COMMAND`: becomes a command that uses the engine.
pub(crate) fn run(command: &[OsString], install: bool) -> anyhow::Result<bool> {
    let (program, arguments) = command.split_first().context("there is no command")?;
    let error = ensure(install)?.command(program).args(arguments).exec();
    Err(error).with_context(|| format!("start {}", program.display()))
}
