//! What we know of our kind clusters: a folder for each in the cache, `kind/NAME/`, with its kubeconfig and a lock that
//! is held while the cluster belongs to a process.
//!
//! Invariant: a folder without the file `cluster.json`, whose lock is free, is of a cluster whose maker died.

use crate::{ClusterError, failed};
use harness_model::topology::Topology;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A cluster's folder, held.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: Option<Flock<File>>,
}

/// What a kept cluster says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    pub(super) topology: Topology,
    pub(super) started: jiff::Timestamp,
}

/// A kind cluster of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Name.
    pub name: String,
    /// Its folder.
    pub folder: PathBuf,
    /// Its kubeconfig file.
    pub kubeconfig: PathBuf,
    /// Whose it is.
    pub state: State,
    /// Name of its topology, when it is kept.
    pub topology: Option<String>,
    /// When it was ready, when it is kept.
    pub started: Option<jiff::Timestamp>,
}

/// Whose a kind cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A process makes it or runs on it.
    InUse,
    /// It stays until it is taken down.
    Kept,
    /// Its maker died.
    Dead,
}

const DESCRIPTION: &str = "cluster.json";

fn base(cache: &Path) -> PathBuf {
    cache.join("kind")
}

/// The folder of a cluster.
pub(super) fn of(cache: &Path, name: &str) -> PathBuf {
    base(cache).join(name)
}

/// The kind clusters that have a folder in this cache.
#[must_use]
pub fn list(cache: &Path) -> Vec<Listed> {
    let mut listed: Vec<Listed> = fs::read_dir(base(cache))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .map(|folder| {
            let description = description(&folder).ok();
            let state = match (&description, is_held(&folder)) {
                (Some(_), _) => State::Kept,
                (None, true) => State::InUse,
                (None, false) => State::Dead,
            };
            Listed {
                name: folder.file_name().unwrap_or_default().display().to_string(),
                kubeconfig: folder.join("kubeconfig"),
                state,
                topology: description
                    .as_ref()
                    .map(|found| found.topology.name.clone()),
                started: description.map(|found| found.started),
                folder,
            }
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed
}

/// What a kept cluster says of itself.
pub(super) fn description(folder: &Path) -> io::Result<Description> {
    let text = fs::read_to_string(folder.join(DESCRIPTION))?;
    Ok(serde_json::from_str(&text)?)
}

impl Folder {
    /// Makes the folder of a new cluster and holds it.
    pub(super) fn create(cache: &Path, name: &str) -> Result<Self, ClusterError> {
        let path = of(cache, name);
        let act = format!("make {}", path.display());
        let taken = |what: &str| {
            ClusterError::because(
                act.clone(),
                format!("a kind cluster named `{name}` is {what}"),
            )
            .hint(format!(
                "choose another name, or end it: meshproof cluster down {name}"
            ))
        };
        fs::create_dir_all(&path).map_err(|error| {
            failed(act.clone())(error)
                .hint("name a folder that you may write to with MESHPROOF_CACHE")
        })?;
        let Some(lock) = lock(&path).map_err(failed(act.clone()))? else {
            return Err(taken("being made or used"));
        };
        if path.join(DESCRIPTION).exists() {
            return Err(taken("kept"));
        }
        Ok(Self {
            path,
            lock: Some(lock),
        })
    }

    /// Takes over the folder of a dead cluster; none when it belongs to somebody after all.
    pub(super) fn take_dead(path: &Path) -> Option<Self> {
        let lock = lock(path).ok()??;
        (!path.join(DESCRIPTION).exists()).then(|| Self {
            path: path.to_owned(),
            lock: Some(lock),
        })
    }

    /// The folder of a kept cluster, which stays when this is dropped.
    pub(super) fn open_kept(path: PathBuf) -> Self {
        Self { path, lock: None }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes down that the cluster stays when we end.
    pub(super) fn keep(&self, description: &Description) -> Result<(), ClusterError> {
        let act = || format!("keep the cluster in {}", self.path.display());
        let text = serde_json::to_string_pretty(description).map_err(failed(act()))?;
        let new = self.path.join("cluster.json.new");
        fs::write(&new, text)
            .and_then(|()| fs::rename(&new, self.path.join(DESCRIPTION)))
            .map_err(failed(act()))
    }

    /// Removes the folder: the cluster is gone.
    pub(super) fn remove(&self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove a folder");
        }
    }

    /// The cluster belongs to this process.
    pub(super) fn is_held(&self) -> bool {
        self.lock.is_some()
    }
}

fn is_held(path: &Path) -> bool {
    matches!(
        lock_file(path).map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock)),
        Ok(Err((_, nix::Error::EWOULDBLOCK)))
    )
}

fn lock_file(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path.join("lock"))
}

/// The folder's lock, none when somebody holds it.
fn lock(path: &Path) -> io::Result<Option<Flock<File>>> {
    match Flock::lock(lock_file(path)?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(cache: &Path) -> Vec<(String, State)> {
        list(cache)
            .into_iter()
            .map(|listed| (listed.name, listed.state))
            .collect()
    }

    #[test]
    fn a_cluster_is_in_use_then_kept_or_dead() {
        let cache = tempfile::tempdir().unwrap();
        let one = Folder::create(cache.path(), "one").unwrap();
        let two = Folder::create(cache.path(), "two").unwrap();
        assert_eq!(
            states(cache.path()),
            [
                ("one".to_owned(), State::InUse),
                ("two".to_owned(), State::InUse)
            ]
        );
        assert!(Folder::create(cache.path(), "one").is_err(), "it is taken");
        one.keep(&Description {
            topology: crate::topology::load("one-zone").unwrap(),
            started: jiff::Timestamp::now(),
        })
        .unwrap();
        drop((one, two));
        assert_eq!(
            states(cache.path()),
            [
                ("one".to_owned(), State::Kept),
                ("two".to_owned(), State::Dead)
            ]
        );
        let error = Folder::create(cache.path(), "one").unwrap_err();
        assert!(error.hint.unwrap().contains("cluster down one"));
        let dead = list(cache.path()).remove(1);
        Folder::take_dead(&dead.folder).unwrap().remove();
        assert!(Folder::take_dead(&of(cache.path(), "one")).is_none());
        assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
    }
}
