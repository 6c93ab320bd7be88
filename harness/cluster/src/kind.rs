//! Clusters made by kind: nodes are containers of a container engine (Docker, Podman or nerdctl, as kind supports
//! them), data centers are labels of worker nodes, and the control plane has a node of its own outside of them.
//!
//! Names: cluster `dev` is the kind cluster `meshproof-dev`. What we know of it is in a folder of the cache
//! (`state`), with a kubeconfig file of its own; the user's kubeconfig and other kind clusters are never touched.
//!
//! Invariant: a kind cluster of ours has a folder from before it is made until after it is gone, so whatever a killed
//! process leaves is found by [`sweep`]; and only a cluster whose folder says that kind was told to make it, and with this
//! engine, is removed.

pub mod config;

mod away;
mod bring_up;
mod brought;
mod cluster;
mod command;
mod control_plane;
mod dial;
mod early;
mod engine;
#[cfg(test)]
mod fakes;
mod group;
mod held;
mod identity;
mod images;
mod late_answers;
mod latency;
mod made;
mod making;
mod measure;
mod names;
mod on_disks;
mod pods;
mod power;
mod said;
mod state;
mod unit;
mod wire;
mod zone;

pub use bring_up::{Keep, Options};
pub use cluster::KindCluster;
pub use engine::check_engine;
pub use group::{attach, inotify_limit, kept, left_of, remove_kept, up};
pub use held::{Held, Saved, held, save};
pub use images::ImagesToCome;
pub use measure::round_trips;
pub use state::{Listed, State, list};

use crate::ClusterError;
use command::KindCommand;
use engine::Engine;
use harness_model::causes::chain;
use std::path::Path;

/// What the program does when it is started again under this name.
pub(crate) fn role(name: &str) -> Option<fn() -> Result<(), ClusterError>> {
    match name {
        latency::ROLE => Some(latency::run),
        late_answers::ROLE => Some(late_answers::run),
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
    if dead(cache).is_empty() {
        return Swept::default();
    }
    let engine = Engine::find().await;
    sweep_on(cache, program, engine.as_ref()).await
}

/// The same with this engine, or none, and why.
async fn sweep_on(cache: &Path, program: &Path, engine: Result<&Engine, &ClusterError>) -> Swept {
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
            let only = format!("{name} (its folder: kind had made nothing)");
            swept.removed.push(only);
            continue;
        }
        match remove_dead(&listed.name, &folder, program, engine).await {
            Ok(()) => {
                folder.remove();
                swept.removed.push(listed.name);
            }
            Err(error) => swept.failed.push((listed.name, error)),
        }
    }
    swept
}

async fn remove_dead(
    name: &str,
    folder: &state::Folder,
    program: &Path,
    engine: Result<&Engine, &ClusterError>,
) -> Result<(), ClusterError> {
    let engine = engine.map_err(|error| ClusterError {
        hint: error.hint.clone(),
        ..ClusterError::because("find the engine that has it", chain(error))
    })?;
    folder.must_be_of(&engine.identity().await)?;
    KindCommand::new(program, engine, name, folder.path())
        .remove()
        .await
}

#[cfg(test)]
mod tests {
    use super::fakes::Fakes;
    use super::state::{Folder, list};
    use super::*;

    #[tokio::test]
    async fn a_cluster_that_kind_was_never_told_to_make_is_not_removed_with_its_folder() {
        let fakes = Fakes::knowing(&["meshproof-dev"]);
        drop(Folder::create(fakes.cache(), "dev").unwrap());
        let swept = sweep_on(fakes.cache(), &fakes.kind(), Ok(&fakes.engine())).await;
        assert_eq!((swept.removed.len(), swept.failed.len()), (1, 0));
        assert_eq!(list(fakes.cache()), []);
        assert_eq!(fakes.clusters(), ["meshproof-dev"]);
    }

    #[tokio::test]
    async fn a_dead_cluster_is_removed_with_its_own_engine_alone() {
        let fakes = Fakes::knowing(&["meshproof-dev", "other"]);
        let engine = fakes.engine();
        let folder = Folder::create(fakes.cache(), "dev").unwrap();
        folder.begin("", &engine.identity().await).unwrap();
        drop(folder);
        fakes.write("id", "two");
        let mut swept = sweep_on(fakes.cache(), &fakes.kind(), Ok(&engine)).await;
        let (name, error) = swept.failed.remove(0);
        assert_eq!((name.as_str(), swept.removed.len()), ("dev", 0));
        assert!(chain(&error).contains("it was made with"), "{error:?}");
        assert_eq!(fakes.calls(), "", "another engine is not even asked");
        let missing = ClusterError::because("use the engine", "it does not run").hint("start it");
        let mut swept = sweep_on(fakes.cache(), &fakes.kind(), Err(&missing)).await;
        assert_eq!(swept.failed.remove(0).1.hint.as_deref(), Some("start it"));
        fakes.write("id", "one");
        let swept = sweep_on(fakes.cache(), &fakes.kind(), Ok(&engine)).await;
        assert_eq!(swept.removed, ["dev"]);
        assert_eq!(fakes.clusters(), ["other"]);
        let calls = fakes.calls();
        let of_ours = |line: &str| line.starts_with(engine.program());
        assert!(calls.lines().all(of_ours), "{calls}");
    }
}
