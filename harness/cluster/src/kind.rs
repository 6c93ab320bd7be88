//! Clusters made by kind: nodes are containers of a container engine (Docker, Podman or nerdctl, as kind supports
//! them), data centers are labels of worker nodes, and the control plane has a node of its own outside of them.
//!
//! Names: cluster `dev` is the kind cluster `meshproof-dev`. What we know of it is in a folder of the cache
//! (`state`), with a kubeconfig file of its own; the user's kubeconfig and other kind clusters are never touched.
//!
//! Invariant: a kind cluster of ours has a folder from before it is made until after it is gone, so whatever a killed
//! process leaves is found by [`sweep`].

pub mod config;

mod away;
mod bring_up;
mod cluster;
mod command;
mod control_plane;
mod dial;
mod early;
mod engine;
mod group;
mod images;
mod latency;
mod made;
mod making;
mod names;
mod on_disks;
mod pods;
mod power;
mod said;
mod state;
mod wire;
mod zone;

pub use bring_up::{Keep, Options};
pub use cluster::KindCluster;
pub use engine::check_engine;
pub use group::{attach, inotify_limit, kept, remove_kept, up};
pub use images::ImagesToCome;
pub use state::{Listed, State, list};

use crate::ClusterError;
use command::KindCommand;
use std::path::Path;

/// What the program does when it is started again under this name.
pub(crate) fn role(name: &str) -> Option<fn() -> Result<(), ClusterError>> {
    match name {
        latency::ROLE => Some(latency::run),
        wire::ROLE => Some(wire::run),
        _ => None,
    }
}

/// What the names of our kind clusters begin with.
const PREFIX: &str = "meshproof-";

/// What [`sweep`] did.
#[derive(Debug, Default)]
pub struct Swept {
    /// Names of clusters that were removed; says so where only a folder was.
    pub removed: Vec<String>,
    /// What could not be removed, and why.
    pub failed: Vec<(String, ClusterError)>,
}

/// The clusters of `cache` whose maker died before they were finished or while they were his.
#[must_use]
pub fn dead(cache: &Path) -> Vec<Listed> {
    list(cache)
        .into_iter()
        .filter(|listed| listed.state == State::Dead)
        .collect()
}

/// Removes the [`dead`] clusters of `cache` with the program `kind`.
pub async fn sweep(cache: &Path, program: &Path) -> Swept {
    state::sweep_discarded(cache);
    let mut swept = Swept::default();
    for listed in dead(cache) {
        let Some(folder) = state::Folder::take_dead(&listed.folder) else {
            continue;
        };
        if !folder.is_begun() {
            // Whatever has this name by now is somebody else's.
            folder.remove();
            let name = listed.name;
            swept
                .removed
                .push(format!("{name} (its folder: kind had made nothing)"));
            continue;
        }
        let kind = KindCommand::new(program, &listed.name, folder.path());
        match kind.remove().await {
            Ok(()) => {
                folder.remove();
                swept.removed.push(listed.name);
            }
            Err(error) => swept.failed.push((listed.name, error)),
        }
    }
    swept
}
