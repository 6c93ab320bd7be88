//! What we know of our kind clusters: a folder for each in the cache, `kind/NAME/`, with its kubeconfig and a lock.
//!
//! A process holds the lock while it makes, uses or removes the cluster: one run at a time is on it.
//!
//! The file `kind.yaml`, what kind is told to make, is written once nobody has a kind cluster of the name and before kind
//! is told: a cluster of the name is ours only where that file stands.
//!
//! Invariant: a folder without the file `cluster.json`, whose lock is free, is of a cluster whose maker died, and only
//! who holds the lock alone removes a folder or what it stands for.

use crate::folder_lock::{self, Attempt, FolderLock};
use crate::together::Whole;
use crate::{ClusterError, failed};
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
    /// Its topology, when it is kept.
    pub topology: Option<Topology>,
    /// When it was ready, when it is kept.
    pub started: Option<jiff::Timestamp>,
    /// The clusters it is one of, when it is kept and there are several.
    pub part_of: Option<Whole>,
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
const CONFIG: &str = "kind.yaml";

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
            let state = match (&description, folder_lock::is_held(&folder)) {
                (Some(_), _) => State::Kept,
                (None, true) => State::InUse,
                (None, false) => State::Dead,
            };
            Listed {
                name: folder.file_name().unwrap_or_default().display().to_string(),
                kubeconfig: folder.join("kubeconfig"),
                state,
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

    /// The folder of a kept cluster, to end it: from now on the cluster is one whose maker may die.
    pub(super) fn end_kept(path: &Path) -> io::Result<Self> {
        let lock = folder_lock::alone_in_a_moment(path)?;
        let (folder, _) = Self::kept(path, Hold::Own, lock)?;
        fs::remove_file(path.join(DESCRIPTION))?;
        Ok(folder)
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

    /// Writes what kind will be told to make, and that a cluster of this name is ours from now on. Where it cannot be
    /// written, the cluster is as little ours as before.
    pub(super) fn begin(&self, config: &str) -> Result<PathBuf, ClusterError> {
        let path = self.path.join(CONFIG);
        // Whole or not at all: the name alone says whose the cluster is.
        let new = self.path.join("kind.yaml.new");
        fs::write(&new, config)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(|error| {
                failed(format!("write {}", path.display()))(error)
                    .hint("make room there, or name another folder with MESHPROOF_CACHE")
            })?;
        Ok(path)
    }

    /// Kind was told, or was about to be told, to make it: a cluster of this name is ours.
    pub(super) fn is_begun(&self) -> bool {
        self.path.join(CONFIG).exists()
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
            part_of: None,
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
        let two = Folder::create(cache.path(), "two").unwrap();
        assert!(
            Folder::take_dead(two.path()).is_none(),
            "it has an owner again"
        );
        drop(two);
        let dead = list(cache.path()).remove(1);
        Folder::take_dead(&dead.folder).unwrap().remove();
        assert!(Folder::take_dead(&of(cache.path(), "one")).is_none());
        assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
    }

    #[test]
    fn a_kept_cluster_that_is_used_is_not_removed_and_one_whose_removal_was_broken_off_is_dead() {
        let cache = tempfile::tempdir().unwrap();
        let path = of(cache.path(), "one");
        let missing = Folder::use_kept(&path).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let made = Folder::create(cache.path(), "one").unwrap();
        made.keep(&Description {
            topology: crate::topology::load("one-zone").unwrap(),
            started: jiff::Timestamp::now(),
            part_of: None,
        })
        .unwrap();
        let busy = Folder::use_kept(&path).unwrap_err();
        assert_eq!(
            busy.kind(),
            io::ErrorKind::ResourceBusy,
            "its maker runs on it"
        );
        drop(made);
        let user = Folder::use_kept(&path).unwrap();
        let busy = Folder::use_kept(&path).unwrap_err();
        assert_eq!(
            busy.kind(),
            io::ErrorKind::ResourceBusy,
            "one at a time uses it"
        );
        let busy = Folder::end_kept(&path).unwrap_err();
        assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
        assert_eq!(states(cache.path()), [("one".to_owned(), State::Kept)]);
        drop(user);
        let ending = Folder::end_kept(&path).unwrap();
        assert_eq!(states(cache.path()), [("one".to_owned(), State::InUse)]);
        drop(ending);
        assert_eq!(states(cache.path()), [("one".to_owned(), State::Dead)]);
    }

    #[test]
    fn a_cluster_is_ours_once_what_kind_is_told_stands_in_its_folder() {
        let cache = tempfile::tempdir().unwrap();
        let folder = Folder::create(cache.path(), "one").unwrap();
        assert!(!folder.is_begun());
        folder.begin("kind: Cluster").unwrap();
        drop(folder);
        let path = of(cache.path(), "one");
        assert!(Folder::take_dead(&path).unwrap().is_begun());
        // A folder where the file should be: it cannot be written.
        let other = Folder::create(cache.path(), "two").unwrap();
        fs::create_dir(other.path().join("kind.yaml.new")).unwrap();
        let error = other.begin("kind: Cluster").unwrap_err();
        assert!(error.hint.unwrap().contains("MESHPROOF_CACHE"));
        assert!(!other.is_begun());
    }

    #[test]
    fn a_removal_that_was_broken_off_is_no_cluster_and_is_swept() {
        let cache = tempfile::tempdir().unwrap();
        let left = base(cache.path()).join(".dead-1-one");
        fs::create_dir_all(&left).unwrap();
        assert_eq!(states(cache.path()), []);
        sweep_discarded(cache.path());
        assert!(!left.exists());
    }
}
