//! What we know of our kind clusters: a folder for each in the cache, `kind/NAME/`, with its kubeconfig and a lock.
//!
//! A process holds the lock while it makes, uses or removes the cluster: one run at a time is on it.
//!
//! The file `kind.yaml`, what kind is told to make, is written once nobody has a kind cluster of the name and before kind
//! is told: a cluster of the name is ours only where that file stands. `engine.json` says with which engine, since another
//! one does not know it.
//!
//! Invariant: a folder without the file `cluster.json`, whose lock is free, is of a cluster whose maker died, and only
//! who holds the lock alone removes a folder or what it stands for.

use super::identity::Identity;
use crate::folder_lock::{self, Attempt, FolderLock};
use crate::together::Whole;
use crate::{ClusterError, User, failed};
use harness_model::topology::Topology;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A cluster's folder, held.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    hold: Hold,
    _lock: FolderLock,
}

/// Why a folder is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// The cluster is ours to end.
    Own,
    /// We use a kept cluster.
    Use,
}

/// What a kept cluster says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Description {
    pub(super) topology: Topology,
    pub(super) started: jiff::Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) part_of: Option<Whole>,
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
    /// Whether a process makes it, runs on it or removes it, be it kept or not.
    pub in_use: bool,
    /// Its topology, when it is kept.
    pub topology: Option<Topology>,
    /// When it was ready, when it is kept.
    pub started: Option<jiff::Timestamp>,
    /// The clusters it is one of, when it is kept and there are several.
    pub part_of: Option<Whole>,
}

impl Listed {
    /// Who makes it or runs on it, where somebody does and that is known.
    #[must_use]
    pub fn user(&self) -> Option<User> {
        folder_lock::holder(&self.folder).filter(|_| self.in_use)
    }
}

/// Whose a kind cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// A process makes it or runs on it, and it is not kept.
    InUse,
    /// It stays until it is taken down.
    Kept,
    /// Its maker died.
    Dead,
}

const DESCRIPTION: &str = "cluster.json";
const CONFIG: &str = "kind.yaml";
const ENGINE: &str = "engine.json";

fn base(cache: &Path) -> PathBuf {
    cache.join("kind")
}

/// The folder of a cluster.
pub(super) fn of(cache: &Path, name: &str) -> PathBuf {
    base(cache).join(name)
}

/// The folders in this cache, of clusters and of removals that were broken off.
fn folders(cache: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(base(cache))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
}

/// Removes what removals that were broken off left of folders; their clusters were gone before.
pub(super) fn sweep_discarded(cache: &Path) {
    for folder in folders(cache).filter(|folder| folder_lock::is_discarded(folder)) {
        if let Err(error) = fs::remove_dir_all(&folder) {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove a folder");
        }
    }
}

/// The kind clusters that have a folder in this cache.
#[must_use]
pub fn list(cache: &Path) -> Vec<Listed> {
    let mut listed: Vec<Listed> = folders(cache)
        .filter(|folder| !folder_lock::is_discarded(folder))
        .map(|folder| {
            let description = description(&folder).ok();
            let in_use = folder_lock::is_held(&folder);
            let state = match (&description, in_use) {
                (Some(_), _) => State::Kept,
                (None, true) => State::InUse,
                (None, false) => State::Dead,
            };
            Listed {
                name: folder.file_name().unwrap_or_default().display().to_string(),
                kubeconfig: folder.join("kubeconfig"),
                state,
                in_use,
                started: description.as_ref().map(|found| found.started),
                part_of: description.as_ref().and_then(|found| found.part_of.clone()),
                topology: description.map(|found| found.topology),
                folder,
            }
        })
        .collect();
    listed.sort_by(|a, b| a.name.cmp(&b.name));
    listed
}

/// What a kept cluster says of itself.
fn description(folder: &Path) -> io::Result<Description> {
    let text = fs::read_to_string(folder.join(DESCRIPTION))?;
    Ok(serde_json::from_str(&text)?)
}

/// Kind was told, or was about to be told, to make the cluster of this folder.
pub(super) fn is_begun(folder: &Path) -> bool {
    folder.join(CONFIG).exists()
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
        let lock = loop {
            fs::create_dir_all(&path).map_err(|error| {
                failed(act.clone())(error)
                    .hint("name a folder that you may write to with MESHPROOF_CACHE")
            })?;
            match folder_lock::alone_in_a_moment(&path).map_err(failed(act.clone()))? {
                Attempt::Held(lock) => break lock,
                Attempt::Taken => return Err(taken("being made, used or removed")),
                Attempt::Gone => {}
            }
        };
        if path.join(DESCRIPTION).exists() {
            return Err(taken("kept"));
        }
        Ok(Self::held(path, Hold::Own, lock))
    }

    fn held(path: PathBuf, hold: Hold, lock: FolderLock) -> Self {
        Self {
            path,
            hold,
            _lock: lock,
        }
    }

    /// Takes over the folder of a dead cluster; none when it belongs to somebody after all.
    pub(super) fn take_dead(path: &Path) -> Option<Self> {
        let Attempt::Held(lock) = folder_lock::alone(path).ok()? else {
            return None;
        };
        (!path.join(DESCRIPTION).exists()).then(|| Self::held(path.to_owned(), Hold::Own, lock))
    }

    /// The folder of a kept cluster, to use it; the cluster stays when this is dropped.
    pub(super) fn use_kept(path: &Path) -> io::Result<(Self, Description)> {
        let lock = folder_lock::alone_in_a_moment(path)?;
        Self::kept(path, Hold::Use, lock)
    }

    /// The folder of a kept cluster, to end it; until then it is kept.
    ///
    /// # Errors
    ///
    /// When it is not kept, a process uses it, or it was made with another engine.
    pub(super) fn end_kept(path: &Path, engine: &Identity) -> Result<Self, ClusterError> {
        let lock = || {
            let lock = folder_lock::alone_in_a_moment(path)?;
            Self::kept(path, Hold::Own, lock)
        };
        let (folder, _) = lock().map_err(|error| {
            failed(format!("lock {}", path.display()))(error)
                .hint("wait until whoever uses it has ended")
        })?;
        folder.must_be_of(engine)?;
        Ok(folder)
    }

    /// From now on the cluster is one whose maker may die: what is left of it is swept.
    pub(super) fn end(&self) {
        match fs::remove_file(self.path.join(DESCRIPTION)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(folder = %self.path.display(), %error, "cannot write down that a cluster ends");
            }
            _ => {}
        }
    }

    fn kept(path: &Path, hold: Hold, lock: Attempt) -> io::Result<(Self, Description)> {
        let none = || io::Error::new(io::ErrorKind::NotFound, "no cluster of this name is kept");
        match lock {
            Attempt::Held(lock) => {
                let description = description(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => none(),
                    _ => error,
                })?;
                Ok((Self::held(path.to_owned(), hold, lock), description))
            }
            Attempt::Gone => Err(none()),
            Attempt::Taken => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                "a process makes, uses or removes it",
            )),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes with which engine kind will make what, and so that a cluster of this name is ours from now on. Where it
    /// cannot be written, the cluster is as little ours as before.
    pub(super) fn begin(&self, config: &str, engine: &Identity) -> Result<PathBuf, ClusterError> {
        let path = self.path.join(CONFIG);
        let write = || {
            let engine = serde_json::to_string_pretty(engine)?;
            fs::write(self.path.join(ENGINE), engine)?;
            // Whole or not at all: that it is there says whose the cluster is.
            let new = self.path.join("kind.yaml.new");
            fs::write(&new, config)?;
            fs::rename(&new, &path)
        };
        write().map_err(|error: io::Error| {
            failed(format!("write {}", path.display()))(error)
                .hint("make room there, or name another folder with MESHPROOF_CACHE")
        })?;
        Ok(path)
    }

    /// That the cluster was made with this engine, as far as its folder tells.
    ///
    /// # Errors
    ///
    /// When it was made with another one.
    pub(super) fn must_be_of(&self, engine: &Identity) -> Result<(), ClusterError> {
        let path = self.path.join(ENGINE);
        let act = || format!("read {}", path.display());
        match fs::read_to_string(&path) {
            Ok(text) => {
                let made_with: Identity = serde_json::from_str(&text).map_err(failed(act()))?;
                made_with.must_be(engine, &self.path)
            }
            // Made before this was written down.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(act())(error)),
        }
    }

    /// Kind was told, or was about to be told, to make it: a cluster of this name is ours.
    pub(super) fn is_begun(&self) -> bool {
        is_begun(&self.path)
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
        if let Err(error) = folder_lock::discard(&self.path) {
            tracing::warn!(folder = %self.path.display(), %error, "cannot remove a folder");
        }
    }

    /// The cluster belongs to this process.
    pub(super) fn is_ours(&self) -> bool {
        self.hold == Hold::Own
    }
}

#[cfg(test)]
mod tests;
