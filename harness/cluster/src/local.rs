//! The local cluster: real etcd and Kubernetes control plane, zones that are routers, nodes that are processes, all
//! in one user, PID, mount and network namespace whose init is this program once more (`__fabric`).
//!
//! Roles of the re-executed program: `fabric` (everything), `zone` (a router), `node` (a machine). Shared by them:
//! `plan` (addresses), `protocol` (what they say to each other), `run_folder` (where they meet the host).
//!
//! Invariant: the end of the harness is the end of the fabric, and the end of the fabric is the end of everything;
//! what a killed fabric leaves is one folder, which the next run sweeps.

mod away;
mod bootstrap;
mod cluster;
mod components;
mod control;
mod diagnostics;
mod dial;
mod fabric;
mod gate;
mod group;
mod groups;
mod handle;
mod health_gate;
mod key_search;
mod load;
mod machines;
mod measure;
mod node;
mod pki;
mod plan;
mod programs;
mod protocol;
mod roles;
mod run_folder;
mod switch;
mod wiring;
mod zone;

pub use cluster::{LocalCluster, Options};
pub use group::{attach, kept, remove_kept, up};
pub use measure::round_trips;
pub(crate) use plan::{MOST_DATA_CENTERS, MOST_NODES};
pub use programs::Programs;

use crate::together::Whole;
use crate::{ClusterError, failed};
use harness_model::topology::Topology;
use std::path::{Path, PathBuf};

/// What the program does when it is started again under this name.
pub(crate) fn role(name: &str) -> Option<fn() -> Result<(), ClusterError>> {
    match name {
        "__fabric" => Some(fabric::run),
        "__zone" => Some(zone::run),
        "__node" => Some(node::run),
        _ => None,
    }
}

/// A cluster that is running, or was and left its folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name.
    pub name: String,
    /// Its run folder.
    pub folder: PathBuf,
    /// The kubeconfig file in it.
    pub kubeconfig: PathBuf,
    /// Its topology; none while it comes up.
    pub topology: Option<Topology>,
    /// What it is a part of, when others were brought up with it.
    pub part_of: Option<Whole>,
    /// When it was ready.
    pub started: Option<jiff::Timestamp>,
    /// Whether its fabric lives.
    pub running: bool,
    /// Whether a run, or another command, uses it.
    pub in_use: bool,
}

impl Listed {
    /// Who uses it, where somebody does and that is known.
    #[must_use]
    pub fn user(&self) -> Option<crate::User> {
        crate::folder_lock::user(&self.folder).filter(|_| self.in_use)
    }
}

/// Nobody can attach to a cluster that is not there; the hint says which are.
fn not_running(name: &str) -> ClusterError {
    let running: Vec<_> = list()
        .into_iter()
        .filter(|listed| listed.running && !listed.in_use)
        .map(|listed| listed.name)
        .collect();
    ClusterError::because(
        format!("attach to cluster `{name}`"),
        "no cluster of this name is running",
    )
    .hint(if running.is_empty() {
        "start one with `meshproof cluster up`".to_owned()
    } else {
        format!("running: {}", running.join(", "))
    })
}

/// The clusters of this user.
#[must_use]
pub fn list() -> Vec<Listed> {
    run_folder::of_clusters()
        .into_iter()
        .map(|folder| {
            let description = run_folder::description(&folder).ok();
            Listed {
                name: folder.file_name().unwrap_or_default().display().to_string(),
                kubeconfig: folder.join("kubeconfig"),
                running: crate::folder_lock::is_held(&folder),
                in_use: crate::folder_lock::is_used(&folder),
                started: description.as_ref().map(|found| found.started),
                part_of: description.as_ref().and_then(|found| found.part_of.clone()),
                topology: description.map(|found| found.topology),
                folder,
            }
        })
        .collect()
}

/// Removes what dead clusters left, and returns the folders that were removed.
#[must_use]
pub fn sweep() -> Vec<PathBuf> {
    run_folder::sweep()
}

/// The key that the API server signs tokens of service accounts with, in the folder of a run.
const ACCOUNT_KEY: &str = "service-account.key";

fn control_socket(folder: &Path) -> PathBuf {
    folder.join("control.sock")
}

fn connect_socket(folder: &Path, node: &str) -> PathBuf {
    folder.join(format!("{node}.sock"))
}

/// Sends our output and our own log to a file.
fn log_to(path: &Path) -> Result<(), ClusterError> {
    let act = || format!("write {}", path.display());
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(failed(act()))?;
    nix::unistd::dup2_stdout(&file).map_err(failed(act()))?;
    nix::unistd::dup2_stderr(&file).map_err(failed(act()))?;
    // That one calls every answer but 200 an error, also those that are waited for.
    let filter =
        tracing_subscriber::EnvFilter::try_from_env("MESHPROOF_LOG").unwrap_or_else(|_| {
            tracing_subscriber::EnvFilter::new("info,kube_client::client::builder=off")
        });
    // A second call would be a role started twice, which cannot be.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .try_init();
    Ok(())
}

fn tokio_stream(stream: std::os::unix::net::UnixStream) -> std::io::Result<tokio::net::UnixStream> {
    stream.set_nonblocking(true)?;
    tokio::net::UnixStream::from_std(stream)
}
