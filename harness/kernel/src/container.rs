//! The inside of a container: namespaces, root file system, capabilities and the exec, as `__container` does them.
//!
//! The kubelet starts its own executable with the one argument `__container` and a socket as standard input. It
//! writes an [`Order`] as JSON and closes its half; it reads back `pid N` (the process to signal, as the kubelet
//! sees it) and then either nothing, when the exec succeeded, or `error TEXT`. The process that was started stays
//! as the parent of the container's init, waits for it and exits with its status (128 + signal when killed).
//!
//! Invariant: [`shim`] runs in a process with one thread; namespaces cannot be joined from several.

mod capabilities;
mod execute;
mod root;

pub use capabilities::{CONTAINER_DEFAULT_CAPABILITIES, is_known_capability, without_capabilities};

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What the shim must do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Start a new container.
    Start(ContainerSpec),
    /// Run one more process in a container that runs already.
    Execute {
        /// The container's init, in the caller's PID namespace.
        pid: i32,
        /// The process.
        process: ProcessSpec,
        /// What its standard streams are.
        #[serde(default)]
        streams: Streams,
    },
}

/// The standard streams of a process that is executed in a container. Paths are the caller's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Streams {
    /// No input; output and errors are the shim's.
    #[default]
    Outputs,
    /// The same, with input from this file, which may be a named pipe that somebody has open for writing.
    Input(PathBuf),
    /// All three are this terminal, which is the process's controlling one.
    Terminal(PathBuf),
}

/// A container, completely resolved: nothing in here is looked up anywhere any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerSpec {
    /// File of the pod's network namespace.
    pub network_namespace: PathBuf,
    /// Host name inside.
    pub hostname: String,
    /// The image's root file system; it is never written to.
    pub rootfs: PathBuf,
    /// Folder for what the container writes, made by the caller, on a file system that can be an overlay's upper.
    pub scratch: PathBuf,
    /// Whether the root file system is mounted read-only.
    pub read_only_root: bool,
    /// What is mounted into it, in this order.
    pub mounts: Vec<BindMount>,
    /// The process.
    pub process: ProcessSpec,
}

/// A file or folder that is made visible inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BindMount {
    /// Path as the caller sees it. Links in it are followed, so it must be the caller's own.
    pub source: PathBuf,
    /// What of it, as if it were a whole disk: links lead nowhere else. Empty: all of it.
    pub inside: PathBuf,
    /// What of that. A link that leads out of it is an error. Empty: all of it.
    pub part: PathBuf,
    /// Absolute path inside the container; made when it is missing.
    pub target: PathBuf,
    /// Whether it is read-only inside.
    pub read_only: bool,
}

impl BindMount {
    /// What is mounted, in words.
    fn name(&self) -> String {
        let mut name = self.source.display().to_string();
        for part in [&self.inside, &self.part] {
            if !part.as_os_str().is_empty() {
                name = format!("{name}, of it {}", part.display());
            }
        }
        name
    }
}

/// The process that is executed in the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessSpec {
    /// Program and arguments; the program is looked up in the `PATH` of `environment`.
    pub arguments: Vec<String>,
    /// Whole environment.
    pub environment: Vec<(String, String)>,
    /// Working folder inside; made when it is missing.
    pub working_directory: PathBuf,
    /// Capabilities that are kept, by name without `CAP_`.
    pub capabilities: Vec<String>,
    /// Whether an exec may never gain privileges.
    pub no_new_privileges: bool,
    /// The files by which it enters its control groups, as the caller sees them; see
    /// [`entrances`](crate::control_group::Group::entrances).
    #[serde(default)]
    pub control_groups: Vec<PathBuf>,
}

/// A step of setting a container up failed.
#[derive(Debug, thiserror::Error)]
#[error("{act}: {source}")]
pub(crate) struct StepError {
    act: String,
    source: std::io::Error,
}

/// Names the step that failed.
trait Act<T> {
    fn act(self, act: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T, E: Into<std::io::Error>> Act<T> for Result<T, E> {
    fn act(self, act: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|source| StepError {
            act: act(),
            source: source.into(),
        })
    }
}

/// The whole life of a `__container` process; the value is its exit status.
///
/// Must be called before any thread was started. Reads the [`Order`] from standard input.
#[must_use]
pub fn shim() -> i32 {
    execute::run()
}
