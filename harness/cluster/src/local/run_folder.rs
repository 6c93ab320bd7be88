//! Where a cluster keeps its sockets and logs: `<tmp>/meshproof-<uid>/<name>/`, with a lock that its fabric holds
//! as long as it lives.
//!
//! Invariant: a folder whose lock is free belongs to nobody, and whoever holds the lock may remove it.

use crate::ClusterError;
use nix::fcntl::{Flock, FlockArg};
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long somebody who only looks, or sweeps, may hold a lock; a cluster holds it much longer.
const PASSING: Duration = Duration::from_millis(500);

/// How the names of folders begin that are being removed.
const DEAD: &str = ".dead-";

/// A folder that is ours.
#[derive(Debug)]
pub(super) struct RunFolder {
    path: PathBuf,
    _lock: Flock<File>,
}

/// The folder that holds this user's run folders.
pub(super) fn base() -> PathBuf {
    std::env::temp_dir().join(format!("meshproof-{}", nix::unistd::geteuid()))
}

/// The run folder of a cluster.
pub(super) fn of(name: &str) -> PathBuf {
    base().join(name)
}

impl RunFolder {
    /// Makes a folder, after removing what a dead cluster of this name left.
    pub(super) fn create(path: &Path) -> Result<Self, ClusterError> {
        let fail = |source: io::Error| ClusterError {
            act: format!("make {}", path.display()),
            source: Some(Box::new(source)),
            hint: Some("set TMPDIR to a folder that you may write to".into()),
        };
        let base = path.parent().unwrap_or(Path::new("/"));
        let start = Instant::now();
        loop {
            private_folder(base).map_err(fail)?;
            match DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {}
                // The last one to leave removes the base.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(fail(error)),
            }
            let held = match lock(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(fail)?,
            };
            let Some(lock) = held else {
                if start.elapsed() < PASSING {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "a lock does not tell when it is free"
                    )]
                    std::thread::sleep(PASSING / 50);
                    continue;
                }
                let name = path.file_name().unwrap_or_default().display();
                return Err(ClusterError {
                    act: format!("make {}", path.display()),
                    source: Some(format!("a cluster named `{name}` is running").into()),
                    hint: Some(format!(
                        "end it with `meshproof cluster down {name}`, or choose another name"
                    )),
                });
            };
            let Some(lock) = lock.still_there(path) else {
                continue;
            };
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

/// Whether somebody holds the folder's lock.
pub(super) fn is_held(path: &Path) -> bool {
    matches!(
        OpenOptions::new()
            .read(true)
            .write(true)
            .open(path.join("lock"))
            .map(|file| Flock::lock(file, FlockArg::LockExclusiveNonblock)),
        Ok(Err((_, nix::Error::EWOULDBLOCK)))
    )
}

/// Removes the folders of dead clusters and returns what was removed.
pub(super) fn sweep() -> Vec<PathBuf> {
    let mut removed = Vec::new();
    for path in folders() {
        let Ok(Some(lock)) = lock(&path) else {
            continue;
        };
        if let Some(_lock) = lock.still_there(&path)
            && discard(&path).is_ok()
        {
            removed.push(path);
        }
    }
    removed
}

/// The run folders of this user's clusters, dead or alive.
pub(super) fn of_clusters() -> Vec<PathBuf> {
    let hidden = |path: &PathBuf| {
        path.file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
    };
    folders().into_iter().filter(|path| !hidden(path)).collect()
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

struct Locked(Flock<File>);

impl Locked {
    /// The lock, unless the folder was removed (and perhaps made again) before we got it.
    fn still_there(self, path: &Path) -> Option<Flock<File>> {
        let here = self.0.metadata().ok()?;
        let there = fs::metadata(path.join("lock")).ok()?;
        (here.ino() == there.ino() && here.dev() == there.dev()).then_some(self.0)
    }
}

/// The folder's lock, none when somebody holds it.
fn lock(path: &Path) -> io::Result<Option<Locked>> {
    let opened = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path.join("lock"));
    match Flock::lock(opened?, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Locked(lock))),
        Err((_, nix::Error::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
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

/// Removes a folder whose lock we hold, and the one above when it was the last. Renamed first, so that nobody can
/// make it his while it is being emptied.
fn discard(path: &Path) -> io::Result<()> {
    let base = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().display();
    let dead = base.join(format!(
        "{DEAD}{}-{name}",
        jiff::Timestamp::now().as_nanosecond()
    ));
    fs::rename(path, &dead)?;
    fs::remove_dir_all(&dead)?;
    // Fails when another cluster is there, as it should.
    let _ = fs::remove_dir(base);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_while_its_lock_is_held_and_free_after() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("base/one");
        let first = RunFolder::create(&path).unwrap();
        assert!(is_held(&path));
        let error = RunFolder::create(&path).unwrap_err();
        assert!(error.hint.unwrap().contains("cluster down one"));
        drop(first);
        assert!(!is_held(&path));
        fs::write(path.join("left-behind"), "").unwrap();
        let second = RunFolder::create(&path).unwrap();
        assert!(!path.join("left-behind").exists());
        second.remove().unwrap();
        assert!(!scratch.path().join("base").exists());
    }
}
