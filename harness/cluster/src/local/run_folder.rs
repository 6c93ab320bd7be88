//! Where a cluster keeps its sockets, its logs, the administrator's kubeconfig and the key that its tokens are signed with: `<tmp>/meshproof-<uid>/<name>/`, with a lock that its fabric holds
//! as long as it lives.
//!
//! Invariant: a folder whose lock is free belongs to nobody, and whoever holds the lock may remove it.

use super::groups;
use super::protocol::Description;
use crate::ClusterError;
use crate::folder_lock::{self, Attempt, FolderLock};
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: FolderLock,
}

/// The folder that holds this user's run folders.
pub(super) fn base() -> PathBuf {
    std::env::temp_dir().join(format!("meshproof-{}", nix::unistd::geteuid()))
}

/// The run folder of a cluster.
pub(super) fn of(name: &str) -> PathBuf {
    base().join(name)
}

/// What a cluster says of itself.
pub(super) fn description(folder: &Path) -> io::Result<Description> {
    let text = fs::read_to_string(folder.join("cluster.json"))?;
    Ok(serde_json::from_str(&text)?)
}

impl RunFolder {
    /// Makes a folder, after removing what a dead cluster of this name left.
    pub(super) fn create(path: &Path) -> Result<Self, ClusterError> {
        let fail = |source: io::Error| ClusterError {
            act: format!("make {}", path.display()),
            source: Some(Box::new(source)),
            hint: Some("set TMPDIR to a folder that you may write to".into()),
            left: Vec::new(),
        };
        let base = path.parent().unwrap_or(Path::new("/"));
        loop {
            private_folder(base).map_err(fail)?;
            match DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {}
                // The last one to leave removes the base.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail(error)),
            }
            let lock = match folder_lock::alone_in_a_moment(path).map_err(fail)? {
                Attempt::Held(lock) => lock,
                Attempt::Gone => continue,
                Attempt::Taken => {
                    let name = path.file_name().unwrap_or_default().display();
                    return Err(ClusterError {
                        act: format!("make {}", path.display()),
                        source: Some(format!("a cluster named `{name}` is running").into()),
                        hint: Some(format!(
                            "end it with `meshproof cluster down {name}`, or choose another name"
                        )),
                        left: Vec::new(),
                    });
                }
            };
            groups::remove(path).map_err(|source| ClusterError {
                act: format!(
                    "remove the control groups that {} tells of",
                    path.display()
                ),
                source: Some(Box::new(source)),
                hint: Some(
                    "processes of the last cluster of this name are still ending in them: try again in a moment"
                        .into(),
                ),
                left: Vec::new(),
            })?;
            empty(path).map_err(fail)?;
            return Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            });
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folder, and the one above when it was the last.
    pub(super) fn remove(self) -> io::Result<()> {
        discard(&self.path)
    }
}

/// Removes the folders of dead clusters and returns what was removed.
pub(super) fn sweep() -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for path in folders() {
        if let Ok(Attempt::Held(_lock)) = folder_lock::alone(&path)
            // The folder says where they are.
            && groups::remove(&path).is_ok()
            && discard(&path).is_ok()
        {
            removed.push(path);
        }
    }
    removed
}

/// The run folders of this user's clusters, dead or alive.
pub(super) fn of_clusters() -> Vec<PathBuf> {
    let mut folders = folders();
    folders.retain(|path| !folder_lock::is_discarded(path));
    folders
}

/// Everything below the base.
fn folders() -> Vec<PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(base())
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Makes a folder that only we can read, and refuses one that somebody else made for us.
fn private_folder(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(path)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} belongs to somebody else", path.display()),
        ));
    }
    Ok(())
}

/// Removes everything in the folder but the lock.
fn empty(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() == "lock" {
            continue;
        }
        if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes a folder whose lock we hold, and the one above when it was the last.
fn discard(path: &Path) -> io::Result<()> {
    folder_lock::discard(path)?;
    // Fails when another cluster is there, as it should.
    let _ = fs::remove_dir(path.parent().unwrap_or(Path::new("/")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use harness_kernel::control_group::Home;

    #[test]
    fn groups_that_cannot_be_removed_yet_are_told_as_such() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("base/one");
        drop(RunFolder::create(&path).unwrap());
        // A folder with a file, which the kernel refuses to remove as it does a group with processes.
        let busy = scratch.path().join("busy");
        fs::create_dir(&busy).unwrap();
        fs::write(busy.join("file"), "").unwrap();
        let home = Home::V2 {
            folder: busy.clone(),
        };
        let note = serde_json::to_vec(&home).unwrap();
        fs::write(path.join(groups::NOTE), note).unwrap();
        let error = RunFolder::create(&path).unwrap_err();
        assert!(error.act.contains("control groups"), "{error:?}");
        assert!(error.hint.unwrap().contains("try again"));
        // What tells of them is kept for the next attempt.
        assert!(path.join(groups::NOTE).exists());
        fs::remove_file(busy.join("file")).unwrap();
        RunFolder::create(&path).unwrap();
        assert!(!busy.exists());
    }

    #[test]
    fn a_name_is_taken_while_its_lock_is_held_and_free_after() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("base/one");
        let first = RunFolder::create(&path).unwrap();
        assert!(folder_lock::is_held(&path));
        let error = RunFolder::create(&path).unwrap_err();
        assert!(error.hint.unwrap().contains("cluster down one"));
        drop(first);
        assert!(!folder_lock::is_held(&path));
        fs::write(path.join("left-behind"), "").unwrap();
        let second = RunFolder::create(&path).unwrap();
        assert!(!path.join("left-behind").exists());
        second.remove().unwrap();
        assert!(!scratch.path().join("base").exists());
    }
}
